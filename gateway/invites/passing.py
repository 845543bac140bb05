"""Passing an invite on by a spoken code: both sides, at a beacon that both are connected to. ⚡"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from gateway.errors import GatewayError, UsageError
from gateway.invites.errors import CodesUnsupported, CodeUnknown, CodeWrong
from gateway.invites.limits import CODE_SECONDS, CODES, CODES_OVER
from gateway.invites.spoken import OVER, Code, Giver, GiverState, Taker
from gateway.invites.texts import invite_bytes, invite_from
from tunnels.errors import TunnelError
from tunnels.identity import EndpointId
from tunnels.limits import NAMEPLATE_TOKEN
from tunnels.relay.status import RelayState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from gateway.invites.capability import Invite
    from tunnels.addresses import BeaconUrl
    from tunnels.relay.frames import Claimed, Plated
    from tunnels.relay.status import RelayStatus


class MeetingPlaces(Protocol):
    """What codes need of our beacons; `tunnels.transports.relayed.RelayTransport`."""

    def status(self) -> tuple[RelayStatus, ...]:
        """Our beacons."""

    async def put_nameplate(self, token: bytes, beacon: BeaconUrl | None = None) -> Plated:
        """Wait to be found under a number."""

    async def claim_nameplate(self, number: int, *, take: bool, beacon: BeaconUrl | None = None) -> Claimed:
        """Who waits under a number."""

    def release_nameplate(self, number: int, beacon: BeaconUrl) -> None:
        """Wait no more."""

    def expect_mail(self, token: bytes, heard: Callable[[EndpointId, bytes], None]) -> None:
        """Hear what comes for this token."""

    def heard_enough(self, token: bytes) -> None:
        """Hear it no more."""

    def send_mail(self, endpoint_id: EndpointId, token: bytes, said: bytes, beacon: BeaconUrl) -> bool:
        """Say something to whom we met."""


class OfferState(Enum):
    """What became of a code of ours."""

    WAITING = "waiting"
    TALKING = "talking"
    """Somebody says it."""
    PASSED = "passed"
    """Who said it has the invite."""
    GUESSED = "guessed"
    """Somebody said other words: the code is dead."""
    EXPIRED = "expired"
    FAILED = "failed"
    """We could not make the invite, or could not send it; or it was cancelled."""


@dataclass(slots=True)
class Offer:
    """One code of ours; `changed` is set at each change of its state."""

    code: Code
    token: bytes
    """Of its nameplate."""
    beacon: BeaconUrl
    expires: float
    """Unix seconds."""
    state: OfferState = OfferState.WAITING
    reason: str = ""
    taker: EndpointId | None = None
    invite: Invite | None = None
    """What was passed."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing comes of it any more."""
        return self.state not in (OfferState.WAITING, OfferState.TALKING)

    def become(self, state: OfferState, reason: str = "") -> None:
        """Change the state, and wake whoever waits for that."""
        self.state, self.reason = state, reason
        self.changed.set()
        self.changed = asyncio.Event()


