"""The invites that we made: kept on disk, redeemed by those who show them, and the grants that follow in force. ⚡"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from gateway.errors import StateError, UsageError
from gateway.invites.capability import SEED_BYTES, SERIAL_BYTES, Chain, Invite
from gateway.invites.errors import InviteError
from gateway.invites.ledger import Grant, Ledger
from gateway.invites.limits import GRANTS_LOOK_SECONDS, REDEEM_BURST, REDEEM_CALLERS, REDEEMS_PER_SECOND
from gateway.invites.messages import RedeemReply, decode_request, encode_message
from resolver.errors import RecordError
from resolver.records import EndpointRecord
from resolver.signed_packets import SignedPacket
from tunnels.bucket import Buckets

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from gateway.home import Home
    from gateway.invites.capability import Terms
    from gateway.invites.ledger import Issued, Redemption
    from tunnels.identity import EndpointId, SecretKey

_logger = logging.getLogger(__name__)

_STATE: Final = "invites"

_Result = TypeVar("_Result")


class IssuedInvites:
    """The ledger in force; a change is saved before it counts."""

    def __init__(
        self,
        home: Home,
        secret_key: SecretKey,
        *,
        clock: Callable[[], float],
        admit: Callable[[str, EndpointId, SignedPacket | None], Awaitable[str]],
        on_change: Callable[[], None],
    ) -> None:
        """`admit` makes who took an invite a contact, under the name wanted or one like it, and gives that name.

        `on_change` is called when other grants hold than before; `clock` gives unix seconds. StateError when the saved
        ones are damaged.
        """
        self._home = home
        self._secret_key = secret_key
        self._clock = clock
        self._admit = admit
        self._on_change = on_change
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        try:
            self.ledger = Ledger.from_json(home.load_state(_STATE, dict, _empty))
        except (msgspec.ValidationError, ValueError) as error:
            raise StateError(
                f"state: {home.state_file(_STATE)} is corrupt ({error}); restore it from a backup, or move it away: "
                "then open invites are good no more, and what they granted ends"
            ) from None
        self._grants = self._by_endpoint()
        self._admitting = asyncio.Lock()
        self._shown = Buckets(REDEEMS_PER_SECOND, REDEEM_BURST, REDEEM_CALLERS)

    def __repr__(self) -> str:
        return f"IssuedInvites({len(self.ledger.issued)} issued, {len(self.ledger.redemptions)} taken)"

    def start(self, spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]) -> None:
        """Begin to look when grants end."""
        spawn(self._watch(), "grants of invites")

    # --- gateway.expose.access.Grants -------------------------------------------------------------------------

    def granted(self, caller: EndpointId, service: str) -> bool:
        """Whether an invite lets the endpoint use the service now."""
        now = self._clock()
        return any(service in grant.services and now < grant.until for grant in self._grants.get(caller, ()))

    def grants_of(self, endpoint_id: EndpointId) -> tuple[Grant, ...]:
        """What an endpoint may use by invites now."""
        now = self._clock()
        return tuple(grant for grant in self._grants.get(endpoint_id, ()) if now < grant.until)

    def grants(self) -> tuple[Grant, ...]:
        """All that hold now."""
        return tuple(self.ledger.grants(self._clock()))

    # --- making and taking back -------------------------------------------------------------------------------

    async def make(self, terms: Terms, packet: SignedPacket) -> Invite:
        """Issue one that carries this record of ours; UsageError or StateError, and nothing was made."""
        serial, seed = secrets.token_bytes(SERIAL_BYTES), secrets.token_bytes(SEED_BYTES)
        invite = Invite.of(packet, Chain.issue(self._secret_key, terms, serial=serial, seed=seed), seed)
        await self._change(lambda ledger: ledger.add(serial, terms, self._clock()))
        return invite

    async def revoke(self, serial: str) -> tuple[Issued, str, tuple[Redemption, ...]]:
        """Take back the invite whose serial begins so, or one that was made of it; what it granted ends at once.

        The invite, the serial that is revoked, and those whose grants that ended.
        """

        def act(ledger: Ledger) -> tuple[Issued, str, tuple[Redemption, ...]]:
            invite, whole = ledger.find(serial)
            return invite, whole, ledger.revoke(invite, whole, self._clock())

        revoked = await self._change(act)
        self._on_change()
        return revoked

    async def drop(self, endpoint_id: EndpointId) -> None:
        """The endpoint is to have nothing by invites any more; StateError, and nothing has changed."""
        if any(grant.endpoint_id == endpoint_id for grant in self.grants()):
            await self._change(lambda ledger: ledger.drop(endpoint_id))
            self._on_change()

    # --- redeeming --------------------------------------------------------------------------------------------

    async def redeem(self, taker: EndpointId, message: bytes) -> bytes:
        """Answer an endpoint that shows an invite; what was wrong with it is part of the answer."""
        now = self._clock()
        if not self._shown.take(taker, asyncio.get_running_loop().time()):
            return encode_message(
                RedeemReply(_BUSY, "you show invites too often; it is tried again in a moment", now)
            )
        try:
            redemption = await self._redeem(taker, message, now)
        except InviteError as error:
            _logger.info("an invite of %s… is not taken: %s", taker.short, error)
            return encode_message(RedeemReply(error.code, str(error)[:400], now))
        except StateError as error:
            _logger.error("an invite of %s… is not taken: %s", taker.short, error)  # noqa: TRY400 - the disk's fault
            return encode_message(
                RedeemReply(_BUSY, "its issuer cannot write that down now; it is tried again", now)
            )
        return encode_message(
            RedeemReply("", "", now, redemption.services, float(redemption.until), redemption.petname)
        )

    async def _redeem(self, taker: EndpointId, message: bytes, now: float) -> Redemption:
        request = decode_request(message)
        chain = Chain.parse(request.chain, self._secret_key.endpoint_id)
        chain.check_proof(taker, request.proof)
        redemption, is_new = await self._change(
            lambda ledger: ledger.redeem(chain, taker, now, wanted=request.nickname)
        )
        if is_new:
            _logger.info("an invite was taken", extra={"endpoint": taker.short})
        if not is_new and redemption.petname:
            return redemption  # all of it was done then; who shows it again and again makes us write nothing
        # On disk now: whatever happens from here on, it was taken once, and by this endpoint.
        petname = await self._admitted(redemption.wanted, taker, _packet(request.record, taker, now))
        if petname != redemption.petname:
            redemption = await self._change(lambda ledger: _named(ledger, redemption, petname))
        self._on_change()
        return redemption

    async def _admitted(self, wanted: str, taker: EndpointId, packet: SignedPacket | None) -> str:
        """What the taker is called here now; empty if it can be no contact, which does not take its grant away."""
        try:
            async with self._admitting:  # of two who want one name, the second is to be given another
                return await self._admit(wanted, taker, packet)
        except UsageError as error:
            _logger.warning("who took an invite is no contact: %s", error)
            return ""

    # --- within -----------------------------------------------------------------------------------------------

    async def _change(self, act: Callable[[Ledger], _Result]) -> _Result:
        """Let `act` change the ledger, save it, and make the change count; or nothing has changed."""
        async with self._lock:
            trial = self.ledger.copy()
            result = act(trial)
            saved = trial.to_json()
            if saved != self.ledger.to_json():
                saving = asyncio.get_running_loop().run_in_executor(
                    None, self._home.save_state, _STATE, saved
                )
                try:
                    await asyncio.shield(saving)
                except asyncio.CancelledError:  # the caller hung up; what is on disk counts all the same
                    await asyncio.wait((saving,))
                    if saving.exception() is None:
                        self._take(trial)
                    raise
                self._take(trial)
            return result

    def _take(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._grants = self._by_endpoint()
        self._changed.set()

    def _by_endpoint(self) -> dict[EndpointId, list[Grant]]:
        grants: dict[EndpointId, list[Grant]] = {}
        for grant in self.ledger.grants(self._clock()):
            grants.setdefault(grant.endpoint_id, []).append(grant)
        return grants

    async def _watch(self) -> None:
        """End what uses a grant when the grant ends."""
        while True:
            now = self._clock()
            ends = [grant.until for grants in self._grants.values() for grant in grants]
            if any(end <= now for end in ends):
                self._grants = self._by_endpoint()
                self._on_change()
                continue
            self._changed.clear()
            try:
                async with asyncio.timeout(min([GRANTS_LOOK_SECONDS, *(end - now for end in ends)])):
                    await self._changed.wait()
            except TimeoutError:
                continue


_BUSY: Final = "busy"
"""The code of an answer after which the taker is to try again."""


def _named(ledger: Ledger, redemption: Redemption, petname: str) -> Redemption:
    for entry in ledger.redemptions:
        if entry.serials == redemption.serials and entry.endpoint_id == redemption.endpoint_id:
            entry.petname = petname
            return entry
    return redemption


def _packet(data: bytes, taker: EndpointId, now: float) -> SignedPacket | None:
    """The taker's own record, if it is good now; None for anything else."""
    try:
        packet = SignedPacket.parse(data)
        EndpointRecord.from_packet(packet).check_fresh(now)  # a packet may be signed and hold anything
    except RecordError:
        return None
    return packet if packet.endpoint_id == taker else None


def _empty() -> dict[str, Any]:
    return {"version": 1}
