"""docs/NAT.md says what the code does: the parts that follow from it are as they are printed."""

from __future__ import annotations

import importlib.util
import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tunnels.crossing.description import NetworkClass

if TYPE_CHECKING:
    from types import ModuleType

SCRIPT = Path(__file__).parent.parent / "scripts" / "nat_estimate.py"


@pytest.fixture(scope="module")
def estimate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("nat_estimate", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_the_document_is_as_the_code_prints_it(estimate: ModuleType):
    document = estimate.DOCUMENT.read_text(encoding="utf-8")
    assert document == estimate.written(document), "run: python scripts/nat_estimate.py --write"


def test_shares_add_up_to_all_networks(estimate: ModuleType):
    for each in estimate.DISTRIBUTIONS:
        for shares in (each.mine, each.theirs or each.mine):
            assert sum(shares.values()) == pytest.approx(1)
            assert all(share >= 0 for share in shares.values())


def test_an_estimate_is_between_what_pings_give_and_certainty(estimate: ModuleType):
    for each in estimate.DISTRIBUTIONS:
        plain, best, together = (
            estimate.estimate(each, way) for way in (estimate.plain, estimate.best, estimate.together)
        )
        assert 0 <= plain <= best + 1e-9
        assert best <= together + 1e-9
        assert together <= 1 + 1e-9


def test_what_explains_a_share_gives_it_back(estimate: ModuleType):
    (fitted,) = (each for each in estimate.DISTRIBUTIONS if each.source == "3")
    assert estimate.estimate(fitted, estimate.plain) == pytest.approx(0.70)


def test_plain_punching_is_the_same_from_both_ends(estimate: ModuleType):
    for mine, theirs in product(NetworkClass, repeat=2):
        there, back = estimate.rungs_of(mine, theirs), estimate.rungs_of(theirs, mine)
        assert estimate.plain(there) == pytest.approx(estimate.plain(back))
        assert estimate.together(there) == pytest.approx(estimate.together(back))


def test_each_source_is_named_below(estimate: ModuleType):
    document = estimate.DOCUMENT.read_text(encoding="utf-8")
    for each in estimate.DISTRIBUTIONS:
        for number in each.source.split(", "):
            assert f"\n{number}. " in document
