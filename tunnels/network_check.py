"""The measurement of the network: when it is made, with whom, and how long it is believed.

Fresh sockets show the NAT's behaviour; where the tunnels' own socket is seen, the gatherer asks anyway, so that nothing
else is sent from it.
"""

from __future__ import annotations

import asyncio
import os
import time
from math import inf
from typing import TYPE_CHECKING, Final

from tunnels import limits
from tunnels.errors import Unreachable
from tunnels.nat.behavior import Mapping, Observation, behavior_of, mapping_of
from tunnels.nat.probes import Burst
from tunnels.nat.report import FamilyReport, NetworkReport
from tunnels.transports.probe_sockets import measure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tunnels.addresses import Address
    from tunnels.gathering import Gatherer

_OWN: Final = -1
"""The tunnels' own socket among observations."""


class NetworkCheck:
    """Measures one at a time, no more often than `limits.NETCHECK_EVERY`; keeps the last report of this network."""

    def __init__(self, gatherer: Gatherer, *, run: Callable[[Burst], Awaitable[None]] = measure) -> None:
        """`run` lets a burst send and receive."""
        self._gatherer = gatherer
        self._run = run
        self._lock = asyncio.Lock()
        self._began = -inf
        self._network = 0
        """Counts the networks we were in."""
        self._kept: NetworkReport | None = None
        self._kept_of: tuple[Address, ...] = ()

    def network_changed(self) -> None:
        """What was measured is of another network."""
        self._network += 1
        self._kept = None

    async def report(self, max_age: float = limits.NETCHECK_KEPT) -> NetworkReport:
        """The last report if it is no older, in seconds; else a new one.

        Unreachable if no STUN server is known, or if the network changes all the time.
        """
        async with self._lock:
            found = self._last(max_age)
            if found is not None:
                return found
            for _ in range(2):  # once more if the network changed meanwhile
                await self._rest()
                found = self._last(max(max_age, limits.NETCHECK_EVERY))
                if found is not None:
                    return found
                servers = self._gatherer.servers
                if not servers:
                    raise Unreachable(
                        "no STUN server is known that could tell how this network behaves; a beacon names one"
                    )
                network, self._began = self._network, time.monotonic()
                report = await self._measure(servers)
                if network == self._network:
                    self._kept, self._kept_of = report, servers
                    return report
            raise Unreachable("the network changed while it was measured; try again when it is quiet")

    def _last(self, max_age: float) -> NetworkReport | None:
        """The report that is kept, if it is no older and of the servers that we would ask now."""
        kept = self._kept
        if kept is None or self._kept_of != self._gatherer.servers:
            return None
        return kept if time.monotonic() - kept.measured_at <= max_age else None

    async def _rest(self) -> None:
        """Until the servers have something left for us."""
        wait = self._began + limits.NETCHECK_EVERY - time.monotonic()
        if wait > 0 and self._last(limits.NETCHECK_EVERY) is None:
            await asyncio.sleep(wait)

    async def _measure(self, servers: tuple[Address, ...]) -> NetworkReport:
        began = time.monotonic()
        self._gatherer.refresh()
        local = self._gatherer.local_ips
        bursts = {
            version: Burst(
                [server for server in servers if server.ip.version == version]
                if self._gatherer.has_address(version)
                else [],
                local_ips=local,
                chance=os.urandom,
            )
            for version in (4, 6)
        }
        await asyncio.gather(*(self._run(burst) for burst in bursts.values()))
        now = time.monotonic()
        return NetworkReport(
            ipv4=self._family(bursts[4], 4),
            ipv6=self._family(bursts[6], 6),
            measured_at=now,
            seconds=now - began,
        )

    def _family(self, burst: Burst, version: int) -> FamilyReport:
        seen = {
            server: address
            for server, address in self._gatherer.sightings().items()
            if address.ip.version == version and server in burst.servers
        }
        own = [Observation(_OWN, 0, server, address, 0.0) for server, address in seen.items()]
        return FamilyReport(
            has_address=self._gatherer.has_address(version),
            asked=burst.servers,
            answered=burst.answered,
            shows_filtering=burst.has_two_addresses,
            behavior=behavior_of(burst.evidence()),
            own_mapping=mapping_of(own) if own else Mapping.UNKNOWN,
            own_addresses=tuple(dict.fromkeys(seen.values())),
        )
