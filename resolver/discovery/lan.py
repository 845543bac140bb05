"""The local network as a record source: who is on it tells of itself, and is asked, without any server.

Two ways at once: multicast DNS (`lan_mdns`), which other programs understand, and datagrams of our own (`lan_broadcast`) for
networks that filter that. Each works without the other, and over IPv4 and IPv6. Whatever comes by either is verified in one
place (`lan_hearing`). The times of this room are those of the event loop, and the time of day is passed in.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from resolver.discovery import lan_messages
from resolver.discovery.base import Scope
from resolver.discovery.lan_broadcast import LanBroadcast
from resolver.discovery.lan_hearing import Heard, Hearing
from resolver.discovery.lan_mdns import LanMdns
from resolver.discovery.lan_talk import LanTalk
from resolver.errors import DiscoveryError, MalformedMessage
from resolver.limits import (
    LAN_ANNOUNCE_TIMES,
    LAN_FAREWELL_GAP,
    LAN_FAREWELLS,
    LAN_FIND_SECONDS,
    LAN_REFRESH_SECONDS,
)
from resolver.records import EndpointRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from ipaddress import IPv4Address, IPv6Address
    from typing import Any

    from resolver.discovery.lan_links import LanLink
    from resolver.signed_packets import SignedPacket
    from tunnels.addresses import Address
    from tunnels.identity import EndpointId

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LanStatus:
    """What works on the local network."""

    interfaces: tuple[str, ...]
    """Those that we are on; none if there is no local network."""
    mdns: tuple[int, ...]
    """The IP versions in which multicast DNS works."""
    mdns_problem: str
    """Why it does not; empty if it does, or is not wanted."""
    fallback: tuple[int, ...]
    """The IP versions in which our own datagrams work."""
    fallback_problem: str
    heard: int
    """Endpoints that are known to be there."""
    refused: int
    """Packets that were forged, or no records."""
    dropped: int
    """Packets that were not looked at, because there were too many."""


class LanSource:
    """The endpoints on our local networks. `start` it once the tunnels have their port, `close` it before them."""

    name = "local network"
    scope = Scope.LOCAL

    def __init__(
        self,
        own: EndpointId,
        *,
        port: int,
        mdns: bool = True,
        fallback: bool = True,
        links: Callable[[], tuple[LanLink, ...]],
        is_known: Callable[[EndpointId], bool],
        on_heard: Callable[[SignedPacket], None],
        farewell: Callable[[], SignedPacket],
        spawn: Callable[[Coroutine[Any, Any, None], str], object],
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        """`port` is of the datagrams of our own. `links` are our networks as they are now, `is_known` tells who is a contact,
        `on_heard` gets what is heard for the first time or is newer. `farewell` signs a record that has expired, for our
        last words. `clock` gives unix seconds, `chance` numbers in [0, 1).
        """
        self._own = own
        self._port = port
        self._with_mdns, self._with_fallback = mdns, fallback
        self._links_now = links
        self._on_heard = on_heard
        self._farewell = farewell
        self._spawn = spawn
        self._clock = clock
        self._heard = Heard(own, is_known)
        self._talk = LanTalk(chance)
        self._links: tuple[LanLink, ...] = ()
        self._packet: SignedPacket | None = None
        self._says: EndpointRecord | None = None
        """What our record says, whenever it was signed."""
        self._waiting: dict[EndpointId, set[asyncio.Future[SignedPacket]]] = {}
        self._mdns: LanMdns | None = None
        self._broadcast: LanBroadcast | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._settling: list[asyncio.TimerHandle] = []
        self._logged = ""
        self._is_running = False

    def __repr__(self) -> str:
        return f"<LanSource on {', '.join(link.name for link in self._links) or 'nothing'}, {len(self._heard)} heard>"

    async def start(self) -> None:
        """Open the sockets; what does not work now is told by `status`, and tried again when the network changes."""
        self._loop = asyncio.get_running_loop()
        self._is_running = True
        if self._with_mdns:
            self._mdns = LanMdns(
                self._own,
                heard=lambda data: self._hear(data, None),
                gone=self._said_goodbye,
                spawn=self._spawn,
            )
        if self._with_fallback:
            self._broadcast = LanBroadcast(self._port, self._received)
        await self._look()
        self._settle()
        if self._packet is not None:
            self._says = None
            await self.publish(self._packet)

    async def close(self) -> None:
        """Say goodbye on all ways, and close all sockets; idempotent."""
        if not self._is_running:
            return
        self._is_running = False
        self._stop_timers()
        await asyncio.gather(self._close_broadcast(), self._close_mdns())
        for futures in self._waiting.values():
            for future in futures:
                future.cancel()

    @property
    def is_somewhere(self) -> bool:
        """Whether there is a local network."""
        return bool(self._links)

    def network_changed(self) -> None:
        """Our addresses or interfaces are others: hear and speak where we are now.

        What we say of them is others' to change: until that is published we announce nothing, or for a second at most.
        """
        if self._is_running:
            self._says = None
            self._spawn(self._look(), "look at the local network")
            self._settle()

    # --- as a record source -----------------------------------------------------------------------------

    async def find(self, endpoint_id: EndpointId) -> SignedPacket | None:
        """What was heard of the endpoint, else what it answers within LAN_FIND_SECONDS."""
        if not self._is_running or not self._links:
            raise DiscoveryError("this machine is on no local network")
        now = self._loop.time()
        known = self._heard.get(endpoint_id, now, self._clock())
        if known is not None:
            heard_at = self._heard.heard_at(endpoint_id)
            if heard_at is None or heard_at + LAN_REFRESH_SECONDS <= now:
                self._ask(endpoint_id, now)
            return known
        future: asyncio.Future[SignedPacket] = self._loop.create_future()
        self._waiting.setdefault(endpoint_id, set()).add(future)
        self._ask(endpoint_id, now)
        if self._mdns is not None:
            self._spawn(self._mdns.find(endpoint_id), "ask by multicast DNS")
        try:
            async with asyncio.timeout(LAN_FIND_SECONDS):
                return await future
        except TimeoutError:
            return None
        finally:
            futures = self._waiting.get(endpoint_id, set())
            futures.discard(future)
            if not futures:
                self._waiting.pop(endpoint_id, None)
                self._talk.stop_asking(endpoint_id)

    async def publish(self, packet: SignedPacket) -> None:
        """Announce this record of ours from now on."""
        record = EndpointRecord.from_packet(packet)
        says = replace(record, timestamp=0, expires=0)
        is_news, self._says = says != self._says, says
        self._packet = packet
        if self._is_running:
            self._talk.set_packet(packet.to_bytes(), self._loop.time(), is_news=is_news)
            self._progress()
            if self._mdns is not None:
                await self._mdns.publish(packet.to_bytes(), record)

    async def withdraw(self) -> None:
        """Say goodbye, and hear others only, until something is published again."""
        if self._packet is None or not self._is_running:
            return
        self._packet, self._says = None, None
        async with asyncio.TaskGroup() as group:
            group.create_task(self._leave(), name="goodbye")
            if self._mdns is not None:
                group.create_task(self._mdns.withdraw(), name="goodbye by multicast DNS")

    def heard(self) -> tuple[SignedPacket, ...]:
        """The records of everybody who is there."""
        return self._heard.packets(self._loop.time(), self._clock()) if self._is_running else ()

    def status(self) -> LanStatus:
        """What works."""
        mdns, broadcast = self._mdns, self._broadcast
        return LanStatus(
            interfaces=tuple(link.name for link in self._links),
            mdns=mdns.versions if mdns is not None and self._links else (),
            mdns_problem=mdns.problem if mdns is not None else "",
            fallback=broadcast.versions if broadcast is not None else (),
            fallback_problem="; ".join(broadcast.problems.values()) if broadcast is not None else "",
            heard=len(self.heard()),
            refused=self._heard.refused,
            dropped=self._heard.dropped,
        )

    # --- networks ---------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Be where our networks are; what was not ready before may be now."""
        self._links = self._links_now()
        if self._broadcast is not None:
            self._broadcast.set_links(self._links)
        if self._mdns is not None:
            await self._mdns.set_links(self._links)
        self._tell_problems()

    def _settle(self) -> None:
        """Announce us on new networks, and look again when addresses that are new may be used (RFC 4862 §5.4)."""
        self._talk.announce(self._loop.time() + LAN_ANNOUNCE_TIMES[1])
        self._progress()
        for timer in self._settling:
            timer.cancel()
        self._settling = [
            self._loop.call_later(after, lambda: self._spawn(self._look(), "look at the local network"))
            for after in LAN_ANNOUNCE_TIMES[1:]
        ]

    def _tell_problems(self) -> None:
        """Once for each, because the status tells as well."""
        status = self.status()
        problems = "; ".join(
            f"{what}: {problem}"
            for what, problem in (
                ("multicast DNS", status.mdns_problem),
                ("our own datagrams", status.fallback_problem),
            )
            if problem
        )
        if problems and problems != self._logged:
            _logger.warning("on the local network not all works: %s", problems)
        self._logged = problems

    # --- in and out -------------------------------------------------------------------------------------

    def _ask(self, endpoint_id: EndpointId, now: float) -> None:
        self._talk.ask(endpoint_id, now)
        self._progress()

    def _received(self, datagram: bytes, source: Address) -> None:
        with suppress(MalformedMessage):
            message = lan_messages.parse(datagram)
            if message.wanted is not None:
                self._talk.asked(message.wanted, self._own, source, self._loop.time())
            if message.packet:
                self._hear(message.packet, source.ip)
            self._progress()

    def _hear(self, data: bytes, source: IPv4Address | IPv6Address | None) -> None:
        now, unix = self._loop.time(), self._clock()
        endpoint_id = lan_messages.claimed_id(data)
        hearing = self._heard.hear(data, source, now, unix, is_wanted=endpoint_id in self._waiting)
        packet = self._heard.get(endpoint_id, now, unix)
        if packet is None:
            return
        for future in self._waiting.get(endpoint_id, ()):
            if not future.done():
                future.set_result(packet)
        if hearing in (Hearing.NEW, Hearing.NEWER):
            self._talk.stop_asking(endpoint_id)
            self._on_heard(packet)
        if hearing is Hearing.NEW:
            self._talk.met_newcomer(now)

    def _said_goodbye(self, endpoint_id: EndpointId) -> None:
        self._heard.left(endpoint_id)

    def _progress(self) -> None:
        """Send what is due, and wait for what is next."""
        if self._broadcast is None or not self._is_running:
            return
        now = self._loop.time()
        for outgoing in self._talk.datagrams_to_send(now):
            self._broadcast.send(outgoing.datagram, outgoing.to)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._talk.get_timer()
        if due is not None:
            self._timer = self._loop.call_at(due, self._progress)

    # --- the end ----------------------------------------------------------------------------------------

    def _stop_timers(self) -> None:
        for timer in (*self._settling, *([self._timer] if self._timer is not None else [])):
            timer.cancel()

    async def _close_broadcast(self) -> None:
        if self._broadcast is not None:
            if self._packet is not None:
                await self._leave()
            self._broadcast.close()

    async def _leave(self) -> None:
        last = self._talk.farewell(self._farewell().to_bytes())
        for number in range(LAN_FAREWELLS):
            if number:
                await asyncio.sleep(LAN_FAREWELL_GAP)
            if self._broadcast is not None:
                self._broadcast.send(last.datagram, last.to)

    async def _close_mdns(self) -> None:
        if self._mdns is not None:
            await self._mdns.close()
