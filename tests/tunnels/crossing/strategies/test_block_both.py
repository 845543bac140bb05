"""Combinations of two blocks meet as often as they should."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.lab.crossings import Home
from tests.lab.tries import CONE, LEFT, RIGHT, block, pair_of, tries
from tunnels.crossing import limits
from tunnels.crossing.canary import Canary
from tunnels.crossing.combinations import looks_of
from tunnels.crossing.strategies.block_both import STRATEGY
from tunnels.nat.behavior import Mapping


@pytest.mark.parametrize("first", [0, 20, 40])
def test_two_blocks_of_a_thousand_meet_within_a_few_seconds(first):
    done = tries(STRATEGY, Home(block(1024), LEFT), Home(block(1024), RIGHT), 20, first=first, loss=0.01)
    assert done.success >= 0.95
    assert done.median < 4
    assert max(outcome.seconds for outcome in done.outcomes) <= 16.5
    busiest = max(max(outcome.busiest) for outcome in done.outcomes)
    assert busiest <= limits.COMBINATIONS_FIRST + limits.COMBINATIONS_PER_SECOND


@pytest.mark.parametrize(
    ("left", "right", "seconds"),
    [
        (block(256), block(256), 1.5),
        (block(512), block(2048), 5.0),
        (block(2048), block(2048), 12.0),
        (block(1024, mapping=Mapping.ADDRESS_DEPENDENT), block(1024, mapping=Mapping.ADDRESS_DEPENDENT), 4.0),
    ],
    ids=["small", "small and large", "large", "by address"],
)
def test_others_meet_as_well(left, right, seconds):
    done = tries(STRATEGY, Home(left, LEFT), Home(right, RIGHT), 10)
    assert done.success >= 0.9
    assert done.median < seconds


def test_nats_that_put_away_what_came_unasked_are_crossed_in_two_stages():
    poisoned = block(1024, is_poisoned=True)
    done = tries(STRATEGY, Home(poisoned, LEFT), Home(poisoned, RIGHT), 8)
    assert done.success >= 0.8


def test_a_router_without_room_is_left_in_peace():
    cramped = Home(block(1024, room=700), LEFT)
    done = tries(STRATEGY, cramped, Home(block(1024), RIGHT), 8)
    assert max(outcome.refused[0] for outcome in done.outcomes) < 2 * limits.COMBINATIONS_LOOK
    assert max(outcome.datagrams[0] for outcome in done.outcomes) < 3 * limits.COMBINATIONS_LOOK


def test_what_it_says_of_itself():
    pair = pair_of(Home(block(1024), LEFT), Home(block(1024), RIGHT))
    assert STRATEGY.success(pair) > 0.99
    questions = Canary.questions(looks_of(2 * limits.PAIR_COMBINATIONS))
    assert STRATEGY.cost(pair).datagrams == 3 * limits.PAIR_COMBINATIONS + questions
    assert STRATEGY.cost(pair).seconds < 17
    assert STRATEGY.success(pair_of(Home(block(4096), LEFT), Home(block(4096), RIGHT))) == pytest.approx(
        0.632, abs=0.01
    )
    assert not STRATEGY.suits(pair_of(Home(block(1024), LEFT), Home(replace(CONE), RIGHT)))
