"""Two homes, what stands before them, STUN servers and a relay, on a virtual clock: both sides of one try of a strategy.

    cone = Home(Rules(), "203.0.113.9")
    symmetric = Home(Rules(Mapping.ADDRESS_AND_PORT_DEPENDENT, ports=Ports.SEQUENTIAL), "192.0.2.77")
    outcome = cross(STRATEGY, cone, symmetric, seed=1)
    assert outcome.worked

A connection does the rest of what happens here: where a knock arrives, the end that got it pings back from that very
socket to where it came from, in a round as paths have it. It worked when one of these arrives.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address
from math import inf
from random import Random
from typing import TYPE_CHECKING

from tests.lab.translation import LOWEST, Ports, Rules, Translation
from tunnels import limits
from tunnels.addresses import Address
from tunnels.bucket import Bucket
from tunnels.crossing.description import Description, Pair
from tunnels.crossing.strategy import Attempt, Setting, Shot
from tunnels.nat import limits as nat_limits
from tunnels.nat.behavior import Allocation, AllocationKind, Behavior, Filtering, Mapping

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunnels.crossing.strategy import Action, Ask, Strategy

SERVERS = tuple(
    Address(IPv4Address(ip), port)
    for ip, port in (
        ("198.51.100.1", 3478),
        ("198.51.101.1", 3479),
        ("198.51.100.1", 3479),
        ("198.51.101.1", 3478),
    )
)
"""As a beacon tells of them; each has the limit of a beacon for one source."""

RESENT = 0.1
"""Seconds after which what was said by the relay is said again, unless it was heard."""
LINGERS = 1.0
"""Seconds after both attempts are over in which what is on its way may still arrive."""
ANSWERS = 64
"""Places to which one end answers with a round of pings."""

_KINDS = {
    Ports.PRESERVING: AllocationKind.PRESERVING,
    Ports.SEQUENTIAL: AllocationKind.DELTA,
    Ports.BLOCK: AllocationKind.BLOCK,
    Ports.RANDOM: AllocationKind.RANDOM,
}
_OTHERS = IPv4Address("192.168.1.99")
_ELSEWHERE = IPv4Address("198.51.100.200")


@dataclass(frozen=True)
class Home:
    """One end's network."""

    rules: Rules | None
    """Of its NAT; None: nothing stands before it. `Rules.noise` is better left to `noise`."""
    ip: str
    noise: float = 0.0
    """Mappings that others in it make in a second, at random moments."""
    more_ips: tuple[str, ...] = ()
    """Others that its NAT has: each mapping gets one by chance."""
    levels: int = 1
    """Routers up to the one that translates: a datagram with a smaller TTL does not get through that."""
    told: Description | None = None
    """What the machine knows of its network; None: all of it."""

    @cached_property
    def ips(self) -> tuple[IPv4Address, ...]:
        return tuple(map(IPv4Address, (self.ip, *self.more_ips)))

    @property
    def description(self) -> Description:
        return self.told or Description(_behavior(self.rules, self.ips, self.noise))


def _behavior(rules: Rules | None, ips: tuple[IPv4Address, ...], noise: float) -> Behavior:
    if rules is None:
        return Behavior(False, Mapping.ENDPOINT_INDEPENDENT, Filtering.ENDPOINT_INDEPENDENT, external_ips=ips)
    kind = _KINDS[rules.ports]
    return Behavior(
        translated=True,
        mapping=rules.mapping,
        filtering=rules.filtering,
        allocation=Allocation(
            kind,
            rules.delta if kind is AllocationKind.DELTA else None,
            rules.block if kind is AllocationKind.BLOCK else None,
            True if rules.keeps_parity else None,
        ),
        noise=noise if kind is AllocationKind.DELTA else None,
        external_ips=ips,
        hairpin=rules.hairpins,
        inbound_first_poisons=rules.is_poisoned if rules.mapping is Mapping.ENDPOINT_INDEPENDENT else None,
    )


@dataclass(frozen=True)
class Outcome:
    """What came of it; pairs are of the left and the right end."""

    worked: bool
    seconds: float
    """From when the left end began until both ends know the path, or until it was given up."""
    datagrams: tuple[int, int]
    """Knocks and questions to STUN servers that the attempts wanted; pings in answer to knocks are not theirs."""
    questions: tuple[int, int]
    sockets: tuple[int, int]
    """Besides the tunnels' own."""
    mappings: tuple[int, int]
    """That the attempts made."""
    unsolicited: tuple[int, int]
    """Datagrams that each NAT dropped because nobody inside had asked for them."""
    blocked: tuple[int, int]
    """Times that each NAT blocked a source that sent too many of these."""
    refused: tuple[int, int]
    """Datagrams that each NAT did not let out."""
    said: tuple[int, int]
    """Different things that each end told the other by the relay."""
    destinations: tuple[frozenset[Address], frozenset[Address]]
    """Where knocks went."""
    busiest: tuple[int, int]
    """The most knocks that an end had sent to arrive within one second."""
    path: tuple[Address, Address] | None = None
    """Where each end was seen on the path that was found."""


