"""Sums and tables of the matrix, over tries that are made up."""

from __future__ import annotations

import math

from tests.lab.matrix_results import (
    Matrix,
    Side,
    Try,
    as_json,
    as_markdown,
    from_json,
    percentile,
    sums,
    to_direct,
)

KINDS = ["open", "port-restricted", "symmetric-random"]
CONES = ("port-restricted", "port-restricted")
HARD = ("port-restricted", "symmetric-random")
IMPOSSIBLE = ("symmetric-random", "symmetric-random")


def a_try(pair, direct=0.3, *, first_byte=0.2, page=0.1, problem="", router=None):
    path = "relay" if direct is None else "direct"
    return Try(
        pair=pair,
        dialling=Side(kind=pair[0], direct=direct, path=path, address="192.0.2.1:7"),
        answering=Side(kind=pair[1], direct=direct, path=path, address="192.0.2.2:7", router=router),
        first_byte=first_byte,
        direct=direct,
        page=page,
        problem=problem,
    )


def a_matrix(*tries):
    return Matrix(conditions={"links": "20 ms"}, kinds=KINDS, tries=list(tries))


def test_a_percentile_is_one_of_the_values():
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(number) for number in range(1, 11)], 0.9) == 9.0
    assert percentile([1.0], 0.9) == 1.0
    assert math.isnan(percentile([], 0.9))


def test_tries_that_never_became_direct_make_nothing_look_faster():
    tries = [a_try(HARD, 1.0), a_try(HARD, None), a_try(HARD, 2.0)]
    assert to_direct(tries) == [1.0, 2.0, math.inf]
    assert "| port-restricted x symmetric-random ! | random x port-restricted | 2/3" in as_markdown(
        a_matrix(*tries)
    )


def test_a_pair_fails_without_data_and_where_a_feasible_path_is_missing_once():
    failed = {
        "direct": ([a_try(CONES)], False),
        "not direct": ([a_try(HARD), a_try(HARD, None)], True),
        "not feasible": ([a_try(IMPOSSIBLE, None)], False),
        "no first byte": ([a_try(CONES, first_byte=None)], True),
        "nothing later": ([a_try(IMPOSSIBLE, None, page=None)], True),
        "a problem": ([a_try(CONES, problem="AssertionError: another page came")], True),
    }
    for what, (tries, expected) in failed.items():
        assert [each.failed for each in sums(a_matrix(*tries))] == [expected], what


def test_the_overall_lines_count_feasible_pairs_alone():
    said = as_markdown(
        a_matrix(a_try(CONES, 0.2), a_try(CONES, 0.4), a_try(HARD, None), a_try(IMPOSSIBLE, None))
    )
    assert "direct every time: 1 of 2 pairs" in said
    assert "median 0.40 (aim 0.5), 90th percentile never (aim 4)" in said
    assert "data every time: 3 of 3 pairs" in said


def test_the_grid_has_a_cell_for_each_pair_whichever_comes_first():
    said = as_markdown(a_matrix(a_try(CONES), a_try(HARD[::-1], None), a_try(IMPOSSIBLE, None)))
    lines = [line.replace(" ", "") for line in said.splitlines()]
    assert "|1port-restricted|1/10.30||" in lines
    assert "|2symmetric-random|0/1!|(0/1)|" in lines
    assert not any("open" in line for line in lines[:20]), "kinds that were not measured are left out"


def test_what_went_wrong_is_told_once_with_how_often():
    problem = "AssertionError: not within 10 s: alice is at home at the beacon\nand more"
    said = as_markdown(a_matrix(a_try(HARD, None), *[a_try(CONES, None, problem=problem)] * 2))
    assert "- port-restricted → symmetric-random: not direct; relay to 192.0.2.1:7" in said
    assert "alice is at home at the beacon (2 times)" in said
    assert "and more" not in said


def test_what_routers_counted_is_told_where_they_count():
    tries = [a_try(HARD, router={"mappings": number, "unsolicited": 3}) for number in (5, 9)]
    assert "| -, 9" in as_markdown(a_matrix(*tries))


def test_a_run_is_compared_with_an_earlier_one():
    before = a_matrix(a_try(CONES, 0.3), a_try(HARD, None))
    said = as_markdown(a_matrix(a_try(CONES, 0.31), a_try(HARD, 2.0)), before).partition("## What changed")[2]
    assert "port-restricted x symmetric-random" in said
    assert "never" in said
    assert "port-restricted x port-restricted" not in said
    assert "Nothing that matters" in as_markdown(before, before)


def test_json_keeps_everything():
    matrix = a_matrix(a_try(CONES, router={"mappings": 1}), a_try(HARD, None, problem="?"))
    again = from_json(as_json(matrix))
    assert again.tries == matrix.tries
    assert again.kinds == KINDS
