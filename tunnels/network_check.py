"""The measurement of the network: when it is made, with whom, and how long it is believed.

Fresh sockets show the NAT's behaviour; where the tunnels' own socket is seen, the gatherer asks anyway, so that nothing
else is sent from it.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Final

from tunnels import limits
from tunnels.errors import Unreachable
from tunnels.nat.behavior import Mapping, Observation, behavior_of, mapping_of
from tunnels.nat.levels import with_router
from tunnels.nat.probes import Burst
from tunnels.nat.report import FamilyReport, NetworkReport, RouterReport
from tunnels.nat.trace import Trace
from tunnels.nat.waiting import LifetimeProbe
from tunnels.transports.probe_sockets import measure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tunnels.addresses import Address
    from tunnels.gathering import Gatherer
    from tunnels.mapped_port import MappingStatus
    from tunnels.nat.lifetime import Lifetime
    from tunnels.nat.nat64 import Nat64
    from tunnels.transports.probe_sockets import Measurement

_OWN: Final = -1
"""The tunnels' own socket among observations."""


class NetworkCheck:
    """Measures one at a time, no more often than `limits.NETCHECK_EVERY`; keeps the last report of this network."""

    def __init__(
        self,
        gatherer: Gatherer,
        *,
        run: Callable[[Measurement, Nat64 | None], Awaitable[None]] = measure,
        mapping: Callable[[int], MappingStatus | None] = lambda _: None,
        nat64: Callable[[], Nat64 | None] = lambda: None,
    ) -> None:
        """`run` lets a burst send and receive; `mapping` tells of our port at the router, by IP version; `nat64` is how IPv4 is
        reached without an IPv4 address.
        """
        self._gatherer = gatherer
        self._mapping = mapping
        self._nat64 = nat64
        self._run = run
        self._lock = asyncio.Lock()
        self._began = -inf
        self._network = 0
        """Counts the networks we were in."""
        self._kept: NetworkReport | None = None
        self._kept_of: tuple[Address, ...] = ()
        self._waiting = asyncio.Lock()
        self._lifetimes: dict[int, Lifetime] = {}
        """Of this network, by IP version; empty until somebody wants to know."""
        self.flows = 0
        """How many our router had to remember for the last measurement over IPv4, at `flows_at`."""
        self.flows_at = -inf

    def network_changed(self) -> None:
        """What was measured is of another network."""
        self._network += 1
        self._kept = None
        self._lifetimes = {}

    async def report_with_lifetime(self) -> NetworkReport:
        """The same, with how long mappings live: that takes minutes once in each network. Unreachable as `report` has it."""
        async with self._waiting:
            report = await self._report(limits.NETCHECK_KEPT)
            if not self._lifetimes:
                network = self._network
                probes = {
                    version: LifetimeProbe(next(iter(family.answered), None), chance=os.urandom)
                    for version, family in ((4, report.ipv4), (6, report.ipv6))
                }
                await asyncio.sleep(max(0.0, self._began + limits.NETCHECK_EVERY - time.monotonic()))
                nat64 = self._nat64()
                await asyncio.gather(
                    *(self._run(probe, nat64 if version == 4 else None) for version, probe in probes.items())
                )
                if network != self._network:
                    raise Unreachable("the network changed while it was measured; try again when it is quiet")
                self._lifetimes = {version: probe.lifetime for version, probe in probes.items()}
                self._kept = self._with_lifetimes(report)
            return self._with_router(self._with_lifetimes(report))

    async def report(self, max_age: float = limits.NETCHECK_KEPT) -> NetworkReport:
        """The last report if it is no older, in seconds; else a new one. What the router says is of this moment.

        Unreachable if no STUN server is known, or if the network changes all the time.
        """
        return self._with_router(await self._report(max_age))

    async def _report(self, max_age: float = limits.NETCHECK_KEPT) -> NetworkReport:
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
                    self._kept, self._kept_of = self._with_lifetimes(report), servers
                    return self._kept
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
        nat64 = self._nat64()
        bursts = {
            version: Burst(
                [server for server in servers if server.ip.version == version]
                if self._gatherer.has_address(version) or (version == 4 and nat64 is not None)
                else [],
                local_ips=local,
                chance=os.urandom,
            )
            for version in (4, 6)
        }
        # Where nothing is translated, as IPv6 is not, there is nothing to count.
        trace = Trace(next(iter(bursts[4].servers), None), chance=os.urandom)
        await asyncio.gather(self._run(bursts[4], nat64), self._run(bursts[6], None), self._run(trace, nat64))
        now = time.monotonic()
        self.flows, self.flows_at = bursts[4].flows + trace.flows, now
        return NetworkReport(
            ipv4=self._family(bursts[4], 4, trace),
            ipv6=self._family(bursts[6], 6),
            measured_at=now,
            seconds=now - began,
        )

    def _with_lifetimes(self, report: NetworkReport) -> NetworkReport:
        if not self._lifetimes:
            return report
        families = [
            replace(family, behavior=replace(family.behavior, lifetime=self._lifetimes[version]))
            for version, family in ((4, report.ipv4), (6, report.ipv6))
        ]
        return replace(report, ipv4=families[0], ipv6=families[1])

    def _with_router(self, report: NetworkReport) -> NetworkReport:
        status, pinhole = self._mapping(4), self._mapping(6)
        if status is not None and status.router:
            seen = report.ipv4.behavior
            levels = with_router(seen.levels, status.outside, seen.external_ips)
            ipv4 = replace(report.ipv4, behavior=replace(seen, levels=levels))
            report = replace(report, ipv4=ipv4, router=_router(status))
        if pinhole is not None and pinhole.router:
            report = replace(report, firewall=_router(pinhole))
        return report

    def _family(self, burst: Burst, version: int, trace: Trace | None = None) -> FamilyReport:
        nat64 = self._nat64()
        seen = {
            server: address
            for server, address in self._gatherer.sightings().items()
            if address.ip.version == version and server in burst.servers
        }
        hops = trace.hops if trace is not None else ()
        own = [Observation(_OWN, 0, server, address, 0.0) for server, address in seen.items()]
        return FamilyReport(
            has_address=self._gatherer.has_address(version),
            nat64=nat64.prefix if version == 4 and nat64 is not None else None,
            asked=burst.servers,
            answered=burst.answered,
            shows_filtering=burst.has_two_addresses,
            behavior=behavior_of(replace(burst.evidence(), hops=hops)),
            own_mapping=mapping_of(own) if own else Mapping.UNKNOWN,
            own_addresses=tuple(dict.fromkeys(seen.values())),
        )


def _router(status: MappingStatus) -> RouterReport:
    return RouterReport(status.router, status.spoken, status.outside, status.external, status.verdict)
