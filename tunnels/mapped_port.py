"""The port of the tunnels at our router, or the pinhole in its IPv6 firewall, tried by a beacon before peers are told. ⚡

Below are `tunnels.transports.portmapping`, which gets the mapping, and `tunnels.nat.dialback`, which judges it. A mapping
that a beacon's datagram came through is told first of all candidates; one that nobody can try comes last; one that let
nothing in is not told at all, and is replaced by another one.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.addresses import Address
from tunnels.errors import TunnelError
from tunnels.nat.dialback import DialBack, Verdict
from tunnels.relay import frames
from tunnels.relay.status import home_of
from tunnels.transports.igd import is_installed
from tunnels.transports.portmapping import PortMapping, Router, find_router

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address

    from tunnels.nat.portmap import Spoken
    from tunnels.transports.portmapping import Spawn
    from tunnels.transports.relayed import RelayTransport

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MappingStatus:
    """How it is with our port at the router, for people."""

    external: Address | None
    """What it is outside; None while there is no mapping."""
    protocol: str
    """PCP, NAT-PMP or UPnP; empty without a mapping."""
    verdict: Verdict
    router: str
    """Its ip; empty if there is none."""
    problem: str
    """Why there is no mapping, or none that works; empty if there is nothing to say."""
    spoken: tuple[Spoken, ...] = ()
    """What the router does with each protocol; empty without one."""
    outside: IPv4Address | None = None
    """What the router says that its own address outside is."""


class MappedPort:
    """Keeps a mapping and what is known of it."""

    def __init__(
        self,
        relays: RelayTransport,
        *,
        bound: Callable[[], tuple[Address, ...]],
        tell: Callable[[Address | None, bool], None],
        spawn: Spawn,
        find: Callable[[], Router | None] = find_router,
        has_upnp: Callable[[], bool] = is_installed,
    ) -> None:
        """`bound` are our sockets; `tell` is told what peers may be told of, and whether it was verified."""
        self._relays = relays
        self._tell = tell
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._dial_back = DialBack(os.urandom)
        self._mapping = PortMapping(
            bound=bound, on_change=self._mapping_changed, spawn=spawn, find=find, has_upnp=has_upnp
        )
        self._timer: asyncio.TimerHandle | None = None
        self._told_of: Address | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<MappedPort {self._mapping!r}, {self._dial_back!r}>"

    def start(self) -> None:
        """Look for a router; the sockets are bound."""
        self._mapping.start()

    def network_changed(self) -> None:
        """Begin anew where the router is another one; what was verified is verified again."""
        self._dial_back.network_changed()
        self._mapping.network_changed()
        self._mapping_changed()

    def home_changed(self) -> None:
        """Our home beacon is another one, or gone."""
        self._mapping_changed()

    def check(self) -> None:
        """A path broke: the router may have forgotten the mapping."""
        self._mapping.check()

    async def close(self) -> None:
        """Give the mapping back."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self._mapping.close()

    def stun_received(self, datagram: bytes) -> bool:
        """Whether a STUN message was a beacon's, that proves the mapping."""
        known = self._dial_back.receive(datagram, self._loop.time())
        if known:
            self._progress()
        return known

    @property
    def status(self) -> MappingStatus:
        """How it is now."""
        mapping, router = self._mapping.mapping, self._mapping.router
        verdict = self._dial_back.verdict
        problem = self._mapping.problem
        if mapping is not None and verdict is Verdict.DEAD:
            problem = (
                "it is there, and lets nothing in; another NAT, or a firewall, may stand before the router"
            )
        return MappingStatus(
            external=mapping.external if mapping is not None else None,
            protocol=mapping.protocol.value if mapping is not None else "",
            verdict=verdict,
            router=str(router) if router is not None else "",
            problem=problem,
            spoken=self._mapping.spoken,
            outside=self._mapping.outside,
        )

    # --- within -----------------------------------------------------------------------------------------------

    def _mapping_changed(self) -> None:
        if self._closed:
            return
        mapping = self._mapping.mapping
        external = mapping.external if mapping is not None else None
        if external is not None and external != self._told_of:
            _logger.info(
                "the router maps %s to us by %s", external, mapping.protocol.value if mapping else ""
            )
        self._told_of = external
        self._dial_back.set_target(external, self._loop.time(), can_ask=self._can_ask(external))
        self._progress()
        self._offer()

    def _can_ask(self, external: Address | None) -> bool:
        """Whether our home dials back, and does so to that ip: it sends to nowhere but where it sees us."""
        home = home_of(self._relays.status())
        if external is None or home is None or home.welcome is None or not home.welcome.dials_back:
            return False
        try:
            return Address.parse(home.welcome.observed).ip == external.ip
        except ValueError:
            return False

    def _progress(self) -> None:
        """Ask what is to be asked, draw the consequences, and wait for what is next."""
        if self._closed:
            return
        asked = self._dial_back.to_ask(self._loop.time())
        if asked is not None:
            self._spawn(self._ask(*asked), "verifying a port mapping")
        if self._dial_back.take_changed():
            verdict = self._dial_back.verdict
            _logger.debug("the port mapping is %s", verdict.value)
            if self._dial_back.should_replace():
                self._mapping.replace()
            self._offer()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._dial_back.get_timer()
        if due is not None:
            when = max(due, self._loop.time() + limits.TIMER_RESOLUTION)
            self._timer = self._loop.call_at(when, self._progress)

    async def _ask(self, port: int, nonce: bytes) -> None:
        try:
            answer = await self._relays.dial_back(port, nonce)
        except TunnelError as error:
            _logger.debug("the port mapping is not verified: %s", error)
            answer = frames.Dialled(sent=False)
        if not answer.sent and not self._closed:
            self._dial_back.refused(self._loop.time())
            self._progress()

    def _offer(self) -> None:
        mapping = self._mapping.mapping
        match self._dial_back.verdict:
            case Verdict.VERIFIED:
                self._tell(mapping.external if mapping is not None else None, True)
            case Verdict.UNKNOWN:
                self._tell(mapping.external if mapping is not None else None, False)
            case Verdict.TRYING | Verdict.DEAD:
                self._tell(None, False)
