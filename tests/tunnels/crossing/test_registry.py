"""A new technique is a room and a row: no room is without its row, and no two rows are taken for one another."""

from __future__ import annotations

import importlib
import pkgutil
from itertools import product
from typing import TYPE_CHECKING

import pytest

from tunnels.crossing import strategies
from tunnels.crossing.budget import Budget
from tunnels.crossing.description import NetworkClass, Pair
from tunnels.crossing.registry import STRATEGIES, by_code
from tunnels.crossing.typical import typical

if TYPE_CHECKING:
    from tunnels.crossing.strategy import Strategy

ROOMS = [
    importlib.import_module(f"{strategies.__name__}.{room.name}")
    for room in pkgutil.iter_modules(strategies.__path__)
]
PAIRS = [Pair(mine, theirs) for mine, theirs in product(map(typical, NetworkClass), repeat=2)]


def test_each_room_with_a_strategy_has_its_row():
    assert {id(room.STRATEGY) for room in ROOMS if hasattr(room, "STRATEGY")} == set(map(id, STRATEGIES))


def test_codes_and_names_are_unique():
    assert len({strategy.code for strategy in STRATEGIES}) == len(STRATEGIES)
    assert len({strategy.name for strategy in STRATEGIES}) == len(STRATEGIES)
    assert all(1 <= strategy.code <= 255 for strategy in STRATEGIES)


def test_a_strategy_is_found_by_its_code():
    for strategy in STRATEGIES:
        assert by_code(strategy.code) is strategy
    assert by_code(255) is None


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
def test_a_strategy_says_of_itself_what_can_be(strategy: Strategy):
    assert strategy.name == strategy.name.strip()
    assert strategy.summary
    for pair in PAIRS:
        if strategy.suits(pair):
            assert 0 <= strategy.success(pair) <= 1
            assert Budget().begin(strategy.cost(pair), 0) is not None, (
                "it fits into the budget of the process"
            )


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
def test_both_ends_see_a_strategy_alike(strategy: Strategy):
    mirrored = {1: by_code(2), 2: by_code(1)}.get(strategy.code, strategy)
    assert mirrored is not None
    for pair in PAIRS:
        assert strategy.suits(pair) == mirrored.suits(pair.swapped)
        if strategy.suits(pair):
            assert strategy.success(pair) == pytest.approx(mirrored.success(pair.swapped))