class SpokenCodes:
    """Codes that we gave, and saying those of others."""

    def __init__(
        self,
        own_id: EndpointId,
        *,
        places: Callable[[], MeetingPlaces],
        spawn: Callable[[Coroutine[object, object, None], str], asyncio.Task[None]],
        clock: Callable[[], float],
        seconds: float = CODE_SECONDS,
    ) -> None:
        """`clock` gives unix seconds; `seconds` is how long one exchange may take."""
        self._own_id = own_id
        self._places = places
        self._spawn = spawn
        self._clock = clock
        self._seconds = seconds
        self._offers: dict[str, Offer] = {}

    # --- giving -----------------------------------------------------------------------------------------------

    async def offer(self, make: Callable[[EndpointId], Awaitable[Invite]]) -> Offer:
        """A new code, that waits at our home; `make` makes the invite for who says it.

        UsageError when too many wait, CodesUnsupported when there is no beacon for it.
        """
        if sum(not offer.is_over for offer in self._offers.values()) >= CODES:
            raise UsageError(f"invite: {CODES} codes wait already, the most there may be; cancel one")
        place = self._home()
        token = os.urandom(NAMEPLATE_TOKEN)
        try:
            plated = await self._places().put_nameplate(token, place)
        except TunnelError as error:
            raise CodesUnsupported(f"invite: no code can wait: {error}") from None
        code = await asyncio.to_thread(Code.make, plated.number, os.urandom)
        offer = Offer(code, token, place, self._clock() + plated.seconds)
        self._remember(offer)
        offer.task = self._spawn(self._wait(offer, float(plated.seconds), make), "spoken code")
        return offer

    def find(self, code: str) -> Offer:
        """The offer of this code; CodeUnknown if there is none."""
        offer = self._offers.get(code)
        if offer is None:
            raise CodeUnknown(f"invite: the code {code[:40]} is not one of ours")
        return offer

    def cancel(self, code: str) -> Offer:
        """Wait with this code no more."""
        offer = self.find(code)
        if not offer.is_over:
            offer.become(OfferState.FAILED, "it was cancelled")
            if offer.task is not None:
                offer.task.cancel()
            self._close(offer)  # the task may not have begun
        return offer

    def _close(self, offer: Offer) -> None:
        places = self._places()
        places.heard_enough(offer.token)
        places.release_nameplate(offer.code.number, offer.beacon)

    def _remember(self, offer: Offer) -> None:
        over = [code for code, other in self._offers.items() if other.is_over]
        for code in over[: max(0, len(over) - CODES_OVER + 1)]:
            del self._offers[code]
        self._offers[str(offer.code)] = offer

    async def _wait(
        self,
        offer: Offer,
        seconds: float,
        make: Callable[[EndpointId], Awaitable[Invite]],
    ) -> None:
        places = self._places()
        heard: asyncio.Queue[tuple[EndpointId, bytes]] = asyncio.Queue(_LETTERS)
        places.expect_mail(offer.token, lambda sender, said: _put(heard, sender, said))
        giver = Giver(offer.code, self._own_id, offer.token, os.urandom)
        try:
            async with asyncio.timeout(seconds) as deadline:
                while giver.state in (GiverState.WAITING, GiverState.TALKING):
                    sender, said = await heard.get()
                    was_waiting = giver.state is GiverState.WAITING
                    answer = await asyncio.to_thread(giver.receive, sender, said)
                    if answer is not None and giver.taker is not None:
                        places.send_mail(giver.taker, offer.token, answer, offer.beacon)
                    if was_waiting and giver.state is not GiverState.WAITING:
                        offer.taker = giver.taker
                        offer.become(OfferState.TALKING)
                        deadline.reschedule(asyncio.get_running_loop().time() + self._seconds)
        except TimeoutError:
            if giver.state is GiverState.WAITING:
                offer.become(OfferState.EXPIRED, "nobody said it in time; make a new one")
            else:
                offer.become(OfferState.GUESSED, f"{_who(giver)} began to say it and went away; {_DEAD}")
        else:
            if giver.state is GiverState.GUESSED:
                offer.become(OfferState.GUESSED, f"{_who(giver)} said other words; {_DEAD}")
            else:
                await self._give(offer, giver, make)
        finally:
            self._close(offer)

    async def _give(
        self, offer: Offer, giver: Giver, make: Callable[[EndpointId], Awaitable[Invite]]
    ) -> None:
        places, taker = self._places(), giver.taker
        assert taker is not None  # noqa: S101 - who confirmed is somebody
        try:
            offer.invite = await make(taker)
        except GatewayError as error:
            places.send_mail(taker, offer.token, OVER, offer.beacon)
            offer.become(OfferState.FAILED, str(error))
            return
        if places.send_mail(taker, offer.token, giver.give(invite_bytes(offer.invite)), offer.beacon):
            offer.become(OfferState.PASSED)
        else:
            offer.become(OfferState.FAILED, "the beacon went away; make a new code")

    # --- saying -----------------------------------------------------------------------------------------------

    async def say(self, text: str, beacon: BeaconUrl | None = None) -> Invite:
        """Say a code, at `beacon` or at the one of ours where it waits; the invite that it stands for.

        UsageError for what is no code, and no guess is spent; CodesUnsupported, CodeUnknown, CodeWrong otherwise, or an
        InviteError for what came.
        """
        code = await asyncio.to_thread(Code.parse, text)  # the words are read from the disk
        place = await self._place_of(code, beacon)
        try:
            claimed = await self._places().claim_nameplate(code.number, take=True, beacon=place)
            giver = EndpointId.parse(claimed.id) if claimed.found else None
        except (TunnelError, ValueError) as error:
            raise CodesUnsupported(f"join: the code cannot be said: {error}") from None
        if giver is None or len(claimed.token) != NAMEPLATE_TOKEN:
            raise CodeUnknown(self._not_there(code, (place,)))
        if giver == self._own_id:
            raise UsageError("join: this code is your own; say it to somebody else")
        return await self._exchange(code, giver, claimed.token, place)

    async def _exchange(self, code: Code, giver: EndpointId, token: bytes, place: BeaconUrl) -> Invite:
        places = self._places()
        heard: asyncio.Queue[tuple[EndpointId, bytes]] = asyncio.Queue(_LETTERS)
        places.expect_mail(token, lambda sender, said: _put(heard, sender, said))
        try:
            taker = await asyncio.to_thread(Taker, code, self._own_id, giver, token, os.urandom)
            async with asyncio.timeout(self._seconds):
                said: bytes | None = await asyncio.to_thread(taker.begin)
                while taker.invite is None:
                    if said is not None:
                        places.send_mail(giver, token, said, place)
                    sender, received = await heard.get()
                    said = await asyncio.to_thread(taker.receive, received) if sender == giver else None
        except TimeoutError:
            raise CodeWrong(
                f"join: who made the code did not answer within {self._seconds:.0f} s; it is used up: ask for a new one"
            ) from None
        finally:
            places.heard_enough(token)
        return invite_from(taker.invite)

    async def _place_of(self, code: Code, beacon: BeaconUrl | None) -> BeaconUrl:
        """The beacon of ours at which the code waits; asked without taking it, so that no code of somebody else is used up."""
        if beacon is not None:
            return beacon
        able = self._all()
        if len(able) == 1:
            return able[0]
        tags = await asyncio.gather(*(self._tag_at(code, place) for place in able))
        # Nodes of one fleet have the same numbers: of those that give the same tag any will do.
        found = {tag: place for place, tag in zip(able, tags, strict=True) if tag is not None}
        if not found:
            raise CodeUnknown(self._not_there(code, able))
        if len(found) > 1:
            raise UsageError(
                f"join: codes with the number {code.number} wait at several of your beacons; say which is meant: "
                + " or ".join(f"--beacon {place.origin}" for place in found.values())
            )
        return next(iter(found.values()))

    async def _tag_at(self, code: Code, place: BeaconUrl) -> bytes | None:
        """What tells the code's nameplate there from others; None if there is none, or no answer."""
        try:
            there = await self._places().claim_nameplate(code.number, take=False, beacon=place)
        except TunnelError:
            return None
        return there.tag if there.found else None

    def _not_there(self, code: Code, asked: tuple[BeaconUrl, ...]) -> str:
        where = ", ".join(place.authority for place in asked)
        return (
            f"join: no code {code.number}-… waits at {where}: it was used, cancelled, or is older than ten minutes, "
            "or it waits at another beacon; ask for a new one, or name theirs with --beacon URL"
        )

    # --- beacons ----------------------------------------------------------------------------------------------

    def _home(self) -> BeaconUrl:
        """Where a code of ours waits; CodesUnsupported if there is no such place."""
        up = [status for status in self._places().status() if status.state is RelayState.CONNECTED]
        able = [status for status in up if status.welcome is not None and status.welcome.nameplates]
        if able:
            return next((status.url for status in able if status.is_home), able[0].url)
        raise _unsupported(up)

    def _all(self) -> tuple[BeaconUrl, ...]:
        """Where a code of somebody else may wait: our beacons, connected or not, our home first."""
        known = self._places().status()
        able = [status for status in known if status.welcome is None or status.welcome.nameplates]
        if not able:
            raise _unsupported(list(known))
        return tuple(status.url for status in sorted(able, key=lambda status: not status.is_home))


def _unsupported(beacons: list[RelayStatus]) -> CodesUnsupported:
    if beacons:
        return CodesUnsupported(
            f"the beacon {beacons[0].url.authority} is too old to pass codes on; update it, "
            "or use the invite itself: overlay invite"
        )
    return CodesUnsupported(
        "codes need a beacon that both sides are connected to, and none is connected here (see: overlay status); "
        "name one with: overlay up --beacon URL, or use the invite itself: overlay invite"
    )


_LETTERS = 8
"""What comes for one code and is not looked at yet; an exchange has four."""

_DEAD = "the code is dead, nobody got anything; make a new one"


def _who(giver: Giver) -> str:
    return f"{giver.taker.short}…" if giver.taker is not None else "somebody"


def _put(heard: asyncio.Queue[tuple[EndpointId, bytes]], sender: EndpointId, said: bytes) -> None:
    if not heard.full():
        heard.put_nowait((sender, said))
