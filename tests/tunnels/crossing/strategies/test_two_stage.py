"""Both NATs are opened before anything is knocked at."""

from __future__ import annotations

from ipaddress import IPv4Address
from math import inf
from statistics import median

import pytest

from tests.lab.crossings import SERVERS, Home, cross, setting_of
from tests.lab.translation import Ports, Rules
from tunnels import limits as tunnel_limits
from tunnels.addresses import Address
from tunnels.crossing import limits
from tunnels.crossing.description import Description, Pair
from tunnels.crossing.strategies.two_stage import STRATEGY
from tunnels.crossing.strategy import Ask, Ready, Shot
from tunnels.errors import ProtocolViolation
from tunnels.nat.behavior import Filtering, Mapping

LEFT, RIGHT = "203.0.113.9", "192.0.2.77"
CONE = Rules()
POISONED = Rules(is_poisoned=True)
STRICT = Rules(guard=0)
"""Blocks whoever sends one unsolicited datagram."""
SYMMETRIC = Rules(Mapping.ADDRESS_AND_PORT_DEPENDENT, ports=Ports.SEQUENTIAL)

OURS, THEIRS = Address.parse("203.0.113.9:4000"), Address.parse("192.0.2.77:5000")
PAIR = Pair(Home(CONE, LEFT).description, Home(CONE, RIGHT).description)


def outcomes(left: Rules, right: Rules, seeds: int = 100, **how):
    found = [cross(STRATEGY, Home(left, LEFT), Home(right, RIGHT), seed=seed, **how) for seed in range(seeds)]
    cost = STRATEGY.cost(PAIR)
    for outcome in found:
        assert max(outcome.datagrams) <= cost.datagrams
        assert max(outcome.sockets) <= cost.sockets
        assert max(outcome.mappings) <= cost.mappings
        assert max(outcome.said) <= limits.READY_CHANGES
    return found


@pytest.mark.parametrize(
    ("left", "right"),
    [(CONE, CONE), (POISONED, POISONED), (POISONED, CONE), (STRICT, STRICT), (STRICT, POISONED)],
)
@pytest.mark.parametrize("loss", [0.0, 0.02])
def test_it_succeeds_with_each_kind_of_cone_and_nothing_unsolicited_comes(left, right, loss):
    found = outcomes(left, right, loss=loss)
    assert all(outcome.worked for outcome in found)
    assert median(outcome.seconds for outcome in found) < 0.4
    assert {outcome.unsolicited for outcome in found} == {(0, 0)}


@pytest.mark.parametrize(
    "how",
    [
        {"skew": 0.0},
        {"skew": 0.3},
        {"relay_delay": 0.5},
        {"relay_delay": 0.01},
        {"delay": 0.15, "relay_delay": 0.03},
        {"loss": 0.1, "jitter": 1.0},
    ],
    ids=str,
)
def test_it_depends_on_no_clock_and_no_delay(how):
    assert all(outcome.worked for outcome in outcomes(POISONED, POISONED, 30, **how))


def test_a_peer_that_is_close_is_reached_in_the_second_round_by_another_socket():
    """In the first one the openers came as far as the other NAT, and spoilt the ports there."""
    found = outcomes(POISONED, POISONED, 20, hops=4)
    assert all(outcome.worked for outcome in found)
    assert all(outcome.sockets == (2, 2) for outcome in found)
    assert max(outcome.seconds for outcome in found) < 3


def test_a_nat_behind_many_routers_is_opened_in_the_last_round():
    left, right = Home(POISONED, LEFT, levels=6), Home(POISONED, RIGHT, levels=7)
    outcome = cross(STRATEGY, left, right, hops=15)
    assert outcome.worked


def test_it_ends_by_itself_within_its_time():
    outcome = cross(STRATEGY, Home(SYMMETRIC, LEFT), Home(CONE, RIGHT))
    assert not outcome.worked
    assert outcome.sockets == (3, 3)


@pytest.mark.parametrize(
    ("left", "right", "suits"),
    [
        (CONE, CONE, True),
        (CONE, Rules(filtering=Filtering.ADDRESS_DEPENDENT), True),
        (CONE, Rules(filtering=Filtering.ENDPOINT_INDEPENDENT), False),
        (CONE, None, False),
        (CONE, SYMMETRIC, False),
        (SYMMETRIC, SYMMETRIC, False),
    ],
)
def test_it_is_for_two_that_have_one_place_each(left, right, suits):
    pair = Pair(Home(left, LEFT).description, Home(right, RIGHT).description)
    assert STRATEGY.suits(pair) is STRATEGY.suits(pair.swapped) is suits


