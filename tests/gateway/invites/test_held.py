"""A taker on disk: an invite is shown until its issuer has answered, over restarts and absences."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.dialing import DialError, Failure
from gateway.errors import StateError
from gateway.home import Home
from gateway.invites.errors import InviteUsed
from gateway.invites.held import HeldInvites
from gateway.invites.limits import INVITE_ATTEMPTS
from gateway.invites.messages import RedeemReply, decode_request, encode_message
from gateway.invites.wallet import REDEEMED, WAITING
from tests.lab.dialer import Tasks
from tests.lab.invites import ALICE, BOB, Clock, invite
from tests.lab.resolver_keys import NOW, packet
from tests.lab.serving import until

if TYPE_CHECKING:
    from pathlib import Path

A, B = ALICE.endpoint_id, BOB.endpoint_id
GRANTED = RedeemReply("", "", NOW, ("web",), NOW + 9, "bob")


class Taker:
    """Bob: his invites on disk, and issuers that answer as they are told."""

    def __init__(self, home: Home) -> None:
        self.home, self.clock = home, Clock()
        self.reply: RedeemReply | bytes | None = GRANTED
        """None: the issuer is offline."""
        self.shown: list[bytes] = []
        self.at_once = self.most_at_once = 0
        self.redeemed: list[object] = []
        self.held = self.again()

    def again(self) -> HeldInvites:
        return HeldInvites(
            self.home,
            B,
            show=self._show,
            about_us=lambda: ("bobby", packet(2).to_bytes()),
            on_redeemed=self.redeemed.append,
            clock=self.clock,
        )

    async def _show(self, issuer: object, message: bytes) -> bytes:
        self.shown.append(message)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if self.reply is None:
            raise DialError(Failure.OFFLINE, "alice does not answer; is she up?")
        return self.reply if isinstance(self.reply, bytes) else encode_message(self.reply)[2:]


@pytest.fixture
def bob(tmp_path: Path) -> Taker:
    home = Home(tmp_path)
    home.create()
    return Taker(home)


async def test_the_issuer_is_shown_the_invite_and_who_we_are(bob: Taker) -> None:
    made = invite("web")
    held = await bob.held.add(made)
    await bob.held.redeem(held)
    request = decode_request(bob.shown[0][2:])
    made.chain.check_proof(B, request.proof)
    assert (request.nickname, request.record) == ("bobby", packet(2).to_bytes())
    assert held.saved.state == REDEEMED
    assert bob.redeemed == [A]
    await bob.held.redeem(held)
    assert len(bob.shown) == 1


async def test_what_is_asked_of_an_issuer_first_redeems_first(bob: Taker) -> None:
    await bob.held.add(invite("web"))
    await asyncio.gather(*(bob.held.before(A) for _ in range(5)))
    assert len(bob.shown) == 1
    await bob.held.before(A)
    await bob.held.before(B)
    assert len(bob.shown) == 1


async def test_an_issuer_that_is_offline_is_told_as_such_and_shown_it_after_a_restart(bob: Taker) -> None:
    held = await bob.held.add(invite("web"))
    bob.reply = None
    with pytest.raises(DialError, match="is she up"):
        await bob.held.before(A)
    assert "is she up" in held.saved.reason
    bob.reply, bob.held = GRANTED, await asyncio.to_thread(bob.again)
    await bob.held.before(A)
    assert bob.redeemed == [A]
    assert next(iter((await asyncio.to_thread(bob.again)).wallet)).saved.state == REDEEMED


async def test_a_refusal_is_final_and_does_not_keep_anybody_from_asking(bob: Taker) -> None:
    held = await bob.held.add(invite("web"))
    bob.reply = RedeemReply(InviteUsed.code, "somebody has taken it", NOW)
    await bob.held.before(A)
    assert held.saved.state == InviteUsed.code
    await bob.held.before(A)
    assert len(bob.shown) == 1
    assert bob.redeemed == []
    await bob.held.add(held.invite)
    with pytest.raises(InviteUsed):
        await bob.held.redeem(held)


async def test_an_answer_that_is_none_counts_as_no_answer(bob: Taker) -> None:
    held = await bob.held.add(invite("web"))
    bob.reply = b"nonsense"
    with pytest.raises(DialError, match="cannot be read"):
        await bob.held.redeem(held)
    assert held.saved.state == WAITING


async def test_what_waits_is_tried_by_itself_again_and_again(
    bob: Taker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.invites.wallet.INVITE_RETRY_SECONDS", 0.01)
    bob.reply = None
    tasks = Tasks()
    bob.held.start(tasks.spawn)
    await bob.held.add(invite("web"))
    await until(lambda: len(bob.shown) >= 3)
    bob.reply = GRANTED
    await until(lambda: bob.redeemed)
    await tasks.close()


async def test_a_bounded_number_is_tried_at_once(bob: Taker) -> None:
    for number in range(1, INVITE_ATTEMPTS + 5):
        await bob.held.add(invite("web", number=number, issuer=ALICE if number % 2 else BOB))
    tasks = Tasks()
    bob.held.start(tasks.spawn)
    await until(lambda: len(bob.redeemed) == INVITE_ATTEMPTS + 4)
    assert bob.most_at_once <= INVITE_ATTEMPTS
    await tasks.close()


async def test_a_full_disk_keeps_nobody_from_the_page(bob: Taker, monkeypatch: pytest.MonkeyPatch) -> None:
    await bob.held.add(invite("web"))

    def full(*_: object) -> None:
        raise StateError("the disk is full")

    monkeypatch.setattr(Home, "save_state", full)
    await bob.held.before(A)
    assert bob.redeemed == [A]
    with pytest.raises(StateError):
        await bob.held.add(invite("web", number=2))


async def test_a_contact_that_is_removed_takes_its_invites_along(bob: Taker) -> None:
    held = await bob.held.add(invite("web"))
    await bob.held.passed_on(held, "abc")
    assert next(iter((await asyncio.to_thread(bob.again)).wallet)).saved.passed_on == ("abc",)
    await bob.held.forget(B)
    assert len((await asyncio.to_thread(bob.again)).wallet) == 1
    await bob.held.forget(A)
    assert len((await asyncio.to_thread(bob.again)).wallet) == 0


def test_damaged_state_names_the_file_and_the_remedy(bob: Taker) -> None:
    bob.home.save_state("held-invites", [{"invite": "overlay:i1yyyy"}])
    with pytest.raises(StateError, match=r"held-invites\.json is corrupt .* restore it from a backup"):
        bob.again()
