"""NATs that exist only in memory: each mapping with each filtering and each way to choose ports, on a virtual clock.

nat = VirtualNat(Mapping.ADDRESS_AND_PORT_DEPENDENT, Filtering.ADDRESS_AND_PORT_DEPENDENT, Ports.RANDOM)
evidence = measure(nat)
"""

from __future__ import annotations

import heapq
import itertools
from ipaddress import IPv4Address
from random import Random
from typing import TYPE_CHECKING, Any

from tests.lab.translation import Ports, Rules, Translation
from tunnels.addresses import Address
from tunnels.nat.behavior import Filtering, Mapping
from tunnels.nat.probes import Burst
from tunnels.nat.reflector import Reflector, Site, Sites

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunnels.nat.probes import Probe

OUTSIDE = IPv4Address("203.0.113.9")
INSIDE = IPv4Address("192.168.1.10")


class VirtualNat:
    """Translates the addresses of machines in memory; `more` are other fields of `Rules`."""

    def __init__(
        self,
        mapping: Mapping = Mapping.ENDPOINT_INDEPENDENT,
        filtering: Filtering = Filtering.ADDRESS_AND_PORT_DEPENDENT,
        ports: Ports = Ports.PRESERVING,
        **more: Any,
    ) -> None:
        self.rules = Rules(mapping, filtering, ports, **more)
        self.translation = Translation(self.rules)

    @property
    def hairpins(self) -> bool:
        return self.rules.hairpins

    @property
    def outside_ports(self) -> set[int]:
        return self.translation.outside_ports

    def outbound(self, source: Address, to: Address, now: float) -> Address | None:
        """Where a datagram from inside comes from, as seen outside; None if it does not get out."""
        port = self.translation.outbound(source, to, now)
        return None if port is None else Address(OUTSIDE, port)

    def inbound(self, source: Address, to: Address, now: float) -> Address | None:
        """Who inside gets a datagram that came to `to`; None if nobody."""
        return self.translation.inbound(source, to.port, now) if to.ip == OUTSIDE else None


class VirtualWorld:
    """One machine, a NAT or none before it, and STUN servers, on a clock that jumps to what happens next."""

    def __init__(
        self,
        nat: VirtualNat | None,
        *,
        delay: float = 0.02,
        loss: float = 0.0,
        seed: int = 1,
        blocked: bool = False,
        lateness: float = 0.0,
    ) -> None:
        """`nat` None: the machine is at `OUTSIDE` itself. `delay` is one way; `blocked`: no UDP gets out; `lateness`: by how
        much timers go off too late, at most, as on a busy machine."""
        self.nat, self.delay, self.loss, self.blocked = nat, delay, loss, blocked
        self.lateness = lateness
        self.now = 100.0
        self._random = Random(seed)
        self._servers: dict[Address, Callable[[bytes, Address], tuple[bytes, Address] | None]] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.received: dict[Address, int] = {}
        """Datagrams that came to each place outside; third parties included."""
        self.local_ip = OUTSIDE if nat is None else INSIDE

    def add_reflector(self, *ips: str, ports: tuple[int, ...] = (3478, 3479)) -> Reflector:
        """A beacon's STUN server, with its limits."""
        sites = Sites(tuple(map(IPv4Address, ips)), ports)
        reflector = Reflector(sites, bytes(32))
        for ip, port in itertools.product(range(len(ips)), range(len(ports))):
            self._add_site(reflector, Site(ip, port))
        return reflector

    def _add_site(self, reflector: Reflector, site: Site) -> None:
        def answer(datagram: bytes, source: Address) -> tuple[bytes, Address] | None:
            found = reflector.receive(datagram, source, site, self.now)
            if found is None:
                return None
            origin = reflector.sites.address(found.site)
            assert origin is not None
            return found.datagram, origin

        address = reflector.sites.address(site)
        assert address is not None
        self._servers[address] = answer

    def add_server(
        self, address: Address, answer: Callable[[bytes, Address], tuple[bytes, Address] | None]
    ) -> None:
        """Something of the test's own at that address."""
        self._servers[address] = answer

    def run(self, burst: Burst) -> float:
        """Let a burst measure; the seconds it took."""
        began = self.now
        burst.start(self.now)
        while not burst.is_over:
            for probe in burst.datagrams_to_send(self.now):
                burst.bound(probe.socket, self.port_of(probe.socket))
                self._send(burst, probe)
            timer = burst.get_timer()
            if timer is None:
                break
            if self.lateness:
                timer += self._random.random() * self.lateness
            if self._events and self._events[0][0] <= timer:
                self.now, _, event = heapq.heappop(self._events)
                event()
            else:
                self.now = max(self.now, timer)
            assert self.now - began < 30, "it does not end"
        return self.now - began

    @staticmethod
    def port_of(socket: int) -> int:
        """Of one of the machine's sockets: odd and even ones, in no order."""
        return 40000 + (socket * 7919) % 1000

    def _send(self, burst: Burst, probe: Probe) -> None:
        if self.blocked or self._random.random() < self.loss:
            return
        source = Address(self.local_ip, self.port_of(probe.socket))
        seen = source if self.nat is None else self.nat.outbound(source, probe.to, self.now)
        if seen is None:
            return
        if probe.to.ip == OUTSIDE:
            if self.nat is not None and self.nat.hairpins:
                self._later(0.001, lambda: self._inbound(burst, probe.datagram, seen, probe.to))
            return
        if probe.ttl is not None:  # it dies in the provider's network
            return
        self._later(self.delay, lambda: self._at_server(burst, probe.datagram, seen, probe.to))

    def _at_server(self, burst: Burst, datagram: bytes, source: Address, to: Address) -> None:
        self.received[to] = self.received.get(to, 0) + 1
        server = self._servers.get(to)
        answer = None if server is None else server(datagram, source)
        if answer is None or self._random.random() < self.loss:
            return
        data, origin = answer
        self._later(self.delay, lambda: self._inbound(burst, data, origin, source))

    def _inbound(self, burst: Burst, datagram: bytes, source: Address, to: Address) -> None:
        inside = to if self.nat is None else self.nat.inbound(source, to, self.now)
        if inside is None:
            return
        socket = next(number for number in range(8) if self.port_of(number) == inside.port)
        burst.receive(socket, datagram, source, self.now)

    def _later(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), event))


IPS = "198.51.100.1", "198.51.101.1"
SITES = tuple(
    Address(IPv4Address(ip), port) for ip, port in zip((*IPS, *IPS), (3478, 3479, 3479, 3478), strict=True)
)
"""In the order in which a beacon tells of them: the second differs in both."""


def new_burst(world: VirtualWorld, servers: tuple[Address, ...] = SITES, *, seed: int = 1) -> Burst:
    return Burst(servers, local_ips={world.local_ip}, chance=Random(seed).randbytes)


def measured(nat: VirtualNat | None, **options: float) -> Burst:
    """What a burst knows of such a NAT, with a beacon that has two addresses."""
    world = VirtualWorld(nat, **options)
    world.add_reflector(*IPS)
    burst = new_burst(world)
    world.run(burst)
    return burst
