"""The world in which strategies are tried does what real networks do."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.lab.crossings import SERVERS, Home, cross
from tests.lab.translation import Ports, Rules
from tunnels.crossing.description import NetworkClass, Pair
from tunnels.crossing.strategy import OWN, Ask, Attempt, Cost, Setting, Shot
from tunnels.nat.behavior import Filtering, Mapping

CONE = Rules()
FULL_CONE = Rules(filtering=Filtering.ENDPOINT_INDEPENDENT)
POISONED = Rules(is_poisoned=True)
SYMMETRIC = Rules(Mapping.ADDRESS_AND_PORT_DEPENDENT, ports=Ports.RANDOM)
LEFT, RIGHT = "203.0.113.9", "192.0.2.77"


class Knocking(Attempt):
    """From its own socket at the first target, openers first, again and again."""

    def __init__(self, setting: Setting, ttl: int | None, wait: float) -> None:
        super().__init__(setting)
        self.ttl, self.wait = ttl, wait
        self.seen_at: list[float] = []

    def begin(self, now: float) -> None:
        self.do(Ask(1, SERVERS[1]))
        if self.ttl is not None:
            self.do(Shot(OWN, self.setting.targets[0], self.ttl))
        self.ready = b"\x90"

    def seen(self, socket: int, server: object, address: object, now: float) -> None:
        self.seen_at.append(now)

    def peer_ready(self, payload: bytes, now: float) -> None:
        assert payload == b"\x90"
        self.due = now + self.wait

    def handle_timer(self, now: float) -> None:
        self.do(Shot(OWN, self.setting.targets[0]))
        self.due = now + 0.2


@dataclass(frozen=True)
class Plain:
    ttl: int | None = None
    wait: float = 0.0
    name: str = "plain"
    code: int = 255
    summary: str = "as tests need it"

    def suits(self, pair: Pair) -> bool:
        return True

    def success(self, pair: Pair) -> float:
        return 1.0

    def cost(self, pair: Pair) -> Cost:
        return Cost(datagrams=100, sockets=1, mappings=2, seconds=2.0)

    def attempt(self, setting: Setting) -> Attempt:
        return Knocking(setting, self.ttl, self.wait)


def homes(left: Rules | None, right: Rules | None) -> tuple[Home, Home]:
    return Home(left, LEFT), Home(right, RIGHT)


@pytest.mark.parametrize(
    ("left", "right", "works"),
    [
        (None, None, True),
        (None, SYMMETRIC, True),
        (CONE, CONE, True),
        (FULL_CONE, SYMMETRIC, True),
        (CONE, SYMMETRIC, False),
        (SYMMETRIC, SYMMETRIC, False),
    ],
)
def test_who_can_cross_by_plain_pings(left, right, works):
    assert cross(Plain(), *homes(left, right)).worked is works
    assert cross(Plain(), *homes(right, left)).worked is works


def test_a_crossing_takes_the_time_of_the_exchange_and_of_the_links():
    """The right end begins by a word of the relay, and its own word takes as long; then one way and back."""
    outcome = cross(Plain(), *homes(CONE, CONE))
    assert outcome.seconds == pytest.approx(0.24)
    assert str(outcome.path[0].ip) == LEFT
    assert str(outcome.path[1].ip) == RIGHT


def test_two_nats_that_unsolicited_datagrams_poison_need_openers_that_die_on_the_way():
    late = Plain(wait=0.1)
    assert not cross(Plain(), *homes(POISONED, POISONED)).worked
    assert not cross(late, *homes(POISONED, CONE)).worked
    assert cross(late, *homes(CONE, POISONED)).worked  # the right end hears first, and so sends first
    opened = cross(Plain(ttl=5, wait=0.1), *homes(POISONED, POISONED))
    assert opened.worked
    assert opened.unsolicited == (0, 0)


def test_an_opener_that_lives_too_long_is_an_unsolicited_datagram_and_one_that_dies_at_home_opens_nothing():
    assert not cross(Plain(ttl=5, wait=0.1), *homes(POISONED, POISONED), hops=5).worked
    outcome = cross(Plain(ttl=1), Home(CONE, LEFT, levels=2), Home(CONE, RIGHT, levels=2), most_seconds=0.05)
    assert outcome.mappings == (1, 0)  # of the question


def test_what_attempts_do_is_counted():
    outcome = cross(Plain(), *homes(SYMMETRIC, CONE), most_seconds=1.0)
    assert outcome.datagrams[0] == pytest.approx(1 + 5, abs=1)
    assert outcome.questions == (1, 1)
    assert outcome.sockets == (1, 1)
    assert outcome.mappings == (2, 1)  # one for the question, one for the knocks of the symmetric one
    assert outcome.unsolicited[0] >= 4
    assert outcome.said == (1, 1)
    assert {str(to.ip) for to in outcome.destinations[0]} == {RIGHT}
    assert outcome.busiest[0] == pytest.approx(5, abs=1)


def test_a_flood_guard_blocks_who_sends_too_much():
    guarded = Rules(Mapping.ADDRESS_AND_PORT_DEPENDENT, ports=Ports.RANDOM, guard=3)
    assert cross(Plain(), *homes(CONE, guarded)).blocked == (0, 1)


def test_losses_are_made_up_for():
    outcomes = [cross(Plain(), *homes(CONE, CONE), loss=0.3, jitter=0.5, seed=seed) for seed in range(30)]
    assert sum(outcome.worked for outcome in outcomes) >= 28
    assert len({outcome.seconds for outcome in outcomes}) > 5


def test_others_in_a_home_make_mappings_at_random_moments():
    rules = Rules(Mapping.ADDRESS_AND_PORT_DEPENDENT, ports=Ports.SEQUENTIAL)
    quiet = cross(Plain(), Home(rules, LEFT), Home(rules, RIGHT))
    busy = cross(Plain(), Home(rules, LEFT, noise=50.0), Home(rules, RIGHT))
    assert quiet.mappings == busy.mappings
    assert Home(rules, LEFT, noise=50.0).description.network_class is NetworkClass.SEQUENTIAL


def test_a_nat_with_several_ips_uses_each():
    ips = set()
    for seed in range(20):
        outcome = cross(Plain(), Home(CONE, LEFT, more_ips=("203.0.113.10",)), Home(None, RIGHT), seed=seed)
        ips.add(str(outcome.path[0].ip))
    assert ips == {LEFT, "203.0.113.10"}


def test_it_is_the_same_each_time():
    pair = homes(CONE, CONE)
    assert cross(Plain(), *pair, loss=0.2, seed=5) == cross(Plain(), *pair, loss=0.2, seed=5)
