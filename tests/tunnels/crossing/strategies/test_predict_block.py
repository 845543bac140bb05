"""Ports that one side foretells, tried from the ports of the other's block."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from random import Random

import msgspec
import pytest

from tests.lab.crossings import SERVERS, Home, setting_of
from tests.lab.tries import CONE, IN_ORDER, LEFT, RANDOM, RIGHT, block, pair_of, tries
from tunnels.addresses import Address
from tunnels.crossing import limits
from tunnels.crossing.strategies.predict_block import STRATEGY, Run, Told, run_between
from tunnels.crossing.strategy import Ask, Ready, Setting, Shot
from tunnels.errors import ProtocolViolation
from tunnels.nat.behavior import Mapping


def test_half_of_all_take_a_few_seconds():
    done = tries(STRATEGY, Home(IN_ORDER, LEFT), Home(block(1024), RIGHT), 50, loss=0.01)
    assert done.success >= 0.93
    assert done.median < 4
    busiest = max(max(outcome.busiest) for outcome in done.outcomes)
    assert busiest <= limits.COMBINATIONS_FIRST + limits.COMBINATIONS_PER_SECOND


@pytest.mark.parametrize(
    ("telling", "trying", "noise"),
    [
        (replace(IN_ORDER, delta=-2), block(512), 0.0),
        (IN_ORDER, block(512), 100.0),
        (replace(IN_ORDER, mapping=Mapping.ADDRESS_DEPENDENT), block(1024), 0.0),
        (IN_ORDER, block(512, mapping=Mapping.ADDRESS_DEPENDENT), 0.0),
        (replace(IN_ORDER, is_poisoned=True), block(512, is_poisoned=True), 0.0),
    ],
    ids=["downwards", "noise", "told by address", "tried by address", "poisoned"],
)
def test_others_as_well_whoever_begins(telling, trying, noise):
    done = tries(STRATEGY, Home(trying, LEFT), Home(telling, RIGHT, noise=noise), 15)
    assert done.success >= 0.85
    assert done.median < 4


def test_a_large_block_has_a_lesser_chance():
    pair = pair_of(Home(IN_ORDER, LEFT), Home(block(4096), RIGHT))
    assert STRATEGY.success(pair) == pytest.approx(0.698, abs=0.001)
    assert STRATEGY.cost(pair).seconds < 15
    assert STRATEGY.cost(pair.swapped).mappings < limits.PREDICT_BLOCK_COMBINATIONS + 40


@pytest.mark.parametrize(("room", "runs"), [(None, 4), (56, 4), (39, 3), (24, 2)])
def test_no_more_ports_are_opened_than_there_is_room_for_as_far_as_is_known(room, runs):
    pair = pair_of(Home(IN_ORDER, LEFT), Home(block(1024), RIGHT))
    side = STRATEGY.attempt(replace(setting_of(pair, (at(5000, RIGHT),)), room=room))
    side.begin(0.0)
    side.peer_ready(Ready().encode(), 0.0)
    while side.due < 5:
        side.handle_timer(side.due)
    actions = side.take()
    openers = [action for action in actions if isinstance(action, Shot)]
    assert len(openers) == runs * limits.PREDICT_BLOCK_RUN
    made = len(openers) + len({action.socket for action in actions if isinstance(action, Ask)})
    cost = STRATEGY.cost(pair)
    assert made <= (limits.CROSSING_BLIND if room is None else room)
    assert cost.blind == cost.mappings <= limits.SMALL_NETWORK_MAPPINGS, "even where there was none"


@pytest.mark.parametrize("evicts", [False, True])
def test_a_router_with_room_for_a_hundred_is_not_filled(evicts):
    small = replace(IN_ORDER, room=limits.CROSSING_BLIND, evicts=evicts)
    done = tries(STRATEGY, Home(block(1024), LEFT), Home(small, RIGHT), 15)
    assert done.success >= 0.85
    assert max(outcome.refused[1] for outcome in done.outcomes) == 0
    assert max(outcome.mappings[1] for outcome in done.outcomes) <= limits.CROSSING_BLIND - 8


def test_it_is_for_steps_that_are_known():
    preserving = replace(IN_ORDER, ports=CONE.ports)
    for other in (preserving, RANDOM, CONE, block(1024)):
        assert not STRATEGY.suits(pair_of(Home(other, LEFT), Home(block(1024), RIGHT)))


def at(port: int, ip: str = LEFT) -> Address:
    return Address.parse(f"{ip}:{port}")


@pytest.mark.parametrize(
    ("before", "after", "delta", "run"),
    [
        (at(2000), at(2017), 1, Run(IPv4Address(LEFT).packed, 2001, 1, 16)),
        (at(2034), at(2000), -2, Run(IPv4Address(LEFT).packed, 2032, -2, 16)),
        (at(2000), at(2002), 1, Run(IPv4Address(LEFT).packed, 2001, 0, 1)),
        (at(2000), at(2018), 1, None),
        (at(2000), at(2017, RIGHT), 1, None),
        (at(65530), at(1034), 1, None),
    ],
    ids=["in order", "downwards", "by address", "a stranger", "another ip", "around the end"],
)
def test_a_run_is_told_where_nobody_came_between(before, after, delta, run):
    assert run_between(before, after, delta, 16) == run


def trying(*payloads: bytes) -> list[Shot]:
    """What the trying side sends in all, told this."""
    pair = pair_of(Home(block(1024), LEFT), Home(IN_ORDER, RIGHT))
    attempt = STRATEGY.attempt(Setting(pair, (at(5000, RIGHT),), SERVERS, 0.1, Random(1), is_client=True))
    assert attempt is not None
    attempt.begin(0.0)
    for payload in payloads:
        attempt.peer_ready(payload, 0.0)
    shots: list[Shot] = []
    while not attempt.is_over and attempt.due < 100:
        attempt.handle_timer(attempt.due)
        shots += [action for action in attempt.take() if isinstance(action, Shot)]
    return shots


def test_the_first_run_is_told_as_soon_as_it_is_known_and_tried_until_the_others_come():
    done = tries(STRATEGY, Home(IN_ORDER, LEFT), Home(block(1024), RIGHT), 20, skew=0.0, relay_delay=0.01)
    assert min(outcome.seconds for outcome in done.outcomes) < 0.4, "before all runs are open"
    assert max(outcome.said[0] for outcome in done.outcomes) == 2
    size = limits.PREDICT_BLOCK_RUN
    one, *others = (
        Run(IPv4Address(RIGHT).packed, 2000 + 100 * n, 1, size) for n in range(limits.PREDICT_BLOCK_RUNS)
    )
    assert len(trying(Told((one,)).encode())) == size * limits.PREDICT_BLOCK_SOCKETS
    assert len(trying(Told((one,)).encode(), Told((one, *others)).encode())) == 4711

    pair = pair_of(Home(block(1024), LEFT), Home(IN_ORDER, RIGHT))
    late = STRATEGY.attempt(Setting(pair, (at(5000, RIGHT),), SERVERS, 0.1, Random(1), is_client=True))
    late.begin(0.0)
    late.peer_ready(Told((one,)).encode(), 0.0)
    while late.due < 9:
        late.handle_timer(late.due)
    late.take()
    late.peer_ready(Told((one, *others)).encode(), 9.0)
    assert late.take(), "a relay may hold up what is told"


def test_until_the_peer_is_there_no_more_is_sent_than_to_somebody_unattested():
    pair = pair_of(Home(IN_ORDER, LEFT), Home(block(1024), RIGHT))
    side = STRATEGY.attempt(Setting(pair, (at(5000, RIGHT),), SERVERS, 0.1, Random(1), is_client=True))
    side.begin(0.0)
    for _ in range(10):
        side.handle_timer(0.3)
    assert sum(isinstance(action, Shot) for action in side.take()) == limits.PREDICT_BLOCK_RUN
    assert limits.PREDICT_BLOCK_RUN <= limits.CROSS_UNPROVEN
    side.peer_ready(Ready().encode(), 0.3)
    side.peer_ready(Ready().encode(), 0.4)
    while side.due < 2:
        side.handle_timer(side.due)
    shots = [action for action in side.take() if isinstance(action, Shot)]
    assert len(shots) == (limits.PREDICT_BLOCK_RUNS - 1) * limits.PREDICT_BLOCK_RUN


def test_what_is_told_leads_to_the_peers_ips_only():
    most, size = limits.PREDICT_BLOCK_RUNS, limits.PREDICT_BLOCK_RUN
    stray = Run(IPv4Address("198.51.100.99").packed, 2000, 1, size)
    runs = tuple(Run(IPv4Address(RIGHT).packed, 1000 + 300 * n, 50, size) for n in range(most - 1))
    shots = trying(Told((stray, *runs)).encode(), Told((stray,) * most).encode())
    assert {str(shot.to.ip) for shot in shots} == {RIGHT}
    assert min(shot.to.port for shot in shots) >= limits.GUESS_LOWEST
    assert 1900 not in {shot.to.port for shot in shots}
    assert limits.COMBINATIONS_LOOK < len(shots) <= 4711


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode([[[b"1234", 0, 1, 16]]]),
        msgspec.msgpack.encode([[[b"1234", 1, 1, limits.PREDICT_BLOCK_RUN + 1]]]),
        msgspec.msgpack.encode([[[b"1234", 1, 1, 1]] * (limits.PREDICT_BLOCK_RUNS + 1)]),
        b"\x91" * 2000,
    ],
)
def test_nonsense_is_the_peers_fault(payload):
    with pytest.raises(ProtocolViolation):
        trying(payload)
