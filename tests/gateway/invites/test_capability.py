"""A chain of signatures that only narrows, is verified by whoever has it, and taken by whoever holds its last secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.invites.capability import FOR_EVER, Chain, Invite, Terms
from gateway.invites.errors import (
    InviteClockSkew,
    InviteDamaged,
    InviteError,
    InviteExpired,
    InviteNotDelegable,
    InviteNotForYou,
    InviteTampered,
)
from gateway.invites.limits import (
    INVITE_BYTES,
    INVITE_LINKS,
    INVITE_SERVICE_BYTES,
    INVITE_SERVICES,
    INVITE_SKEW_SECONDS,
    INVITE_USES,
)
from tests.lab.invites import ALICE, BOB, CAROL, DAY, MALLORY, START, invite, passed_on, terms
from tests.lab.resolver_keys import NOW, packet


def test_an_invite_says_who_grants_what_to_whom_until_when() -> None:
    given_ = invite("web", "ssh", uses=3, depth=2, petname="bob", holder=BOB.endpoint_id)
    read = Chain.parse(given_.chain.data, ALICE.endpoint_id)
    assert read == given_.chain
    assert read.terms == terms("web", "ssh", uses=3, depth=2, petname="bob", holder=BOB.endpoint_id)
    assert (given_.issuer, given_.record.nickname) == (ALICE.endpoint_id, "alice")


def test_whoever_holds_the_secret_proves_it_for_itself_and_this_issuer_alone() -> None:
    given_ = invite("web")
    proof = given_.proof(BOB.endpoint_id)
    given_.chain.check_proof(BOB.endpoint_id, proof)
    for taker, shown in ((CAROL.endpoint_id, proof), (BOB.endpoint_id, bytes(64))):
        with pytest.raises(InviteTampered, match="does not hold it"):
            given_.chain.check_proof(taker, shown)
    with pytest.raises(InviteTampered):
        invite("web", number=9).chain.check_proof(BOB.endpoint_id, proof)


def test_what_is_passed_on_is_narrower_and_names_who_passed_it_on() -> None:
    wide = invite("web", "ssh", uses=5, depth=2)
    for_carol = passed_on(wide, BOB, "web", uses=2, depth=1, expires=START + DAY // 2, petname="carol")
    for_mallory = passed_on(for_carol, CAROL, "web", number=3, expires=START + 60)
    read = Chain.parse(for_mallory.chain.data, ALICE.endpoint_id)
    assert [link.delegator for link in read.links] == [None, BOB.endpoint_id, CAROL.endpoint_id]
    assert read.terms == terms("web", expires=START + 60)
    read.check_proof(MALLORY.endpoint_id, for_mallory.proof(MALLORY.endpoint_id))


def test_who_got_a_narrower_invite_cannot_go_back_to_the_wider_one() -> None:
    wide = invite("web", "ssh", depth=1)
    narrow = passed_on(wide, BOB, "web")
    cut = Chain.parse(b"\x01" + narrow.chain.data[1 : len(wide.chain.data)], ALICE.endpoint_id)
    assert cut == wide.chain  # the link is there to be seen
    with pytest.raises(InviteTampered, match="does not hold it"):
        cut.check_proof(CAROL.endpoint_id, cut.prove(narrow.secret, CAROL.endpoint_id))


@pytest.mark.parametrize(
    ("services", "changed"),
    [
        (("web", "ssh"), {}),
        (("web",), {"expires": START + DAY + 1}),
        (("web",), {"until": START + DAY + 1}),
        (("web",), {"uses": 3}),
        (("web",), {"depth": 1}),
    ],
)
def test_nobody_can_pass_on_more_than_they_have(services: tuple[str, ...], changed: dict[str, int]) -> None:
    wide = invite("web", uses=2, depth=1)
    with pytest.raises(InviteNotDelegable, match="can only grant less"):
        passed_on(wide, BOB, *services, **changed)


def test_a_wider_link_that_somebody_signs_all_the_same_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = invite("web", depth=1)
    with monkeypatch.context() as lax:
        lax.setattr(Terms, "narrows", lambda *_: True)
        forged = passed_on(wide, BOB, "web", "ssh")
    with pytest.raises(InviteTampered, match="passed on more than it was given"):
        Chain.parse(forged.chain.data, ALICE.endpoint_id)


def test_an_invite_that_may_not_be_passed_on_is_not() -> None:
    with pytest.raises(InviteNotDelegable, match="--delegable"):
        passed_on(invite("web"), BOB, "web")


def test_an_invite_for_one_endpoint_is_passed_on_by_that_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for_bob = invite("web", depth=1, holder=BOB.endpoint_id)
    passed_on(for_bob, BOB, "web")
    with pytest.raises(InviteNotForYou, match="who alone may pass it on"):
        passed_on(for_bob, CAROL, "web")


def test_a_chain_has_a_bounded_length() -> None:
    with pytest.raises(ValueError, match=f"{INVITE_LINKS - 1} times"):
        terms("web", depth=INVITE_LINKS)
    last = invite("web", depth=INVITE_LINKS - 1)
    for number in range(2, INVITE_LINKS + 1):
        last = passed_on(last, BOB, "web", number=number, depth=INVITE_LINKS - number)
    with pytest.raises(InviteNotDelegable):
        passed_on(last, BOB, "web")
    with pytest.raises(InviteDamaged, match="1 to 4 links"):
        Chain.parse(bytes([INVITE_LINKS + 1]) + last.chain.data[1:], ALICE.endpoint_id)


def test_what_an_invite_says_is_bounded() -> None:
    long = tuple(f"s{number:018}" for number in range(INVITE_SERVICES))
    full = invite(*long, depth=INVITE_LINKS - 1, petname="p" * 63, holder=BOB.endpoint_id)
    for number in range(2, INVITE_LINKS + 1):
        full = passed_on(
            full,
            BOB,
            *long,
            number=number,
            depth=INVITE_LINKS - number,
            petname="p" * 63,
            holder=BOB.endpoint_id,
        )
    assert len(full.chain.data) + 1104 + 34 <= INVITE_BYTES
    with pytest.raises(ValueError, match=f"at most {INVITE_SERVICES} services"):
        terms(*(f"s{number}" for number in range(INVITE_SERVICES + 1)))
    with pytest.raises(ValueError, match=f"more than {INVITE_SERVICE_BYTES} characters"):
        terms(*(f"s{number:061}" for number in range(6)))
    with pytest.raises(ValueError, match=f"1 to {INVITE_USES}"):
        terms("web", uses=INVITE_USES + 1)


@pytest.mark.parametrize(
    ("services", "changed"),
    [
        (("WEB",), {}),
        (("no_name",), {}),
        (("web", "web"), {}),
        ((), {"uses": 0}),
        ((), {"expires": START}),
        ((), {"until": START + 1}),
        ((), {"until": FOR_EVER + 1}),
        ((), {"petname": "Bob"}),
        ((), {"petname": "no name"}),
    ],
)
def test_terms_that_make_no_sense_cannot_be(services: tuple[str, ...], changed: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        terms(*services, **changed)


# --- when, and by whom ----------------------------------------------------------------------------------------------


def test_what_can_be_known_without_the_issuer_is_told_at_once() -> None:
    given_ = invite("web", holder=BOB.endpoint_id)
    given_.check(BOB.endpoint_id, NOW)
    with pytest.raises(
        InviteNotForYou, match=f"is for {BOB.endpoint_id}, and this endpoint is {CAROL.endpoint_id}"
    ):
        given_.check(CAROL.endpoint_id, NOW)
    with pytest.raises(InviteNotForYou, match="one of your own"):
        given_.check(ALICE.endpoint_id, NOW)
    with pytest.raises(InviteExpired, match=r"expired on .* UTC; ask .*… for a new one"):
        given_.check(BOB.endpoint_id, NOW + DAY + INVITE_SKEW_SECONDS + 1)
    with pytest.raises(InviteClockSkew, match="one of the two clocks is wrong; set this one"):
        given_.check(BOB.endpoint_id, NOW - INVITE_SKEW_SECONDS - 2)


def test_clocks_that_differ_by_minutes_leave_it_to_the_issuer() -> None:
    given_ = invite("web")
    given_.check(BOB.endpoint_id, NOW + DAY + INVITE_SKEW_SECONDS - 1)
    given_.check(BOB.endpoint_id, NOW - INVITE_SKEW_SECONDS + 1)
    with pytest.raises(InviteExpired):
        given_.chain.check_times(NOW + DAY + 1)


# --- what others make of it -------------------------------------------------------------------------------------------

GIVEN = passed_on(invite("web", uses=2, depth=1), BOB, "web")


@given(st.integers(0, len(GIVEN.chain.data) - 1), st.integers(1, 255))
def test_one_changed_byte_anywhere_is_noticed(at: int, change: int) -> None:
    data = bytearray(GIVEN.chain.data)
    data[at] ^= change
    with pytest.raises((InviteTampered, InviteDamaged)):
        Chain.parse(bytes(data), ALICE.endpoint_id)


@pytest.mark.parametrize("size", range(0, len(GIVEN.chain.data), 3))
def test_a_chain_cut_short_is_no_chain(size: int) -> None:
    with pytest.raises((InviteDamaged, InviteTampered)):
        Chain.parse(GIVEN.chain.data[:size], ALICE.endpoint_id)
    with pytest.raises(InviteDamaged, match="behind the last link"):
        Chain.parse(GIVEN.chain.data + b"x", ALICE.endpoint_id)


@given(st.binary(max_size=600))
def test_any_bytes_are_refused_with_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(InviteError) as error:
        Chain.parse(data, ALICE.endpoint_id)
    assert "\n" not in str(error.value)


def test_a_chain_of_another_issuer_is_refused() -> None:
    with pytest.raises(InviteTampered, match=r"is not as .* signed it"):
        Chain.parse(GIVEN.chain.data, MALLORY.endpoint_id)


def test_parts_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(InviteTampered, match="do not belong together"):
        Invite.of(packet(2), GIVEN.chain, bytes([2]) * 32)
    with pytest.raises(InviteTampered, match="do not belong together"):
        Invite.of(packet(1), GIVEN.chain, bytes([1]) * 32)
