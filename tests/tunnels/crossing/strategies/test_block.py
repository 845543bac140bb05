"""Knocks at a block: few enough for any guard, and soon there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.lab.crossings import Home
from tests.lab.tries import CONE, GUARD, LEFT, RANDOM, RIGHT, block, pair_of, tries
from tunnels.crossing import limits
from tunnels.crossing.strategies.block import STRATEGY
from tunnels.nat.behavior import Allocation, AllocationKind


@pytest.mark.parametrize(
    ("ports", "seconds", "least"),
    [
        (64, 2.0, 0.95),
        (240, 1.5, 0.95),
        (512, 1.0, 1.0),
        (1024, 1.0, 1.0),
        (2048, 2.0, 1.0),
        (4096, 4.0, 0.9),
    ],
)
def test_it_gets_in_soon_and_no_guard_minds(ports, seconds, least):
    waiting = Home(block(ports, guard=GUARD), LEFT)
    done = tries(STRATEGY, waiting, Home(replace(CONE, guard=GUARD), RIGHT), 40, relay_delay=0.04)
    assert done.success >= least
    assert done.median < seconds
    assert not any(any(outcome.blocked) for outcome in done.outcomes)
    assert STRATEGY.success(pair_of(waiting, Home(CONE, RIGHT))) > 0.98


def test_it_works_the_other_way_round_with_parity_and_loss():
    waiting = Home(block(1024, keeps_parity=True), RIGHT)
    done = tries(STRATEGY, Home(CONE, LEFT), waiting, 30, loss=0.05)
    assert done.success == 1
    assert done.median < 1


def test_no_more_than_a_share_of_the_block_is_used():
    pair = pair_of(Home(block(256), LEFT), Home(CONE, RIGHT))
    assert STRATEGY.cost(pair).mappings == 256 // limits.BLOCK_SHARE
    assert STRATEGY.cost(pair_of(Home(block(4096), LEFT), Home(CONE, RIGHT))).mappings == limits.BLOCK_SOCKETS


def test_a_block_that_is_larger_than_it_was_seen_to_be_is_found_all_the_same():
    home = Home(block(1024), LEFT)
    behavior = home.description.behavior
    half = Allocation(AllocationKind.BLOCK, span=(20480, 20991))
    told = replace(home.description, behavior=replace(behavior, allocation=half))
    done = tries(STRATEGY, replace(home, told=told), Home(CONE, RIGHT), 30)
    assert done.success >= 0.95


def test_where_nothing_is_in_the_block_it_stops():
    home = Home(RANDOM, LEFT)
    behavior = home.description.behavior
    lie = Allocation(AllocationKind.BLOCK, span=(60000, 61023))
    told = replace(home.description, behavior=replace(behavior, allocation=lie))
    done = tries(STRATEGY, replace(home, told=told), Home(CONE, RIGHT), 3)
    assert (
        max(outcome.datagrams[1] - outcome.questions[1] for outcome in done.outcomes) == limits.BLOCK_KNOCKS
    )


def test_it_is_for_a_block_only():
    assert not STRATEGY.suits(pair_of(Home(RANDOM, LEFT), Home(CONE, RIGHT)))
    assert not STRATEGY.suits(pair_of(Home(block(1024), LEFT), Home(block(1024), RIGHT)))
