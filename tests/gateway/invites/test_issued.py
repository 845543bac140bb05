"""An issuer on disk: nothing is granted that is not written down, and nothing is granted twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.errors import StateError, UsageError
from gateway.home import Home
from gateway.invites.errors import InviteExpired, InviteRevoked, InviteTampered, InviteUsed
from gateway.invites.limits import REDEEM_BURST
from gateway.invites.messages import RedeemReply, RedeemRequest, decode_reply, encode_message
from gateway.invites.texts import serial_text
from resolver.signed_packets import SignedPacket
from tests.lab.dialer import Tasks
from tests.lab.invites import BOB, CAROL, DAY, MALLORY, Clock, Issuer, passed_on, terms
from tests.lab.resolver_keys import NOW, packet
from tests.lab.serving import until

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.invites.capability import Invite
    from tunnels.identity import SecretKey

B, C = BOB.endpoint_id, CAROL.endpoint_id


@pytest.fixture
def alice(tmp_path: Path) -> Issuer:
    home = Home(tmp_path)
    home.create()
    return Issuer(home, Clock())


def shown(invite: Invite, by: SecretKey, **changed: object) -> bytes:
    """What a taker sends, without its length."""
    request = {
        "chain": invite.chain.data,
        "proof": invite.proof(by.endpoint_id),
        "nickname": "bobby",
        "record": packet(2).to_bytes(),
    }
    return encode_message(RedeemRequest(**request | changed))[2:]


async def redeem(alice: Issuer, invite: Invite, by: SecretKey = BOB, **changed: object) -> RedeemReply:
    return decode_reply((await alice.issued.redeem(by.endpoint_id, shown(invite, by, **changed)))[2:])


async def made(alice: Issuer, *services: str, **changed: object) -> Invite:
    return await alice.issued.make(terms(*services, **changed), packet(1, nickname="alice"))


async def test_who_shows_an_invite_is_granted_it_admitted_and_told(alice: Issuer) -> None:
    invite = await made(alice, "web", petname="bob")
    assert await redeem(alice, invite) == RedeemReply("", "", NOW, ("web",), NOW + DAY, "bob-1")
    assert alice.admitted == [("bob", B, packet(2))]
    assert alice.issued.granted(B, "web")
    assert not alice.issued.granted(B, "ssh")
    assert not alice.issued.granted(C, "web")
    assert alice.changes == 1
    assert [grant.services for grant in alice.issued.grants_of(B)] == [("web",)]


async def test_a_restart_changes_nothing(alice: Issuer) -> None:
    invite = await made(alice, "web")
    await redeem(alice, invite)
    alice.issued = await asyncio.to_thread(alice.again)
    assert alice.issued.granted(B, "web")
    assert alice.issued.ledger.redemptions[0].petname == "bobby-1"
    assert (await redeem(alice, invite)).code == ""
    assert (await redeem(alice, invite, CAROL)).code == InviteUsed.code


async def test_what_cannot_be_written_down_is_not_granted(
    alice: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    invite = await made(alice, "web")

    def full(*_: object) -> None:
        raise StateError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(Home, "save_state", full)
        assert (await redeem(alice, invite)).code == "busy"
    assert not alice.issued.granted(B, "web")
    assert alice.admitted == []
    assert (await redeem(alice, invite, CAROL)).code == ""


async def test_a_taker_that_hangs_up_while_it_is_written_down_has_taken_it_once(
    alice: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    invite = await made(alice, "web")
    begun, go_on = asyncio.Event(), asyncio.Event()
    loop, save = asyncio.get_running_loop(), Home.save_state

    def slow(home: Home, name: str, value: object) -> None:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(10)
        save(home, name, value)

    with monkeypatch.context() as slowly:
        slowly.setattr(Home, "save_state", slow)
        redeeming = loop.create_task(redeem(alice, invite))
        await begun.wait()
        redeeming.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await redeeming
    assert (await redeem(alice, invite, CAROL)).code == InviteUsed.code
    assert (await asyncio.to_thread(alice.again)).ledger.to_json() == alice.issued.ledger.to_json()
    assert (await redeem(alice, invite)).code == ""  # it comes back, and is admitted now
    assert [endpoint_id for _, endpoint_id, _ in alice.admitted] == [B]


async def test_of_many_at_once_one_takes_it(alice: Issuer) -> None:
    invite = await made(alice, "web")
    replies = await asyncio.gather(*(redeem(alice, invite, by) for by in (BOB, CAROL, MALLORY)))
    assert sorted(reply.code for reply in replies) == ["", InviteUsed.code, InviteUsed.code]


async def test_only_who_holds_it_takes_it(alice: Issuer) -> None:
    invite = await made(alice, "web", uses=9, depth=1)
    stolen = await redeem(alice, invite, proof=invite.proof(C))
    assert stolen.code == InviteTampered.code
    assert (await redeem(alice, passed_on(invite, BOB, "web"), CAROL)).code == ""
    assert decode_reply((await alice.issued.redeem(B, b"nonsense"))[2:]).code == "invite-damaged"


async def test_a_record_of_somebody_else_is_not_believed(alice: Issuer) -> None:
    invite = await made(alice, "web", uses=2)
    await redeem(alice, invite, record=packet(3).to_bytes())
    await redeem(alice, invite, CAROL, record=b"nonsense")
    assert [told for _, _, told in alice.admitted] == [None, None]


async def test_a_contact_that_cannot_be_made_takes_no_grant_away(
    alice: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> str:
        raise UsageError("the address book is full")

    monkeypatch.setattr(alice, "_admit", refuse)
    alice.issued = await asyncio.to_thread(alice.again)
    assert (await redeem(alice, await made(alice, "web"))).petname == ""
    assert alice.issued.granted(B, "web")


async def test_revoking_ends_grants_at_once_and_is_told(alice: Issuer) -> None:
    invite = await made(alice, "web", uses=2)
    await redeem(alice, invite)
    _, _, ended = await alice.issued.revoke(serial_text(invite.serial)[:8])
    assert [entry.endpoint_id for entry in ended] == [str(B)]
    assert not alice.issued.granted(B, "web")
    assert alice.changes == 2
    assert (await redeem(alice, invite, CAROL)).code == InviteRevoked.code
    assert not (await asyncio.to_thread(alice.again)).granted(B, "web")


async def test_who_is_dropped_has_nothing_any_more(alice: Issuer) -> None:
    await redeem(alice, await made(alice, "web"))
    await alice.issued.drop(C)
    assert alice.issued.granted(B, "web")
    await alice.issued.drop(B)
    assert not alice.issued.granted(B, "web")
    assert alice.changes == 2


async def test_the_issuers_clock_counts_and_is_told(alice: Issuer) -> None:
    invite = await made(alice, "web")
    alice.clock.now += DAY
    reply = await redeem(alice, invite)
    assert (reply.code, reply.now) == (InviteExpired.code, NOW + DAY)


async def test_what_uses_a_grant_is_told_when_the_grant_ends(alice: Issuer) -> None:
    tasks = Tasks()
    await redeem(alice, await made(alice, "web", expires=int(NOW) + 1))
    alice.clock.now = NOW + 0.95
    alice.issued.start(tasks.spawn)
    await asyncio.sleep(0)
    assert alice.issued.granted(B, "web")
    before = alice.changes
    alice.clock.now = NOW + 1
    await until(lambda: alice.changes > before)
    assert not alice.issued.granted(B, "web")
    await tasks.close()


def test_damaged_state_names_the_file_and_the_remedy(alice: Issuer) -> None:
    alice.home.save_state("invites", {"version": 7})
    with pytest.raises(StateError, match=r"invites\.json is corrupt .*upgrade.* restore it from a backup"):
        alice.again()


async def test_who_shows_an_invite_again_makes_us_write_nothing_and_is_told_to_wait(
    alice: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    invite = await made(alice, "web")
    first = await redeem(alice, invite)
    monkeypatch.setattr(Home, "save_state", None)
    replies = [await redeem(alice, invite) for _ in range(REDEEM_BURST)]
    assert replies[:-1] == [first] * (REDEEM_BURST - 1)
    assert (replies[-1].code, len(alice.admitted)) == ("busy", 1)
    assert "tried again" in replies[-1].reason
    assert (await redeem(alice, invite, CAROL)).code == InviteUsed.code  # others are not kept waiting


async def test_a_signed_packet_that_is_no_record_or_has_expired_is_not_believed(alice: Issuer) -> None:
    invite = await made(alice, "web", uses=2)
    nothing = SignedPacket.sign(BOB, 1, bytes(12))
    assert (await redeem(alice, invite, record=nothing.to_bytes())).code == ""
    expired = packet(3, signed_at=NOW - 7200)
    assert (await redeem(alice, invite, CAROL, record=expired.to_bytes())).code == ""
    assert [told for _, _, told in alice.admitted] == [None, None]


async def test_those_who_come_at_once_are_admitted_one_after_the_other(
    alice: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: set[str] = set()

    async def admit(wanted: str, *_: object) -> str:
        free = next(f"{wanted}-{number}" for number in range(9) if f"{wanted}-{number}" not in names)
        await asyncio.sleep(0)
        if free in names:
            raise UsageError("it is taken")
        names.add(free)
        return free

    monkeypatch.setattr(alice, "_admit", admit)
    alice.issued = await asyncio.to_thread(alice.again)
    invite = await made(alice, "web", uses=3)
    replies = await asyncio.gather(*(redeem(alice, invite, by) for by in (BOB, CAROL, MALLORY)))
    assert sorted(reply.petname for reply in replies) == ["bobby-0", "bobby-1", "bobby-2"]