@dataclass
class _End:
    """One end while it runs."""

    home: Home
    name: str
    nat: Translation | None
    local_ip: IPv4Address
    random: Random
    first_port: int
    attempt: Attempt | None = None
    has_begun: bool = False
    ips: dict[int, IPv4Address] = field(default_factory=dict)
    """By the outside port of a mapping."""
    sockets: dict[int, int] = field(default_factory=dict)
    """By local port."""
    stun: Bucket = field(
        default_factory=lambda: Bucket(nat_limits.REFLECTOR_PER_SECOND, nat_limits.REFLECTOR_BURST)
    )
    shots: int = 0
    questions: int = 0
    mappings: int = 0
    said: list[bytes] = field(default_factory=list)
    free_at: float = 0.0
    """When it can send the next datagram."""
    heard: int = 0
    """How many of the other's words it knows."""
    answered: set[tuple[int, Address]] = field(default_factory=set)
    destinations: set[Address] = field(default_factory=set)
    sent_at: list[float] = field(default_factory=list)

    def port_of(self, socket: int) -> int:
        port = self.first_port + (socket * 7919) % 20011
        self.sockets[port] = socket
        return port


def setting_of(
    pair: Pair,
    targets: tuple[Address, ...],
    *,
    servers: tuple[Address, ...] = SERVERS,
    round_trip: float = 0.16,
    random: Random | None = None,
    is_client: bool = True,
    local_port: Callable[[int], int] = lambda socket: 40000 + socket,
) -> Setting:
    """What an attempt starts from, as tests that drive one side by hand need it."""
    return Setting(pair, targets, servers, round_trip, random or Random(1), is_client, local_port)


def cross(
    strategy: Strategy,
    left: Home,
    right: Home,
    *,
    delay: float = 0.02,
    relay_delay: float = 0.08,
    loss: float = 0.0,
    relay_loss: float | None = None,
    jitter: float = 0.0,
    hops: int = 12,
    gap: float = 0.0003,
    skew: float | None = None,
    seed: int = 1,
    most_seconds: float | None = None,
    begun: Callable[[Attempt, Attempt], None] | None = None,
) -> Outcome:
    """Run both sides of a try; `left` dialled the connection.

    `delay` is one way between a home and the middle of the Internet, where the STUN servers are; two of them are between
    the homes. `relay_delay` is one way by the relay. An end sends its datagrams `gap` seconds apart at least. Each datagram takes up to `jitter` times longer. There are `hops`
    routers from home to home. The right end begins `skew` seconds after the left one: as long as a word by the relay
    takes, unless said otherwise. `most_seconds` is what the strategy says itself if nothing is said.
    """
    world = _World(
        strategy,
        left,
        right,
        delay,
        relay_delay,
        loss,
        loss if relay_loss is None else relay_loss,
        jitter,
        hops,
        gap,
        seed,
    )
    return world.run(relay_delay if skew is None else skew, most_seconds, begun)


