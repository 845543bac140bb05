"""Two path sets with a virtual clock, joined by simulated links: delay, loss, dead directions, NATs that forget."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any

from tests.lab.endpoints import key_of
from tunnels.addresses import Address, BeaconUrl, PathAddress, RelayAddress
from tunnels.paths.candidates import Candidate, CandidateKind, PathPolicy
from tunnels.paths.checks import Sealer
from tunnels.paths.path_set import PathSet
from tunnels.paths.reports import Healed, PathEvent, Switched

if TYPE_CHECKING:
    from collections.abc import Callable

BEACON = BeaconUrl.parse("https://eu1.example")
IDS = {name: key_of(name).endpoint_id for name in ("alice", "bob")}
OTHER = {"alice": "bob", "bob": "alice"}
HOST, CONFIGURED, RELAY = CandidateKind.HOST, CandidateKind.CONFIGURED, CandidateKind.RELAY


def at(text: str) -> Address:
    """An address; port 7777 if none is said."""
    return Address.parse(text if ":" in text else f"{text}:7777")


def relay_to(name: str, beacon: BeaconUrl = BEACON) -> RelayAddress:
    return RelayAddress(beacon, IDS[name])


@dataclass
class Link:
    """A way both ways; each end is known to the other by its address there."""

    addresses: dict[str, PathAddress]
    delay: float = 0.01
    """Seconds, one way."""
    dead: set[str] = field(default_factory=set)
    """Who is not heard at the other end."""
    loss: float = 0.0
    nat: set[str] = field(default_factory=set)
    """Who is behind a NAT that lets in only what answers."""
    opened: set[str] = field(default_factory=set)
    """Who has sent by this link."""

    def kill(self) -> None:
        self.dead |= {"alice", "bob"}

    def heal(self) -> None:
        self.dead.clear()


class End:
    """One of the two."""

    def __init__(self, name: str, paths: PathSet) -> None:
        self.name = name
        self.paths = paths
        self.events: list[PathEvent] = []
        self.checks: list[tuple[float, bytes, PathAddress]] = []
        self.received: list[tuple[float, Any, PathAddress]] = []
        self.on_data: Callable[[Any], None] = lambda _data: None

    @property
    def switches(self) -> list[PathAddress]:
        return [event.new for event in self.events if isinstance(event, Switched)]


class Pair:
    """Alice, who dialled, and Bob."""

    def __init__(self, *links: Link, seed: int = 1, policy: PathPolicy = PathPolicy.AUTO) -> None:
        self.now = 1000.0
        self.links = list(links)
        self.random = Random(seed)
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        candidates = [Candidate(link.addresses["bob"], CONFIGURED) for link in links]
        alice = PathSet(candidates, now=self.now, chance=self.random.randbytes, policy=policy)
        self.alice = End("alice", alice)
        self.ends = {"alice": self.alice}

    def handshake(self, *, opens: tuple[str, ...] = ("alice", "bob")) -> Pair:
        """The first flight, and its answer; then both are authenticated."""
        self.bob = None
        self.send("alice", "hello")
        while self.bob is None or self.alice.paths.confirmed is None:
            self.step()
        binding = b"binding" * 5
        for name in opens:
            sealer = Sealer(
                binding, is_client=name == "alice", peer_id=IDS[OTHER[name]], chance=self.random.randbytes
            )
            self.ends[name].paths.exchange.peer_connection_id = name[:1].encode() * 8
            self.ends[name].paths.open(sealer, self.now)
            self.flush(self.ends[name])
        return self

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (self.now + seconds, next(self._count), call))

    def send(self, name: str, data: Any) -> None:
        """A flight of the connection's, to wherever its paths say."""
        end = self.ends[name]
        end.paths.used(self.now)
        for address in end.paths.destinations(self.now):
            end.paths.sent(address, 1200, self.now)
            self.carry(name, data, address)
        self.flush(end)

    def carry(self, name: str, data: Any, address: PathAddress) -> None:
        """By every link that leads there; what leads nowhere is lost."""
        for link in self.links:
            if link.addresses[OTHER[name]] != address:
                continue
            link.opened.add(name)
            lost = name in link.dead or (OTHER[name] in link.nat and OTHER[name] not in link.opened)
            if lost or self.random.random() < link.loss:
                continue
            source = link.addresses[name]
            self.later(link.delay, lambda source=source: self.deliver(OTHER[name], data, source))

    def deliver(self, name: str, data: Any, source: PathAddress) -> None:
        if name not in self.ends:
            paths = PathSet((), now=self.now, chance=self.random.randbytes, confirmed=source)
            self.bob = self.ends[name] = End(name, paths)
        end = self.ends[name]
        if data == "hello":  # what the endpoint does with packets of a handshake
            end.paths.add_candidates([Candidate(source, CandidateKind.PEER_REFLEXIVE)], self.now)
            end.paths.heard(source, self.now, 1200)
            self.send("bob", "hello yourself")
            return
        if isinstance(data, bytes):
            end.paths.check_received(data, source, self.now)
        else:
            end.paths.heard(source, self.now, 1200)
            end.received.append((self.now, data, source))
            end.on_data(data)
        self.flush(end)

    def flush(self, end: End) -> None:
        end.paths.handle_timer(self.now)
        for check, address in end.paths.checks_to_send():
            end.checks.append((self.now, check, address))
            self.carry(end.name, check, address)
        end.events += end.paths.take_events()

    def step(self, until: float = inf) -> None:
        """Let the next thing happen, if it is not after `until`."""
        timers = [(end.paths.get_timer() or inf, end) for end in self.ends.values()]
        timer, end = min(timers, key=lambda found: found[0])
        if self._heap and self._heap[0][0] <= min(timer, until):
            self.now, _, call = heapq.heappop(self._heap)
            call()
        elif timer <= until:
            assert timer < inf, "nothing will ever happen"
            self.now = max(self.now, timer)
            self.flush(end)
        else:
            self.now = until

    def run(self, seconds: float) -> Pair:
        until = self.now + seconds
        while self.now < until:
            self.step(until)
        return self


