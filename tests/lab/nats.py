"""NATs that exist only in memory: each mapping with each filtering and each way to choose ports, on a virtual clock.

nat = VirtualNat(Mapping.ADDRESS_AND_PORT_DEPENDENT, Filtering.ADDRESS_AND_PORT_DEPENDENT, Ports.RANDOM)
evidence = measure(nat)
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address
from random import Random
from typing import TYPE_CHECKING

from tunnels.addresses import Address
from tunnels.nat.behavior import Filtering, Mapping
from tunnels.nat.probes import Burst
from tunnels.nat.reflector import Reflector, Site, Sites

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from tunnels.nat.probes import Probe

OUTSIDE = IPv4Address("203.0.113.9")
INSIDE = IPv4Address("192.168.1.10")
FORGETS = 30.0


class Ports(Enum):
    """How a NAT chooses the port of a new mapping."""

    PRESERVING = "preserving"
    SEQUENTIAL = "sequential"
    BLOCK = "block"
    RANDOM = "random"


@dataclass(slots=True)
class _Entry:
    """One mapping."""

    inside: Address
    outside: Address
    sent_to: set[Address] = field(default_factory=set)
    used_at: float = 0.0


class VirtualNat:
    """Translates addresses; it remembers a mapping for `FORGETS` seconds after the last datagram from inside."""

    def __init__(
        self,
        mapping: Mapping = Mapping.ENDPOINT_INDEPENDENT,
        filtering: Filtering = Filtering.ADDRESS_AND_PORT_DEPENDENT,
        ports: Ports = Ports.PRESERVING,
        *,
        delta: int = 1,
        block: tuple[int, int] = (20480, 21503),
        first: int = 30000,
        keeps_parity: bool = False,
        noise: float = 0.0,
        hairpins: bool = False,
        is_poisoned: bool = False,
        seed: int = 1,
    ) -> None:
        """`noise`: mappings that others make in a second. `is_poisoned`: what comes unasked occupies the port it came to,
        for that sender: the answer leaves from another one, as Linux does where it does not drop."""
        self.mapping, self.filtering, self.ports = mapping, filtering, ports
        self.delta, self.block, self.keeps_parity = delta, block, keeps_parity
        self.noise, self.hairpins, self.is_poisoned = noise, hairpins, is_poisoned
        self._random = Random(seed)
        self._next, self._noise_at = first, 0.0
        self._entries: dict[Hashable, _Entry] = {}
        self._poisoned: set[tuple[Address, Address]] = set()

    @property
    def outside_ports(self) -> set[int]:
        return {entry.outside.port for entry in self._entries.values()}

    def outbound(self, source: Address, to: Address, now: float) -> Address:
        """Where a datagram from inside comes from, as seen outside."""
        self._expire(now)
        key = self._key(source, to)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(source, Address(OUTSIDE, self._choose(source.port, now)))
        entry.sent_to.add(to)
        entry.used_at = now
        return entry.outside

    def inbound(self, source: Address, to: Address, now: float) -> Address | None:
        """Who inside gets a datagram that came to `to`; None if nobody."""
        self._expire(now)
        entry = next((entry for entry in self._entries.values() if entry.outside == to), None)
        if entry is None:
            return None
        if self._lets_in(entry, source):
            return entry.inside
        if self.is_poisoned:
            self._poisoned.add((entry.inside, source))
        return None

    def _key(self, source: Address, to: Address) -> Hashable:
        if (source, to) in self._poisoned or self.mapping is Mapping.ADDRESS_AND_PORT_DEPENDENT:
            return source, to
        return (source, to.ip) if self.mapping is Mapping.ADDRESS_DEPENDENT else source

    def _lets_in(self, entry: _Entry, source: Address) -> bool:
        if self.filtering is Filtering.ENDPOINT_INDEPENDENT:
            return True
        if self.filtering is Filtering.ADDRESS_DEPENDENT:
            return any(known.ip == source.ip for known in entry.sent_to)
        return source in entry.sent_to

    def _choose(self, wanted: int, now: float) -> int:
        if self.ports is Ports.PRESERVING and wanted not in self.outside_ports:
            return wanted
        if self.ports is Ports.SEQUENTIAL:
            others = int((now - self._noise_at) * self.noise)
            self._noise_at = now if not self.noise else self._noise_at + others / self.noise
            port, self._next = self._next + others * self.delta, self._next + (others + 1) * self.delta
            return (port - 1024) % (65536 - 1024) + 1024
        low, high = self.block if self.ports is Ports.BLOCK else (1024, 65535)
        while (port := self._random.randint(low, high)) in self.outside_ports or (
            self.keeps_parity and (port ^ wanted) & 1
        ):
            pass
        return port

    def _expire(self, now: float) -> None:
        for key in [key for key, entry in self._entries.items() if now - entry.used_at > FORGETS]:
            del self._entries[key]


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
    ) -> None:
        """`nat` None: the machine is at `OUTSIDE` itself. `delay` is one way; `blocked`: no UDP gets out."""
        self.nat, self.delay, self.loss, self.blocked = nat, delay, loss, blocked
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