class _World:
    def __init__(
        self,
        strategy: Strategy,
        left: Home,
        right: Home,
        delay: float,
        relay_delay: float,
        loss: float,
        relay_loss: float,
        jitter: float,
        hops: int,
        gap: float,
        seed: int,
    ) -> None:
        self.strategy, self.delay, self.relay_delay = strategy, delay, relay_delay
        self.loss, self.relay_loss, self.jitter = loss, relay_loss, jitter
        self.hops, self.gap = hops, gap
        self.now = 100.0
        self.random = Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.found: tuple[Address, Address] | None = None
        self.ends = tuple(self._end(home, name, seed) for home, name in ((left, "left"), (right, "right")))

    def _end(self, home: Home, name: str, seed: int) -> _End:
        random = Random(f"{seed} {name}")
        nat = None
        if home.rules is not None:
            rules = {
                **vars(home.rules),
                "seed": random.getrandbits(32),
                "first": random.randrange(LOWEST, 65536),
            }
            nat = Translation(Rules(**rules))
        local_ip = home.ips[0] if nat is None else IPv4Address("192.168.1.10")
        return _End(home, name, nat, local_ip, random, 32768 + random.randrange(8000))

    # --- the course of it ---------------------------------------------------------------------------------

    def run(
        self, skew: float, most_seconds: float | None, begun: Callable[[Attempt, Attempt], None] | None
    ) -> Outcome:
        left, right = self.ends
        seen = [self._look(end) for end in self.ends]
        began = self.now
        pair = Pair(left.home.description, right.home.description)
        if most_seconds is None:
            most_seconds = max(self.strategy.cost(pair).seconds, self.strategy.cost(pair.swapped).seconds)
        for end, other, pair_of, target in (
            (left, right, pair, seen[1]),
            (right, left, pair.swapped, seen[0]),
        ):
            targets = (target, *(Address(ip, target.port) for ip in other.home.ips if ip != target.ip))
            setting = setting_of(
                pair_of,
                targets,
                round_trip=2 * self.relay_delay,
                random=Random(end.random.random()),
                is_client=end is left,
                local_port=end.port_of,
            )
            end.attempt = self.strategy.attempt(setting)
            self._make_noise(end)
        assert left.attempt is not None
        assert right.attempt is not None
        if begun is not None:
            begun(left.attempt, right.attempt)
        running: list[_End] = []

        def begin(end: _End) -> None:
            running.append(end)
            end.has_begun = True
            assert end.attempt is not None
            end.attempt.begin(self.now)

        self._at(began, lambda: begin(left))
        self._at(began + skew, lambda: begin(right))
        most = began + most_seconds
        while self.found is None:
            for end in running:
                self._serve(end, running)
            if len(running) == 2 and all(end.attempt.is_over for end in running if end.attempt):
                most = min(most, self.now + LINGERS)
            due = min(
                (end.attempt.due for end in running if end.attempt and not end.attempt.is_over), default=inf
            )
            if not self._events and due == inf:
                break
            if self._events and self._events[0][0] <= due:
                at, _, event = heapq.heappop(self._events)
                if at > most:
                    break
                self.now = max(self.now, at)
                event()
            else:
                self.now = max(self.now, due)
                if self.now > most:
                    break
        return self._outcome(min(self.now, most) - began)

    def _serve(self, end: _End, running: list[_End]) -> None:
        """Let one attempt do what is due, and say what it has to say."""
        attempt = end.attempt
        assert attempt is not None
        for _ in range(1000):
            if attempt.due <= self.now and not attempt.is_over:
                attempt.handle_timer(self.now)
            for action in attempt.take():
                end.free_at = max(end.free_at, self.now)
                self._at(end.free_at, lambda action=action: self._do(end, action))
                end.free_at += self.gap
            if attempt.is_over or attempt.due > self.now:
                break
        else:
            raise AssertionError("its timer does not go on")
        if attempt.ready is not None and (not end.said or end.said[-1] != attempt.ready):
            end.said.append(attempt.ready)
            self._say(end, len(end.said))

    def _outcome(self, seconds: float) -> Outcome:
        left, right = self.ends
        nats = [end.nat.counters if end.nat is not None else None for end in self.ends]
        both = tuple[int, int]

        def of_nats(name: str) -> both:
            first, second = (0 if nat is None else getattr(nat, name) for nat in nats)
            return first, second

        return Outcome(
            worked=self.found is not None,
            seconds=seconds,
            datagrams=(left.shots + left.questions, right.shots + right.questions),
            questions=(left.questions, right.questions),
            sockets=(len(set(left.sockets.values()) - {0}), len(set(right.sockets.values()) - {0})),
            mappings=(left.mappings, right.mappings),
            unsolicited=of_nats("unsolicited"),
            blocked=of_nats("blocked"),
            refused=of_nats("refused"),
            said=(len(left.said), len(right.said)),
            destinations=(frozenset(left.destinations), frozenset(right.destinations)),
            busiest=(_busiest(left.sent_at), _busiest(right.sent_at)),
            path=self.found,
        )

    # --- what attempts do ---------------------------------------------------------------------------------

    def _look(self, end: _End) -> Address:
        """Where a server sees the tunnels' own socket."""
        source = Address(end.local_ip, end.port_of(0))
        seen = self._outbound(end, source, SERVERS[0])
        assert seen is not None
        end.mappings = 0
        return seen

    def _do(self, end: _End, action: Action) -> None:
        if isinstance(action, Shot):
            self._shoot(end, action)
        else:
            self._ask(end, action)

    def _shoot(self, end: _End, shot: Shot) -> None:
        end.shots += 1
        end.destinations.add(shot.to)
        if shot.ttl is None or shot.ttl >= self.hops:
            end.sent_at.append(self.now)
        self._send(end, shot.socket, shot.to, shot.ttl)

    def _ask(self, end: _End, ask: Ask) -> None:
        end.questions += 1
        source = Address(end.local_ip, end.port_of(ask.socket))
        seen = self._outbound(end, source, ask.server)
        if seen is None or ask.server not in SERVERS:
            return

        def reach() -> None:
            if end.stun.take(self.now):
                self._travel(self.delay, self.loss, answer)

        def answer() -> None:
            if self._inbound(end, ask.server, seen) == ask.socket and end.attempt is not None:
                end.attempt.seen(ask.socket, ask.server, seen, self.now)

        self._travel(self.delay, self.loss, reach)

    def _send(
        self, end: _End, socket: int, to: Address, ttl: int | None = None, *, is_answer: bool = False
    ) -> None:
        """A knock, or a ping in answer to one."""
        if ttl is not None and ttl < end.home.levels:
            return
        source = Address(end.local_ip, end.port_of(socket))
        seen = self._outbound(end, source, to, is_answer=is_answer)
        if seen is None or (ttl is not None and ttl < self.hops):
            return
        other = self._other(end)
        if to.ip in other.home.ips:
            self._travel(2 * self.delay, self.loss, lambda: self._arrive(other, seen, to, is_answer))

    def _arrive(self, end: _End, source: Address, to: Address, is_answer: bool) -> None:
        socket = self._inbound(end, source, to)
        if socket is None:
            return
        if is_answer:
            self.found = self.found or ((to, source) if end is self.ends[0] else (source, to))
            return
        self._send(end, socket, source, is_answer=True)
        if (socket, source) in end.answered or len(end.answered) >= ANSWERS:
            return
        end.answered.add((socket, source))
        at = self.now
        for gap in limits.ROUND_GAPS:
            at += gap
            self._at(at, lambda: self._send(end, socket, source, is_answer=True))

    def _outbound(
        self, end: _End, source: Address, to: Address, *, is_answer: bool = False
    ) -> Address | None:
        """As which address it leaves the home; None if it does not."""
        if end.nat is None:
            return source
        before = end.nat.counters.mappings
        port = end.nat.outbound(source, to, self.now)
        if port is None:
            return None
        if end.nat.counters.mappings > before:
            end.mappings += not is_answer
            end.ips[port] = end.random.choice(end.home.ips)
        return Address(end.ips[port], port)

    def _inbound(self, end: _End, source: Address, to: Address) -> int | None:
        """Which socket gets what came to that address."""
        if end.nat is None:
            return end.sockets.get(to.port)
        if end.ips.get(to.port, to.ip) != to.ip:
            return None
        inside = end.nat.inbound(source, to.port, self.now)
        return end.sockets.get(inside.port) if inside is not None and inside.ip == end.local_ip else None  # type: ignore[attr-defined]

    def _make_noise(self, end: _End) -> None:
        """Others in that home send, too."""
        if end.nat is None or not end.home.noise:
            return
        port = itertools.count(1024)

        def make() -> None:
            assert end.nat is not None
            inside = Address(_OTHERS, next(port) % 60000 + 1024)
            outside = end.nat.outbound(inside, Address(_ELSEWHERE, 443), self.now)
            if outside is not None:
                end.ips[outside] = end.home.ips[0]
            self._at(self.now + end.random.expovariate(end.home.noise), make)

        self._at(self.now + end.random.expovariate(end.home.noise), make)

    def _say(self, end: _End, number: int) -> None:
        """By the relay, again and again until it is heard or there is something newer."""
        other = self._other(end)
        if number != len(end.said) or other.heard >= number:
            return

        def hear() -> None:
            if other.heard < number and other.has_begun and other.attempt is not None:
                other.heard = number
                other.attempt.peer_ready(end.said[number - 1], self.now)

        self._travel(self.relay_delay, self.relay_loss, hear)
        self._at(self.now + RESENT, lambda: self._say(end, number))

    # --- the clock ----------------------------------------------------------------------------------------

    def _other(self, end: _End) -> _End:
        return self.ends[1] if end is self.ends[0] else self.ends[0]

    def _travel(self, delay: float, loss: float, event: Callable[[], None]) -> None:
        if self.random.random() >= loss:
            self._at(self.now + delay * (1 + self.jitter * self.random.random()), event)

    def _at(self, at: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at, next(self._order), event))


def _busiest(times: list[float]) -> int:
    """The most of them within a second."""
    most = first = 0
    for last, at in enumerate(times):
        while times[first] < at - 1:
            first += 1
        most = max(most, last - first + 1)
    return most
