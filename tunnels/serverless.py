"""Connections without any server, for who turned it on: echoes, summonses and openers on their way (`tunnels.nat.pwnat`). ⚡"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Final

from tunnels import limits
from tunnels.addresses import Address
from tunnels.bucket import Bucket
from tunnels.calling import OPENER
from tunnels.errors import ConfigurationError
from tunnels.nat import pwnat
from tunnels.paths.candidates import is_private, is_sane
from tunnels.transports.raw_icmp import RawIcmp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tunnels.addresses import PathAddress
    from tunnels.identity import EndpointId
    from tunnels.nat.pwnat import Ip
    from tunnels.paths.candidates import Candidate

_logger = logging.getLogger(__name__)

OFF: Final = "off"
ON: Final = "on"


class Serverless:
    """Both sides of it for one endpoint: waits, and summons whom we dial."""

    def __init__(
        self,
        endpoint_id: EndpointId,
        targets: Sequence[Ip],
        *,
        bound: Callable[[], tuple[Address, ...]],
        candidates: Callable[[], tuple[Candidate, ...]],
        send: Callable[[bytes, Address], None],
    ) -> None:
        """`targets` are where echoes go, one for each IP version that is wanted, none if it is off; `bound` are our
        sockets, `candidates` where we may be reached, `send` sends from the tunnels' own socket."""
        self._targets: dict[int, Ip] = {target.version: target for target in targets}
        self._bound = bound
        self._candidates = candidates
        self._send = send
        self._loop = asyncio.get_running_loop()
        self.waiting = pwnat.Waiting(endpoint_id)
        self._sockets: dict[int, RawIcmp] = {}
        self._timers: set[asyncio.TimerHandle] = set()
        self._next_echo: asyncio.TimerHandle | None = None
        self._summonses = Bucket(limits.PWNAT_SUMMONSES_PER_SECOND)
        self.state = OFF
        """`OFF`, `ON`, or what is missing."""

    def start(self) -> None:
        """Open the raw sockets and begin to wait; where they cannot be opened, `state` says why, and nothing else happens."""
        for version in sorted({one.ip.version for one in self._bound()} & self._targets.keys()):
            try:
                self._sockets[version] = RawIcmp(version, self._received)
            except ConfigurationError as error:
                self.state = str(error)
                break
        if self._sockets:
            self.state = ON
            self._echo()

    @property
    def missing(self) -> str | None:
        """What is missing, in a line; None if nothing is."""
        return None if self.state in (OFF, ON) else f"pwnat stays off: {self.state}"

    def network_changed(self) -> None:
        """Another NAT may be before us, which knows nothing of us yet."""
        if self._next_echo is not None:
            self._next_echo.cancel()
            self._echo()

    def close(self) -> None:
        """Nothing more is sent or heard."""
        for timer in (*self._timers, *([self._next_echo] if self._next_echo else [])):
            timer.cancel()
        self._timers.clear()
        self._next_echo = None
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()

    # --- waiting ----------------------------------------------------------------------------------------

    def _echo(self) -> None:
        self._next_echo = self._loop.call_later(limits.PWNAT_ECHO_EVERY, self._echo)
        for version, sock in self._sockets.items():
            message = pwnat.echo(self.waiting.endpoint_id, version, _clock())
            for source in self._sources(version):
                sock.send(message, self._targets[version], source)

    def _sources(self, version: int) -> list[IPv6Address | None]:
        """A firewall knows each of our IPv6 addresses by itself, and peers dial those that they were told."""
        if version == 4:
            return [None]
        own = (one.address for one in self._candidates() if isinstance(one.address, Address))
        found: dict[IPv6Address | None, None] = dict.fromkeys(
            one.ip for one in own if isinstance(one.ip, IPv6Address) and not is_private(one)
        )
        return list(found)[: limits.PWNAT_PLACES]

    def _received(self, message: bytes, source: Ip) -> None:
        target = self._targets[source.version]
        place = self.waiting.received(message, source, target, time.monotonic(), _clock())
        if place is not None:
            _logger.info("pwnat: somebody who knows our id calls from %s", place)
            for after in limits.PWNAT_OPENERS:
                self._later(after, lambda: self._send(OPENER, place))

    # --- dialling ---------------------------------------------------------------------------------------

    def summon(
        self, endpoint_id: EndpointId, addresses: Iterable[PathAddress], is_over: Callable[[], bool]
    ) -> None:
        """We dial that endpoint at these addresses: where nothing else works, have it open its NAT for us.

        `is_over` tells when that is not needed any more.
        """
        ips = dict.fromkeys(
            one.ip
            for one in addresses
            if isinstance(one, Address)
            and one.ip.version in self._sockets
            and not is_private(one)
            and is_sane(one, with_loopback=False)
        )
        places = list(ips)[: limits.PWNAT_PLACES]
        if places:
            self._later(limits.PWNAT_AFTER, lambda: self._summon(endpoint_id, places, is_over))

    def _summon(self, endpoint_id: EndpointId, ips: list[Ip], is_over: Callable[[], bool]) -> None:
        if is_over():
            return
        for ip in ips:
            sock, place = self._sockets.get(ip.version), self._place(ip.version)
            if sock is not None and place is not None and self._summonses.take(time.monotonic()):
                nonce, target = os.urandom(8), self._targets[ip.version]
                sock.send(pwnat.summons(endpoint_id, ip, target, place, nonce, _clock()), ip)
        self._later(limits.PWNAT_AGAIN, lambda: self._summon(endpoint_id, ips, is_over))

    def _place(self, version: int) -> Address | int | None:
        """Where our own NAT shows the tunnels' socket: as we know it, else at that socket's port."""
        own = (one.address for one in self._candidates())
        public = (one for one in own if isinstance(one, Address) and not is_private(one))
        known = next((one for one in public if one.ip.version == version), None)
        if version == 4 and known is not None:
            return known
        return next((one.port for one in self._bound() if one.ip.version == version), None)

    def _later(self, seconds: float, do: Callable[[], None]) -> None:
        def fire() -> None:
            self._timers.discard(timer)
            do()

        timer = self._loop.call_later(seconds, fire)
        self._timers.add(timer)


def _clock() -> float:
    """Seconds since 1970: a summons goes from one clock to another."""
    return time.time()  # noqa: TID251
