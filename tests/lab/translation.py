"""What a NAT does (RFC 4787), as state and rules; time is an argument, and addresses are any values with an ip and a port.

    nat = Translation(Rules(filtering=Filtering.ENDPOINT_INDEPENDENT))
    port = nat.outbound(inside, server, now)
    nat.inbound(server, port, now) == inside

`tests.lab.nats` puts it between machines in memory, `tests.lab.tun_nat` between real ones.
"""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING, Protocol

from tunnels.nat.behavior import Filtering, Mapping

if TYPE_CHECKING:
    from collections.abc import Hashable

FORGETS = 30.0
LOWEST, HIGHEST = 1024, 65535
GUARD_SECONDS = 60.0
_DRAWS = 64
"""At random; then we look which ports are free."""


class Ports(StrEnum):
    """How a NAT chooses the port of a new mapping."""

    PRESERVING = "preserving"
    SEQUENTIAL = "sequential"
    BLOCK = "block"
    RANDOM = "random"


class Place(Protocol):
    """An ip and a port; hashable."""

    @property
    def ip(self) -> Hashable: ...

    @property
    def port(self) -> int: ...


@dataclass(frozen=True)
class Rules:
    """How one NAT behaves."""

    mapping: Mapping = Mapping.ENDPOINT_INDEPENDENT
    filtering: Filtering = Filtering.ADDRESS_AND_PORT_DEPENDENT
    ports: Ports = Ports.PRESERVING
    delta: int = 1
    block: tuple[int, int] = (20480, 21503)
    first: int = 30000
    """The first port of SEQUENTIAL."""
    keeps_parity: bool = False
    noise: float = 0.0
    """Mappings that others make in a second."""
    hairpins: bool = False
    is_poisoned: bool = False
    """What comes unasked occupies the port it came to, for that sender: the answer leaves from another one, as Linux
    does where it does not drop."""
    forgets: float = FORGETS
    """Seconds after the last datagram from inside."""
    room: int | None = None
    """Flows it can remember: pairs of an inside and an outside address, as the tables of home routers count."""
    evicts: bool = False
    """Without room the flow that was used longest ago goes; otherwise what is new is refused."""
    guard: int | None = None
    """A source ip that sends more unsolicited datagrams than this within a second is blocked for `GUARD_SECONDS`: then
    only flows that were answered before go on."""
    seed: int = 1

    def as_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of_text(cls, text: str) -> Rules:
        said = json.loads(text)
        return cls(
            **said
            | {
                "mapping": Mapping(said["mapping"]),
                "filtering": Filtering(said["filtering"]),
                "ports": Ports(said["ports"]),
                "block": tuple(said["block"]),
            }
        )


@dataclass
class Counters:
    """What happened since the NAT forgot last."""

    outbound: int = 0
    inbound: int = 0
    """All that came, let in or not."""
    unsolicited: int = 0
    """Dropped, because nobody inside had asked for them."""
    mappings: int = 0
    """Made."""
    most_mappings: int = 0
    most_flows: int = 0
    """At once; see `Rules.room`."""
    refused: int = 0
    """From inside, because there was no room or no free port."""
    evicted: int = 0
    blocked: int = 0
    """Times that a source was blocked by the guard."""
    held_off: int = 0
    """Dropped although someone inside had asked, because their source was blocked."""


@dataclass(slots=True)
class _Entry:
    """One mapping."""

    key: Hashable
    inside: Place
    port: int
    flows: dict[Place, _Flow] = field(default_factory=dict)
    ips: dict[Hashable, int] = field(default_factory=dict)
    """Of those that it has flows to, how often."""


@dataclass(slots=True)
class _Flow:
    entry: _Entry
    used_at: float
    is_answered: bool = False


