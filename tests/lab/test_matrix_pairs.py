"""Which pairs there are, and which can be direct every time: the decision table, as tables."""

from __future__ import annotations

import pytest

from tests.lab.kinds import KINDS, MORE_KINDS
from tests.lab.matrix_pairs import (
    AIMS,
    BLOCK,
    BLOCK_BLOCK,
    BLOCK_STRICT,
    BLOCKED,
    CLASSES,
    CONE_CONE,
    CONES,
    INFEASIBLE,
    MAPPED,
    OPEN,
    OPEN_SIDE,
    RANDOM,
    RANDOM_STRICT,
    SEQUENTIAL,
    SEQUENTIAL_SIDE,
    SYMMETRIC_LOOSE,
    all_pairs,
    class_of,
    is_feasible,
)

INFEASIBLE_PAIRS = {
    *(frozenset({"udp-blocked", kind}) for kind in KINDS),
    *(
        frozenset({random, kind})
        for random in ("symmetric-random", "kernel-fully-random")
        for kind in (
            *("symmetric-random", "kernel-fully-random"),
            *("symmetric-block", "symmetric-sequential"),
        )
    ),
}


def test_thirteen_kinds_make_ninety_one_pairs():
    pairs = all_pairs(KINDS)
    assert len(KINDS) == 13
    assert len(pairs) == len({frozenset(pair) for pair in pairs}) == 91


def test_infeasible_are_blocked_udp_and_a_full_random_range_before_another_symmetric_nat():
    infeasible = {frozenset(pair) for pair in all_pairs(KINDS) if not is_feasible(*pair)}
    assert infeasible == INFEASIBLE_PAIRS
    assert len(infeasible) == 20


def test_the_order_of_a_pair_does_not_matter():
    for one, other in all_pairs(KINDS | MORE_KINDS):
        assert is_feasible(one, other) == is_feasible(other, one)
        assert class_of(one, other) == class_of(other, one)


def test_each_kind_is_one_thing():
    groups = OPEN, CONES, SEQUENTIAL, BLOCK, RANDOM, MAPPED, BLOCKED
    for kind in KINDS:
        assert sum(kind in group for group in groups) == 1, kind
    assert class_of("hairpinning", "poisonable") == CONE_CONE


def test_classes_are_those_that_pairs_have():
    assert {class_of(*pair) for pair in all_pairs(KINDS)} == set(CLASSES)
    assert set(AIMS) <= set(CLASSES)


@pytest.mark.parametrize(
    ("one", "other", "named"),
    [
        ("open", "open", OPEN_SIDE),
        ("open", "symmetric-random", OPEN_SIDE),
        ("mapping", "kernel-fully-random", OPEN_SIDE),
        ("open", "udp-blocked", INFEASIBLE),
        ("full-cone", "port-restricted", CONE_CONE),
        ("cgnat", "ipv6-firewalled", CONE_CONE),
        ("symmetric-sequential", "full-cone", SEQUENTIAL_SIDE),
        ("symmetric-sequential", "symmetric-block", SEQUENTIAL_SIDE),
        ("symmetric-sequential", "symmetric-sequential", SEQUENTIAL_SIDE),
        ("symmetric-random", "symmetric-sequential", INFEASIBLE),
        ("symmetric-random", "address-restricted", SYMMETRIC_LOOSE),
        ("symmetric-block", "full-cone", SYMMETRIC_LOOSE),
        ("symmetric-random", "port-restricted", RANDOM_STRICT),
        ("kernel-fully-random", "cgnat", RANDOM_STRICT),
        ("symmetric-block", "kernel-masquerade", BLOCK_STRICT),
        ("symmetric-block", "symmetric-block", BLOCK_BLOCK),
        ("symmetric-block", "symmetric-random", INFEASIBLE),
    ],
)
def test_pairs_are_counted_with_their_like(one, other, named):
    assert class_of(one, other) == named


def test_a_guard_or_a_small_table_changes_nothing_of_what_a_kind_is():
    assert class_of("symmetric-random-guarded", "port-restricted-small-evicting") == RANDOM_STRICT
    assert class_of("full-cone-guarded", "port-restricted-small") == CONE_CONE
    assert not is_feasible("symmetric-random-small", "symmetric-random")
