"""An issuer's tables: who may take what how often, what follows, and when that ends."""

from __future__ import annotations

import pytest

from gateway.errors import UsageError
from gateway.invites import ledger as module
from gateway.invites.errors import (
    InviteExpired,
    InviteNotForYou,
    InviteRevoked,
    InviteTampered,
    InviteUnknown,
    InviteUsed,
)
from gateway.invites.ledger import Grant, Ledger
from gateway.invites.texts import serial_text
from tests.lab.invites import ALICE, BOB, CAROL, DAY, MALLORY, START, invite, passed_on
from tests.lab.resolver_keys import NOW, key

A, B, C, M = (one.endpoint_id for one in (ALICE, BOB, CAROL, MALLORY))


def issued(*services: str, **changed):
    """A ledger with one invite, and it."""
    made = invite(*services, **changed)
    ledger = Ledger()
    ledger.add(made.serial, made.terms, NOW)
    return ledger, made


def test_who_takes_an_invite_may_use_what_it_names_until_it_ends() -> None:
    ledger, made = issued("web", until=START + 2 * DAY, petname="bob")
    entry, is_new = ledger.redeem(made.chain, B, NOW, wanted="robert")
    assert (is_new, entry.wanted) == (True, "bob")
    assert list(ledger.grants(NOW)) == [Grant(B, ("web",), START + 2 * DAY, serial_text(made.serial))]
    assert list(ledger.grants(NOW + 2 * DAY)) == []


def test_an_invite_is_good_as_often_as_it_says_and_the_same_endpoint_uses_nothing_up() -> None:
    ledger, made = issued("web", uses=2)
    assert ledger.redeem(made.chain, B, NOW)[1]
    assert not ledger.redeem(made.chain, B, NOW + 1)[1]
    assert ledger.redeem(made.chain, C, NOW)[1]
    with pytest.raises(InviteUsed, match="good for 2 and is used up; ask for a new one"):
        ledger.redeem(made.chain, M, NOW)
    assert not ledger.redeem(made.chain, B, NOW + 1)[1]
    ledger, made = issued("web")
    ledger.redeem(made.chain, B, NOW)
    with pytest.raises(InviteUsed, match="good once, and somebody has taken it"):
        ledger.redeem(made.chain, C, NOW)


def test_each_reason_not_to_take_an_invite_is_told_apart() -> None:
    ledger, made = issued("web", holder=B)
    with pytest.raises(InviteNotForYou):
        ledger.redeem(made.chain, C, NOW)
    with pytest.raises(InviteExpired):
        ledger.redeem(made.chain, B, NOW + DAY)
    with pytest.raises(InviteUnknown, match="another installation"):
        Ledger().redeem(made.chain, B, NOW)
    ledger.revoke(*ledger.find(serial_text(made.serial)), NOW)
    with pytest.raises(InviteRevoked, match="taken back by its issuer"):
        ledger.redeem(made.chain, B, NOW + 2 * DAY)  # also where it has expired since
    assert ledger.redemptions == []


def test_a_grant_that_has_ended_is_not_had_again() -> None:
    ledger, made = issued("web")
    ledger.redeem(made.chain, B, NOW)
    with pytest.raises(InviteExpired):
        ledger.redeem(made.chain, B, NOW + DAY)
    assert ledger.drop(B)
    assert list(ledger.grants(NOW)) == []
    assert not ledger.drop(B)
    with pytest.raises(InviteRevoked, match="granted you was taken back"):
        ledger.redeem(made.chain, B, NOW)


# --- passed on ------------------------------------------------------------------------------------------------------


def test_what_is_made_of_an_invite_takes_one_of_its_uses_and_has_its_own_bound() -> None:
    ledger, made = issued("web", "ssh", uses=3, depth=2)
    narrow = passed_on(made, BOB, "web", uses=2, depth=1)
    ledger.redeem(made.chain, B, NOW)
    entry, _ = ledger.redeem(narrow.chain, C, NOW)
    assert entry.delegators == (str(B),)
    assert list(ledger.grants(NOW))[1].services == ("web",)
    once = passed_on(narrow, CAROL, "web", number=3)
    ledger.redeem(once.chain, M, NOW)
    with pytest.raises(InviteUsed, match="good for 3"):
        ledger.redeem(narrow.chain, key(9).endpoint_id, NOW)
    ledger, made = issued("web", uses=9, depth=1)
    narrow = passed_on(made, BOB, "web", uses=1)
    ledger.redeem(narrow.chain, B, NOW)
    with pytest.raises(InviteUsed, match="good once"):
        ledger.redeem(narrow.chain, C, NOW)


def test_revoking_ends_all_that_came_of_it_and_revoking_a_link_only_what_came_of_that() -> None:
    ledger, made = issued("web", uses=5, depth=2)
    for_carol = passed_on(made, BOB, "web", uses=2, depth=1)
    for_mallory = passed_on(for_carol, CAROL, "web", number=3)
    for chain, taker in ((made, B), (for_carol, C), (for_mallory, M)):
        ledger.redeem(chain.chain, taker, NOW)
    invite_, serial = ledger.find(serial_text(for_carol.serial))
    ended = ledger.revoke(invite_, serial, NOW)
    assert [entry.endpoint_id for entry in ended] == [str(C), str(M)]
    assert [grant.endpoint_id for grant in ledger.grants(NOW)] == [B]
    with pytest.raises(InviteRevoked):
        ledger.redeem(for_mallory.chain, key(9).endpoint_id, NOW)
    ledger.redeem(made.chain, key(9).endpoint_id, NOW)
    assert len(ledger.revoke(*ledger.find(serial_text(made.serial)), NOW)) == 2
    assert list(ledger.grants(NOW)) == []


