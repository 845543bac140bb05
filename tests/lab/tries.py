"""Many tries of one strategy between two homes, each with other chances; none may cost more than was said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from statistics import median
from typing import TYPE_CHECKING

from tests.lab.crossings import Home, Outcome, cross
from tests.lab.translation import Ports, Rules
from tunnels.crossing.description import Pair
from tunnels.nat.behavior import Mapping

if TYPE_CHECKING:
    from tunnels.crossing.strategy import Strategy

LEFT, RIGHT = "203.0.113.9", "192.0.2.77"
BY_PORT = Mapping.ADDRESS_AND_PORT_DEPENDENT
CONE = Rules()
RANDOM = Rules(BY_PORT, ports=Ports.RANDOM)
IN_ORDER = Rules(BY_PORT, ports=Ports.SEQUENTIAL)
GUARD = 20


def block(ports: int, **more: object) -> Rules:
    """A NAT that gives a home so many ports, chosen by chance."""
    rules = Rules(BY_PORT, ports=Ports.BLOCK, block=(20480, 20480 + ports - 1))
    return replace(rules, **more)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Tries:
    """What came of all of them."""

    outcomes: tuple[Outcome, ...]

    @property
    def success(self) -> float:
        return sum(outcome.worked for outcome in self.outcomes) / len(self.outcomes)

    @property
    def median(self) -> float:
        """Seconds of those that worked."""
        return median(outcome.seconds for outcome in self.outcomes if outcome.worked)


def pair_of(left: Home, right: Home) -> Pair:
    """As the left one sees it."""
    return Pair(left.description, right.description)


def tries(strategy: Strategy, left: Home, right: Home, count: int, *, first: int = 0, **how: float) -> Tries:
    """With seeds from `first` on."""
    pair = pair_of(left, right)
    costs = strategy.cost(pair), strategy.cost(pair.swapped)
    assert strategy.suits(pair)
    assert strategy.suits(pair.swapped)
    assert strategy.success(pair) == strategy.success(pair.swapped)
    outcomes = []
    for seed in range(first, first + count):
        outcome = cross(strategy, left, right, seed=seed, **how)  # type: ignore[arg-type]
        for side, cost in enumerate(costs):
            assert outcome.datagrams[side] <= cost.datagrams
            assert outcome.sockets[side] <= cost.sockets
            assert outcome.mappings[side] <= cost.mappings
        for there, destinations in zip((right, left), outcome.destinations, strict=True):
            assert {place.ip for place in destinations} <= {IPv4Address(ip) for ip in there.ips}
        outcomes.append(outcome)
    return Tries(tuple(outcomes))
