"""A spray of knocks: as likely as the formula says, as fast as it should be, and no flood guard likes it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.lab.crossings import Home
from tests.lab.tries import CONE, GUARD, IN_ORDER, LEFT, RANDOM, RIGHT, block, pair_of, tries
from tunnels.crossing import limits
from tunnels.crossing.strategies.spray import STRATEGY
from tunnels.nat.behavior import Filtering

OTHERS = 35
"""Flows that others in a home have, as a rule."""


def test_half_of_all_take_less_than_three_seconds():
    done = tries(STRATEGY, Home(RANDOM, LEFT), Home(CONE, RIGHT), 100)
    assert done.median < 3
    assert done.success >= 0.9
    assert STRATEGY.success(pair_of(Home(RANDOM, LEFT), Home(CONE, RIGHT))) == pytest.approx(0.995, abs=0.001)


@pytest.mark.parametrize("waiting", [block(4096), IN_ORDER, replace(RANDOM, is_poisoned=True)])
def test_it_does_not_matter_who_begins_nor_how_ports_are_chosen(waiting):
    done = tries(STRATEGY, Home(replace(CONE, is_poisoned=True), LEFT), Home(waiting, RIGHT), 20, loss=0.02)
    assert done.success >= 0.8
    assert done.median < 5


def test_where_ports_keep_their_parity_half_of_them_need_no_knock():
    waiting = Home(replace(RANDOM, keeps_parity=True), LEFT)
    done = tries(STRATEGY, waiting, Home(CONE, RIGHT), 30)
    assert done.success == 1
    assert done.median < 2
    assert STRATEGY.success(pair_of(waiting, Home(CONE, RIGHT))) > 0.999


def test_a_nat_with_several_ips_is_knocked_at_at_each():
    waiting = Home(RANDOM, LEFT, more_ips=("203.0.113.10",))
    done = tries(STRATEGY, waiting, Home(CONE, RIGHT), 15)
    assert STRATEGY.success(pair_of(waiting, Home(CONE, RIGHT))) == pytest.approx(0.930, abs=0.001)
    assert 0.6 <= done.success <= 1


def test_a_router_with_room_for_a_hundred_goes_on_working():
    done = tries(STRATEGY, Home(replace(RANDOM, room=100), LEFT), Home(CONE, RIGHT), 10)
    assert sum(outcome.refused[0] for outcome in done.outcomes) == 0
    assert max(outcome.mappings[0] for outcome in done.outcomes) == limits.SPRAY_SOCKETS
    assert limits.SPRAY_SOCKETS + OTHERS < 100


def test_a_guard_against_floods_blocks_it():
    done = tries(STRATEGY, Home(replace(RANDOM, guard=GUARD), LEFT), Home(CONE, RIGHT), 10)
    assert done.success < 0.5
    assert all(outcome.blocked[0] for outcome in done.outcomes if not outcome.worked)


def test_no_more_knocks_in_a_second_than_said():
    done = tries(STRATEGY, Home(RANDOM, LEFT), Home(CONE, RIGHT), 10)
    assert (
        max(outcome.busiest[1] for outcome in done.outcomes) <= limits.SPRAY_PER_SECOND + limits.SPRAY_BURST
    )


def test_a_small_router_is_asked_for_fewer():
    home = Home(RANDOM, LEFT)
    small = Home(RANDOM, LEFT, told=replace(home.description, is_small=True))
    cost = STRATEGY.cost(pair_of(small, Home(CONE, RIGHT)))
    assert cost.mappings == limits.SMALL_SOCKETS <= limits.SMALL_NETWORK_MAPPINGS


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (Home(RANDOM, LEFT), Home(RANDOM, RIGHT)),
        (Home(CONE, LEFT), Home(CONE, RIGHT)),
        (Home(RANDOM, LEFT), Home(replace(CONE, filtering=Filtering.ENDPOINT_INDEPENDENT), RIGHT)),
        (Home(RANDOM, LEFT), Home(CONE, LEFT)),
    ],
    ids=["both vary", "neither does", "anybody gets in", "one address"],
)
def test_it_is_for_no_others(mine, theirs):
    assert not STRATEGY.suits(pair_of(mine, theirs))


def test_a_router_that_counts_every_place_is_left_in_peace_once_it_is_full():
    done = tries(STRATEGY, Home(RANDOM, LEFT), Home(replace(CONE, room=100), RIGHT), 10)
    late = [outcome for outcome in done.outcomes if outcome.seconds > 2]
    assert late
    assert max(outcome.datagrams[1] - outcome.questions[1] for outcome in late) <= 200
    assert max(outcome.refused[1] for outcome in late) <= 130