def test_it_is_not_for_who_cannot_send():
    assert not STRATEGY.suits(Pair(Description(udp_blocked=True), Home(CONE, RIGHT).description))


def test_it_is_cheap_enough_to_be_tried_beside_pings_that_ought_to_do():
    assert STRATEGY.cost(PAIR).datagrams <= limits.LADDER_CHEAP_DATAGRAMS
    assert not STRATEGY.cost(PAIR).guesses


# --- one side, by hand --------------------------------------------------------------------------------------


def attempt(**how):
    found = STRATEGY.attempt(setting_of(PAIR, (THEIRS,), **how))
    found.begin(0.0)
    return found


def shots(attempt, until: float) -> list[tuple[float, Shot]]:
    """What it knocks at until then, and when."""
    found = [(0.0, shot) for shot in attempt.take() if isinstance(shot, Shot)]
    while attempt.due <= until:
        now = attempt.due
        attempt.handle_timer(now)
        assert attempt.due > now or attempt.is_over
        found += [(now, shot) for shot in attempt.take() if isinstance(shot, Shot)]
    return found


def ready(place: Address, number: int = 1, *, is_open: bool = False) -> bytes:
    return Ready.at([place], round=number, is_open=is_open).encode()


def test_it_asks_tells_opens_and_waits():
    side = attempt()
    assert side.take() == [Ask(1, SERVERS[0]), Ask(1, SERVERS[1])]
    assert side.ready is None
    side.seen(1, SERVERS[0], OURS, 0.04)
    assert Ready.decode(side.ready) == Ready.at([OURS], round=1)
    side.peer_ready(ready(THEIRS), 0.2)
    assert side.take() == [Shot(1, THEIRS, tunnel_limits.OPENER_TTL)]
    side.handle_timer(0.22)
    assert side.take() == [Shot(1, THEIRS, tunnel_limits.OPENER_TTL)]
    assert Ready.decode(side.ready) == Ready.at([OURS], round=1, is_open=True)
    assert not shots(side, 0.5)
    side.peer_ready(ready(THEIRS, is_open=True), 0.5)
    knocks = shots(side, 1.0)
    assert [shot for _, shot in knocks] == [Shot(1, THEIRS)] * len(knocks)
    assert 4 <= len(knocks) <= tunnel_limits.ROUND_PINGS


def test_it_knocks_at_last_though_the_peer_does_not_say_that_it_opened():
    side = attempt()
    side.seen(1, SERVERS[0], OURS, 0.04)
    side.peer_ready(ready(THEIRS), 0.2)
    times = [at for at, shot in shots(side, 1.0) if shot.ttl is None]
    assert times[0] == pytest.approx(0.22 + limits.OPEN_WAIT)


def test_without_a_server_it_is_over_at_once():
    side = attempt(servers=())
    assert side.is_over
    assert side.due == inf


def test_a_slow_relay_makes_it_no_longer_than_it_costs():
    side = attempt(round_trip=30.0)
    now = 0.0
    while not side.is_over:
        now = side.due
        side.handle_timer(now)
    assert now == pytest.approx(STRATEGY.cost(PAIR).seconds)


def test_a_peer_cannot_make_it_send_more_than_it_costs():
    """Whatever it says, in whatever order, with other places each time."""
    side = attempt()
    cost = STRATEGY.cost(PAIR)
    found = side.take()
    now = 0.0
    while not side.is_over:
        for number in (1, 2, 3, 4, 255, 0):
            for is_open in (True, False):
                place = Address(IPv4Address(f"198.51.100.{number}"), 1 + int(now * 100) % 65535)
                if int(now) >= number or number > 3:
                    side.peer_ready(ready(place, number, is_open=is_open), now)
        side.seen(1, SERVERS[0], OURS, now)
        side.handle_timer(now)
        found += side.take()
        now += 0.01
    knocks = [action for action in found if isinstance(action, Shot)]
    assert now <= cost.seconds + 0.1
    assert len(found) <= cost.datagrams
    assert len({action.socket for action in found}) <= cost.sockets
    assert len({shot.to for shot in knocks}) <= 3


def test_what_makes_no_sense_is_the_peers_fault():
    with pytest.raises(ProtocolViolation):
        attempt().peer_ready(b"\xc1", 0.1)


def test_a_peer_that_names_no_place_is_waited_for():
    side = attempt()
    side.take()
    side.peer_ready(Ready(round=1, is_open=True).encode(), 0.1)
    assert not shots(side, 1.0)
