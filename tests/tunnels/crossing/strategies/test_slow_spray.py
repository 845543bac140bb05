"""A slow spray: no guard sees a flood, and a router without room is left in peace."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.lab.crossings import Home, cross
from tests.lab.tries import CONE, GUARD, LEFT, RANDOM, RIGHT, pair_of, tries
from tunnels.crossing import limits
from tunnels.crossing.canary import Canary
from tunnels.crossing.strategies.slow_spray import STRATEGY

GUARDED = replace(RANDOM, guard=GUARD)


def test_it_gets_through_a_guard_against_floods():
    homes = Home(GUARDED, LEFT), Home(replace(CONE, guard=GUARD), RIGHT)
    done = tries(STRATEGY, *homes, 34, loss=0.02)
    assert done.success >= 0.97
    assert done.median < 12
    assert not any(any(outcome.blocked) for outcome in done.outcomes)
    assert STRATEGY.success(pair_of(*homes)) > 0.999


def test_it_works_the_other_way_round_and_with_parity():
    done = tries(STRATEGY, Home(CONE, LEFT), Home(replace(GUARDED, keeps_parity=True), RIGHT), 15)
    assert done.success == 1
    assert done.median < 8


@pytest.mark.parametrize("evicts", [False, True], ids=["refuses", "forgets"])
@pytest.mark.parametrize("room", [100, 300])
def test_it_sees_that_the_router_has_no_room_and_uses_no_more(room, evicts):
    attempts = []
    waiting = Home(replace(GUARDED, room=room, evicts=evicts), LEFT)
    for seed in range(8):
        before = len(attempts)
        outcome = cross(
            STRATEGY,
            waiting,
            Home(CONE, RIGHT),
            seed=seed,
            begun=lambda left, right: attempts.append((left, right)),
        )
        waits, knocks = attempts[before]
        assert outcome.sockets[0] <= room + limits.SLOW_STEP + 20
        assert outcome.mappings[0] <= STRATEGY.cost(pair_of(waiting, Home(CONE, RIGHT))).mappings
        assert outcome.refused[0] <= limits.SLOW_STEP + 6
        assert waits.is_cramped or outcome.worked
        assert not getattr(knocks, "is_cramped", False)
    assert sum(waits.is_cramped for waits, _ in attempts) >= 4


def test_without_anybody_to_ask_it_opens_few():
    home = Home(RANDOM, LEFT)
    small = Home(RANDOM, LEFT, told=replace(home.description, is_small=True))
    pair = pair_of(small, Home(CONE, RIGHT))
    assert STRATEGY.cost(pair).mappings <= limits.SMALL_SOCKETS + Canary.sockets(1)
    assert 0.3 < STRATEGY.success(pair) < 0.5
    done = tries(STRATEGY, small, Home(CONE, RIGHT), 10)
    assert max(outcome.mappings[0] for outcome in done.outcomes) <= limits.SMALL_SOCKETS + Canary.sockets(1)


def test_it_is_for_one_side_that_varies():
    assert not STRATEGY.suits(pair_of(Home(RANDOM, LEFT), Home(RANDOM, RIGHT)))
