"""Whatever a gateway takes its own network for at first, the path is direct in the end, once it has measured that anew."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from math import inf
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.lab.crossings import Home
from tests.lab.translation import Rules, Translation
from tests.lab.tries import CONE, IN_ORDER, LEFT, RANDOM, RIGHT, block
from tunnels.addresses import Address
from tunnels.crossing.budget import Budget
from tunnels.crossing.course import Attest, Course, Do, Doubt, Tell, View
from tunnels.crossing.description import Description, NetworkClass, Pair
from tunnels.crossing.history import History
from tunnels.crossing.strategy import OWN, Ask, AskTcp, Shot
from tunnels.crossing.typical import typical

if TYPE_CHECKING:
    from collections.abc import Callable

SERVER = Address.parse("192.0.2.1:3478")
WAY, MEASURES, ROUND = 0.04, 1.0, 5.0


@dataclass
class End:
    """One gateway behind its NAT: what it takes its network for, until it measures that anew."""

    home: Home
    taken_for: Description
    is_client: bool
    nat: Translation = field(init=False)
    course: Course = field(init=False)
    sockets: dict[tuple[int, int], int] = field(default_factory=dict)
    measured: int = 0
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        assert self.home.rules is not None
        self.nat = Translation(replace(self.home.rules, seed=self.is_client + 5))
        self.course = Course(
            is_client=self.is_client,
            budget=Budget(),
            history=History(),
            random=Random(self.is_client),
            prove=lambda attestation, ip: attestation == ip.packed,
            note=lambda _now, what, _why: self.notes.append(what),
            local_port=lambda attempt, socket: self.inside(attempt, socket).port,
        )

    def inside(self, attempt: int, socket: int) -> Address:
        """A socket of an attempt, on the machine."""
        key = (0, OWN) if socket == OWN else (attempt, socket)
        port = self.sockets.setdefault(key, 40000 + len(self.sockets))
        return Address.of("192.168.1.10", port)

    def leaves(self, inside: Address, to: Address, now: float) -> Address | None:
        """Where a datagram of it is seen outside."""
        port = self.nat.outbound(inside, to, now)
        return None if port is None else Address.of(self.home.ip, port)


class World:
    """Both, a STUN server, a relay that always works, and pings every few seconds."""

    def __init__(self, left: Home, right: Home, taken_for: Description) -> None:
        self.now, self.direct_at = 0.0, inf
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.left = End(left, _described(left), is_client=True)
        self.right = End(right, taken_for, is_client=False)
        self._targets = {id(end): self._seen(end) for end in (self.left, self.right)}

    def run(self, seconds: float) -> None:
        """Until a knock or a ping arrives, or it takes too long."""
        self._ping()
        self._look()
        while self.direct_at == inf:
            at = min(self.left.course.due, self.right.course.due, self._events[0][0])
            if at > seconds:
                return
            self.now = max(self.now, at)
            while self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            for end in (self.left, self.right):
                if end.course.due <= self.now:
                    end.course.handle_timer(self.now)
                    self._serve(end)

    def _later(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), event))

    def _seen(self, end: End) -> Address:
        seen = end.leaves(end.inside(0, OWN), SERVER, self.now)
        assert seen is not None
        return seen

    def _other(self, end: End) -> End:
        return self.left if end is self.right else self.right

    def _look(self) -> None:
        for end in (self.left, self.right):
            other = self._other(end)
            pair = Pair(end.taken_for, other.taken_for)
            end.course.look(View(pair, targets=(self._targets[id(other)],), servers=(SERVER,)), self.now)
        for end in (self.left, self.right):
            self._serve(end)

    def _ping(self) -> None:
        for end in (self.left, self.right):
            self._seen(end)  # keeps its mapping
            self._send(end, end.inside(0, OWN), Shot(OWN, self._targets[id(self._other(end))]))
        self._later(ROUND, self._ping)

    def _serve(self, end: End) -> None:
        other = self._other(end)
        for deed in end.course.take():
            match deed:
                case Tell():
                    self._later(2 * WAY, lambda cross=deed.cross: self._told(other, cross))
                case Attest():
                    self._later(2 * WAY, lambda: self._attested(end))
                case Doubt():
                    self._later(MEASURES, lambda: self._measured(end))
                case Do(action=Shot() as shot):
                    self._send(end, end.inside(deed.attempt, shot.socket), shot)
                case Do(action=Ask() as ask):
                    seen = end.leaves(end.inside(deed.attempt, ask.socket), ask.server, self.now)
                    if seen is not None:
                        self._later(
                            2 * WAY, lambda d=deed, a=ask, s=seen: self._answered(end, d.attempt, a, s)
                        )
                case Do(action=AskTcp() as ask):
                    self._later(
                        2 * WAY,
                        lambda d=deed, a=ask: end.course.tcp_seen(d.attempt, a.socket, None, 0, self.now),
                    )

    def _send(self, end: End, inside: Address, shot: Shot) -> None:
        source = end.leaves(inside, shot.to, self.now)
        if source is not None and shot.ttl is None:  # what lives no longer dies on the way
            self._later(2 * WAY, lambda: self._arrives(self._other(end), source, shot.to))

    def _arrives(self, end: End, source: Address, to: Address) -> None:
        if str(to.ip) == end.home.ip and end.nat.inbound(source, to.port, self.now) is not None:
            self.direct_at = min(self.direct_at, self.now)

    def _told(self, end: End, cross) -> None:
        end.course.told(cross, self.now)
        self._serve(end)

    def _attested(self, end: End) -> None:
        end.course.attested(IPv4Address(end.home.ip).packed, self.now)
        self._serve(end)

    def _answered(self, end: End, attempt: int, ask: Ask, seen: Address) -> None:
        end.course.seen(attempt, ask.socket, ask.server, seen, self.now)
        self._serve(end)

    def _measured(self, end: End) -> None:
        end.measured += 1
        end.taken_for = _described(end.home)
        self._look()


def _described(home: Home) -> Description:
    return replace(
        home.description, network=home.ip.encode()[:8], challenge=home.ip.encode(), attester=SERVER
    )


def _lie(home: Home, network_class: NetworkClass) -> Description:
    lie = typical(network_class)
    truth = _described(home)
    behavior = replace(lie.behavior, external_ips=truth.behavior.external_ips)
    return replace(truth, behavior=behavior, udp_blocked=lie.udp_blocked)


@pytest.mark.parametrize("lie", NetworkClass)
@pytest.mark.parametrize(
    "rules", [CONE, IN_ORDER, block(1024), RANDOM], ids=["port-restricted", "in order", "block", "random"]
)
def test_a_wrong_report_costs_time_and_no_connection(rules: Rules, lie: NetworkClass):
    right = Home(rules, RIGHT)
    world = World(Home(CONE, LEFT), right, _lie(right, lie))
    world.run(240)
    assert world.direct_at < 240
    if rules == CONE:
        assert world.direct_at < 10, "pings do it, whatever is thought of the network"


def test_what_is_right_is_direct_before_anybody_doubts_it():
    right = Home(IN_ORDER, RIGHT)
    world = World(Home(CONE, LEFT), right, _described(right))
    world.run(240)
    assert world.direct_at < 2
    assert not world.right.measured
