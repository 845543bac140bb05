"""The invites that we took: kept on disk, and redeemed as soon as their issuer is there. ⚡"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any, Final

from gateway.dialing import DialError, Failure
from gateway.errors import StateError
from gateway.invites.errors import InviteError
from gateway.invites.limits import INVITE_ATTEMPTS
from gateway.invites.messages import RedeemReply, RedeemRequest, decode_reply, encode_message
from gateway.invites.texts import write_invite
from gateway.invites.wallet import HeldInvite, SavedInvite, Wallet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from gateway.home import Home
    from gateway.invites.capability import Invite
    from tunnels.identity import EndpointId

_logger = logging.getLogger(__name__)

_STATE: Final = "held-invites"


class HeldInvites:
    """The wallet in force. What concerns one issuer is asked of it once at a time."""

    def __init__(
        self,
        home: Home,
        own_id: EndpointId,
        *,
        show: Callable[[EndpointId, bytes], Awaitable[bytes]],
        about_us: Callable[[], tuple[str, bytes]],
        on_redeemed: Callable[[EndpointId], None],
        clock: Callable[[], float],
    ) -> None:
        """`show` sends a message to an issuer and gives its answer, or raises DialError; `about_us` is what it is told: our
        nickname and our record. `on_redeemed` is called when an issuer granted something. StateError when the saved
        ones are damaged.
        """
        self._home = home
        self._own_id = own_id
        self._show = show
        self._about_us = about_us
        self._on_redeemed = on_redeemed
        self._clock = clock
        self._asking: dict[EndpointId, asyncio.Lock] = {}
        self._saving = asyncio.Lock()
        self._woken = asyncio.Event()
        try:
            self.wallet = Wallet(home.load_state(_STATE, list[SavedInvite], list))
        except InviteError as error:
            raise StateError(
                f"state: {home.state_file(_STATE)} is corrupt ({error}); restore it from a backup, or move it away"
            ) from None

    def __repr__(self) -> str:
        return f"HeldInvites({len(self.wallet)})"

    def start(self, spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]) -> None:
        """Begin to redeem what waits."""
        spawn(self._run(), "redeem invites")

    async def add(self, invite: Invite) -> HeldInvite:
        """Keep one that was checked, to be redeemed; UsageError or StateError, and it is not kept."""
        held = self.wallet.add(invite, write_invite(invite), self._clock())
        await self._save()
        self._woken.set()
        return held

    async def passed_on(self, held: HeldInvite, serial: str) -> None:
        """We made an invite of it for somebody else."""
        held.saved.passed_on = (*held.saved.passed_on[-63:], serial)
        await self._save()

    async def forget(self, issuer: EndpointId) -> None:
        """It is no contact any more."""
        if self.wallet.forget(issuer):
            await self._save()

    async def before(self, issuer: EndpointId) -> None:
        """Redeem what waits for this issuer, before anything else is asked of it.

        DialError when it cannot be reached, as anything else could not be either. What it refuses is kept with its
        reason, and what was to be asked is asked all the same.
        """
        for held in self.wallet.waiting_for(issuer):
            try:
                await self.redeem(held)
            except InviteError as error:
                _logger.warning("the invite of %s… is not taken: %s", issuer.short, error)

    async def redeem(self, held: HeldInvite) -> None:
        """Show one to its issuer now; DialError when it is not there, InviteError when it does not take it."""
        lock = self._asking.setdefault(held.invite.issuer, asyncio.Lock())
        async with lock:
            if not held.is_waiting:
                return
            try:
                reply = await self._ask(held.invite)
            except DialError as error:
                held.saved.reason = str(error)
                held.backoff.failed(self._tick(), random.random())  # noqa: S311 - it spreads attempts
                raise
            try:
                self.wallet.answered(held, reply, self._clock(), self._tick(), random.random())  # noqa: S311
            finally:
                await self._note()
        if not held.is_waiting:
            self._on_redeemed(held.invite.issuer)

    async def _ask(self, invite: Invite) -> RedeemReply:
        nickname, record = self._about_us()
        request = RedeemRequest(invite.chain.data, invite.proof(self._own_id), nickname, record)
        answer = await self._show(invite.issuer, encode_message(request))
        try:
            return decode_reply(answer)
        except InviteError as error:
            raise DialError(Failure.TARGET_UNREACHABLE, f"{invite.issuer.short}…: {error}") from None

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            if self.wallet.expire(self._clock()):
                await self._note()
            due = self.wallet.next_attempt()
            try:
                async with asyncio.timeout(None if due is None else max(0.0, due - self._tick())):
                    await self._woken.wait()
                continue
            except TimeoutError:
                pass  # one is due
            now = self._tick()
            due_now = [held for held in self.wallet if held.is_waiting and held.backoff.next_attempt <= now]
            await asyncio.gather(*map(self._try, due_now[:INVITE_ATTEMPTS]))

    async def _try(self, held: HeldInvite) -> None:
        try:
            await self.redeem(held)
        except DialError as error:
            _logger.info("an invite is redeemed later: %s", error)
        except InviteError as error:
            _logger.warning("an invite is not redeemed: %s", error)

    async def _note(self) -> None:
        """Write down an answer; if that fails the same is asked again after a restart, and answered in the same way."""
        try:
            await self._save()
        except StateError as error:
            _logger.error("what became of an invite is not saved: %s", error)  # noqa: TRY400 - the disk's fault

    async def _save(self) -> None:
        async with self._saving:
            await asyncio.to_thread(self._home.save_state, _STATE, self.wallet.to_json())

    @staticmethod
    def _tick() -> float:
        return asyncio.get_running_loop().time()
