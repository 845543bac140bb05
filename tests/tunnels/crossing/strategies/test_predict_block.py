"""Ports that one side foretells, tried from the ports of the other's block."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from random import Random

import msgspec
import pytest

from tests.lab.crossings import SERVERS, Home
from tests.lab.tries import CONE, IN_ORDER, LEFT, RANDOM, RIGHT, block, pair_of, tries
from tunnels.addresses import Address
from tunnels.crossing import limits
from tunnels.crossing.strategies.predict_block import STRATEGY, Run, Told, run_between
from tunnels.crossing.strategy import Setting, Shot
from tunnels.errors import ProtocolViolation
from tunnels.nat.behavior import Mapping


def test_half_of_all_take_a_few_seconds():
    done = tries(STRATEGY, Home(IN_ORDER, LEFT), Home(block(1024), RIGHT), 50, loss=0.01)
    assert done.success >= 0.93
    assert done.median < 4
    busiest = max(max(outcome.busiest) for outcome in done.outcomes)
    assert busiest <= limits.COMBINATIONS_PER_SECOND + limits.COMBINATIONS_BURST


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
    assert STRATEGY.cost(pair.swapped).mappings < limits.PREDICT_BLOCK_COMBINATIONS + 30


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


def test_what_is_told_leads_to_the_peers_ips_only():
    stray = Run(IPv4Address("198.51.100.99").packed, 2000, 1, 16)
    runs = tuple(Run(IPv4Address(RIGHT).packed, 1000 + 100 * n, 50, 16) for n in range(9))
    shots = trying(Told((stray, *runs)).encode(), Told((stray,) * 10).encode())
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