class Translation:
    """One NAT's mappings."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._random = Random(rules.seed)
        # Where mapping and filtering see each flow alone, as in Linux, flows to different places can share a port.
        self._shares_ports = (
            rules.mapping is Mapping.ADDRESS_AND_PORT_DEPENDENT
            and rules.filtering is Filtering.ADDRESS_AND_PORT_DEPENDENT
            and rules.ports in (Ports.RANDOM, Ports.BLOCK)
        )
        self._next, self._noise_at = rules.first, 0.0
        self.forget()

    def forget(self) -> None:
        """As after a restart, but that ports go on from where they were."""
        self.counters = Counters()
        self._entries: dict[Hashable, _Entry] = {}
        self._by_port: dict[int, list[_Entry]] = {}
        self._flows: OrderedDict[tuple[Place, Place], _Flow] = OrderedDict()
        self._poisoned: dict[tuple[int, Place], float] = {}
        self._unasked: dict[Hashable, deque[float]] = {}
        self._blocked: dict[Hashable, float] = {}

    @property
    def outside_ports(self) -> set[int]:
        return set(self._by_port)

    def outbound(self, source: Place, to: Place, now: float) -> int | None:
        """The outside port that a datagram from inside leaves from; None if it is dropped."""
        self._expire(now)
        self.counters.outbound += 1
        flow = self._flows.get((source, to)) or self._new_flow(source, to, now)
        if flow is None:
            self.counters.refused += 1
            return None
        flow.used_at = now
        self._flows.move_to_end((source, to))
        return flow.entry.port

    def inbound(self, source: Place, port: int, now: float) -> Place | None:
        """Who inside gets a datagram that came to that outside port; None if nobody."""
        self._expire(now)
        self.counters.inbound += 1
        entry = next(
            (entry for entry in self._by_port.get(port, ()) if self._lets_in(entry, source)),
            None,
        )
        if entry is None:
            self._count_unsolicited(source, port, now)
            return None
        flow = entry.flows.get(source)
        if self._blocked.get(source.ip, now) > now and (flow is None or not flow.is_answered):
            self.counters.held_off += 1
            return None
        if flow is not None:
            flow.is_answered = True
        return entry.inside

    def _count_unsolicited(self, source: Place, port: int, now: float) -> None:
        self.counters.unsolicited += 1
        if self.rules.is_poisoned:
            self._poisoned[port, source] = now
        if self.rules.guard is None or self._blocked.get(source.ip, now) > now:
            return
        times = self._unasked.setdefault(source.ip, deque())
        times.append(now)
        while times[0] < now - 1:
            times.popleft()
        if len(times) > self.rules.guard:
            self._blocked[source.ip] = now + GUARD_SECONDS
            self.counters.blocked += 1
            times.clear()

    def _new_flow(self, source: Place, to: Place, now: float) -> _Flow | None:
        if self.rules.room is not None and len(self._flows) >= self.rules.room:
            if not self.rules.evicts:
                return None
            self.counters.evicted += 1
            self._drop(next(iter(self._flows)))
        key = self._key(source, to, now)
        entry = self._entries.get(key)
        if entry is None:
            port = self._choose(source.port, to, now)
            if port is None:
                return None
            entry = self._entries[key] = _Entry(key, source, port)
            self._by_port.setdefault(port, []).append(entry)
            self.counters.mappings += 1
            self.counters.most_mappings = max(self.counters.most_mappings, len(self._entries))
        flow = self._flows[source, to] = entry.flows[to] = _Flow(entry, now)
        entry.ips[to.ip] = entry.ips.get(to.ip, 0) + 1
        self.counters.most_flows = max(self.counters.most_flows, len(self._flows))
        return flow

    def _key(self, source: Place, to: Place, now: float) -> Hashable:
        """What datagrams of one mapping have in common."""
        if self.rules.mapping is Mapping.ADDRESS_AND_PORT_DEPENDENT:
            return source, to
        key = (source, to.ip) if self.rules.mapping is Mapping.ADDRESS_DEPENDENT else (source,)
        if self._poisoned:
            entry = self._entries.get(key)
            if self._is_poisoned(source.port if entry is None else entry.port, to, now):
                return source, to
        return key

    def _is_poisoned(self, port: int, to: Place, now: float) -> bool:
        at = self._poisoned.get((port, to))
        return at is not None and now - at <= self.rules.forgets

    def _lets_in(self, entry: _Entry, source: Place) -> bool:
        if self.rules.filtering is Filtering.ENDPOINT_INDEPENDENT:
            return True
        if self.rules.filtering is Filtering.ADDRESS_DEPENDENT:
            return source.ip in entry.ips
        return source in entry.flows

    def _is_free(self, port: int, to: Place, now: float) -> bool:
        if self._is_poisoned(port, to, now):
            return False
        entries = self._by_port.get(port, ())
        if self._shares_ports:
            return not any(to in entry.flows for entry in entries)
        return not entries

    def _choose(self, wanted: int, to: Place, now: float) -> int | None:
        """A port for a new mapping; None if there is none left."""
        if self.rules.ports is Ports.PRESERVING and self._is_free(wanted, to, now):
            return wanted
        if self.rules.ports is Ports.SEQUENTIAL:
            return self._choose_next(to, now)
        low, high = self.rules.block if self.rules.ports is Ports.BLOCK else (LOWEST, HIGHEST)
        for _ in range(_DRAWS):
            port = self._random.randint(low, high)
            if self._is_of_parity(port, wanted) and self._is_free(port, to, now):
                return port
        left = [
            port
            for port in range(low, high + 1)
            if self._is_of_parity(port, wanted) and self._is_free(port, to, now)
        ]
        return self._random.choice(left) if left else None

    def _is_of_parity(self, port: int, wanted: int) -> bool:
        return not self.rules.keeps_parity or not (port ^ wanted) & 1

    def _choose_next(self, to: Place, now: float) -> int | None:
        noise, delta = self.rules.noise, self.rules.delta
        others = int((now - self._noise_at) * noise)
        self._noise_at = now if not noise else self._noise_at + others / noise
        self._next += others * delta
        ports = HIGHEST - LOWEST + 1
        for _ in range(ports):
            port, self._next = (self._next - LOWEST) % ports + LOWEST, self._next + delta
            if self._is_free(port, to, now):
                return port
        return None

    def _expire(self, now: float) -> None:
        while self._flows:
            names = next(iter(self._flows))
            if now - self._flows[names].used_at <= self.rules.forgets:
                return
            self._drop(names)

    def _drop(self, names: tuple[Place, Place]) -> None:
        """Forget a flow, and its mapping if there are no others."""
        source, to = names
        entry = self._flows.pop((source, to)).entry
        del entry.flows[to]
        entry.ips[to.ip] -= 1
        if not entry.ips[to.ip]:
            del entry.ips[to.ip]
        if not entry.flows:
            del self._entries[entry.key]
            sharing = self._by_port[entry.port]
            sharing.remove(entry)
            if not sharing:
                del self._by_port[entry.port]