# --- on disk, in bounds -----------------------------------------------------------------------------------------------


def test_a_ledger_reads_back_and_a_copy_is_another_one() -> None:
    ledger, made = issued("web", uses=3, petname="bob", holder=B)
    ledger.redeem(made.chain, B, NOW)
    again = Ledger.from_json(ledger.to_json())
    assert again.to_json() == ledger.to_json()
    copy = ledger.copy()
    copy.drop(B)
    copy.revoke(*copy.find(serial_text(made.serial)), NOW)
    assert ledger.to_json() == again.to_json() != copy.to_json()


@pytest.mark.parametrize(
    "saved",
    [
        {"version": 2},
        {"what": 1},
        {"redemptions": [{"serials": [], "endpoint_id": str(B), "services": [], "until": 1, "taken": 1}]},
        {"redemptions": [{"serials": ["y"], "endpoint_id": "bob", "services": [], "until": 1, "taken": 1}]},
    ],
)
def test_a_damaged_ledger_says_what_is_wrong(saved: object) -> None:
    with pytest.raises(ValueError):
        Ledger.from_json(saved)


def test_a_serial_is_found_by_its_beginning() -> None:
    ledger, made = issued("web")
    other = invite("web", number=2)
    ledger.add(other.serial, other.terms, NOW)
    serial = serial_text(made.serial)
    assert ledger.find(serial[:8].upper() + "…")[1] == serial
    with pytest.raises(UsageError, match="none has"):
        ledger.find("9999")
    with pytest.raises(UsageError, match="none has"):
        ledger.find("")
    with pytest.raises(UsageError, match="2 have a serial that begins with y"):
        ledger.find("y")


def test_the_tables_are_bounded_and_make_room_for_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INVITES_ISSUED", 3)
    monkeypatch.setattr(module, "INVITE_REDEMPTIONS", 2)
    ledger = Ledger()
    for number in range(1, 4):
        made = invite("web", number=number, uses=5, until=START + (9 * DAY if number == 1 else DAY))
        ledger.add(made.serial, made.terms, NOW)
        if number < 3:
            ledger.redeem(made.chain, key(number + 9).endpoint_id, NOW)
    full = invite("web", number=4)
    with pytest.raises(UsageError, match="3 invites are open, the most there may be"):
        ledger.add(full.serial, full.terms, NOW)
    with pytest.raises(InviteUsed, match="as many grants as it may"):
        ledger.redeem(made.chain, B, NOW)
    later = NOW + DAY + 1
    fresh = invite("web", number=5, issued=int(later), expires=int(later) + DAY)
    ledger.add(fresh.serial, fresh.terms, later)
    assert ledger.redeem(fresh.chain, B, later)[1]
    # What it granted beyond its own end is still there, and known by whom it came.
    assert [grant.endpoint_id for grant in ledger.grants(later)] == [key(10).endpoint_id, B]


def test_where_there_is_no_room_those_that_were_taken_back_make_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INVITES_ISSUED", 2)
    monkeypatch.setattr(module, "INVITE_REDEMPTIONS", 2)
    ledger = Ledger()
    gone, kept, fresh = (invite("web", number=number, uses=2) for number in (1, 2, 3))
    for made, taker in ((gone, B), (kept, C)):
        ledger.add(made.serial, made.terms, NOW)
        ledger.redeem(made.chain, taker, NOW)
    ledger.revoke(*ledger.find(serial_text(gone.serial)), NOW)
    with pytest.raises(InviteRevoked):
        ledger.redeem(gone.chain, M, NOW)
    assert ledger.redeem(kept.chain, M, NOW)[1]
    ledger.add(fresh.serial, fresh.terms, NOW)
    for taker in (B, M):
        with pytest.raises(InviteUnknown, match="taken back and forgotten"):
            ledger.redeem(gone.chain, taker, NOW)
    assert [grant.endpoint_id for grant in ledger.grants(NOW)] == [C, M]


def test_who_passes_an_invite_on_cannot_give_it_the_serial_of_another_one() -> None:
    wide, other = (invite("web", number=number, uses=9, depth=3) for number in (1, 2))
    ledger = Ledger()
    for made in (wide, other):
        ledger.add(made.serial, made.terms, NOW)
    link = passed_on(wide, BOB, "web", number=7, uses=9, depth=2)
    ledger.redeem(link.chain, C, NOW)
    for copied in (
        passed_on(wide, BOB, "web", number=2),  # of an invite that was made here: it could not be revoked
        passed_on(wide, BOB, "web", number=1),  # of the one it was made of
        passed_on(link, BOB, "web", number=7),
        passed_on(other, BOB, "web", number=7),  # of what was made of another one
    ):
        with pytest.raises(InviteTampered, match="the serial of another one"):
            ledger.redeem(copied.chain, M, NOW)
    assert ledger.redeem(link.chain, M, NOW)[1]
    assert ledger.redeem(passed_on(link, BOB, "web", number=8).chain, M, NOW)[1]
    assert ledger.uses_of(serial_text(other.serial)) == 0