class Flow:
    """Data from one end to the other, acknowledged, with probe timeouts as QUIC has them."""

    EVERY = 0.01
    TIMEOUT = 0.1

    def __init__(self, pair: Pair, sender: str) -> None:
        self.pair, self.sender = pair, sender
        self.end, self.receiver = pair.ends[sender], pair.ends[OTHER[sender]]
        self.sent_at = self.acked_at = pair.now
        self.timeouts = 0
        self.arrivals = [pair.now]
        self.delivered: set[int] = set()
        self.acked: set[int] = set()
        self.number = 0
        self.end.on_data = self._acknowledged
        self.receiver.on_data = self._arrived
        self._probe_at = pair.now + self.TIMEOUT
        self._tick()

    def _tick(self) -> None:
        now = self.pair.now
        for event in self.end.events[:]:
            if isinstance(event, Healed):
                self.end.events.remove(event)
                self._probe_at = now
        if not self.timeouts:
            self._send()
        if now >= self._probe_at:
            self.timeouts += 1
            self._probe_at = now + self.TIMEOUT * 2**self.timeouts
            self.end.paths.suspect(now, self.timeouts, is_awaited=True)
            self._send()
        self.pair.later(self.EVERY, self._tick)

    def _send(self) -> None:
        self.number += 1
        self.pair.send(self.sender, ("data", self.number))

    def _arrived(self, data: Any) -> None:
        kind, number = data
        if kind == "data" and number not in self.delivered:
            self.delivered.add(number)
            self.arrivals.append(self.pair.now)
            self.pair.send(self.receiver.name, ("ack", number))

    def _acknowledged(self, data: Any) -> None:
        kind, number = data
        if kind == "ack" and number not in self.acked:
            self.acked.add(number)
            self.timeouts = 0
            self._probe_at = self.pair.now + self.TIMEOUT
            self.end.paths.suspect(self.pair.now, 0, is_awaited=True)

    def gap(self, since: float) -> float:
        """The longest pause in the data that arrived since then, in seconds, and the one it is in now."""
        times = [since, *(when for when in self.arrivals if when > since), self.pair.now]
        return max(later - earlier for earlier, later in itertools.pairwise(times))


def direct(**settings: Any) -> Link:
    """Both ends on public addresses, unless a NAT is said."""
    return Link({"alice": at("198.51.100.1"), "bob": at("203.0.113.2")}, **settings)


def by_relay(**settings: Any) -> Link:
    return Link(
        {"alice": relay_to("alice"), "bob": relay_to("bob")}, delay=settings.pop("delay", 0.02), **settings
    )


def running(
    *links: Link, sender: str = "alice", warm: float = 20.0, seed: int = 1, largest_gap: float = 0.1
) -> tuple[Pair, Flow]:
    """Both ends authenticated, the best path found, and data flowing."""
    pair = Pair(*links, seed=seed).handshake().run(3)
    flow = Flow(pair, sender)
    pair.run(warm)
    assert flow.gap(pair.now - warm) < largest_gap
    return pair, flow
