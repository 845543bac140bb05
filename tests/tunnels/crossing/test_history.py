"""What worked between two networks is known when they meet again, and after a restart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnels.crossing import limits
from tunnels.crossing.history import History

HOME, CAFE, OFFICE = b"home", b"cafe", b"office"


def told(*outcomes: tuple[int, bool]) -> History:
    """One after the other between home and the café."""
    history = History()
    for code, worked in outcomes:
        history.note(HOME, CAFE, code, worked=worked)
    return history


@pytest.mark.parametrize(
    ("outcomes", "codes"),
    [
        ((), ()),
        (((9, False),), ()),
        (((9, True),), (9,)),
        (((9, True), (10, True)), (10, 9)),  # the newest first
        (((9, True), (10, True), (9, True)), (9, 10)),
        (((9, True), (10, True), (10, False)), (9, 10)),  # the fewest failures since first
        (((9, True), (9, False), (9, False), (9, False)), ()),
        (((9, False),) * 5 + ((9, True),), (9,)),
    ],
)
def test_what_worked_comes_best_first(outcomes: tuple[tuple[int, bool], ...], codes: tuple[int, ...]):
    assert told(*outcomes).worked(HOME, CAFE) == codes


def test_failures_are_counted_from_the_last_success_on():
    history = told((9, False), (9, True), (9, False), (9, False))
    assert history.failures(HOME, CAFE, 9) == 2
    assert history.failures(HOME, CAFE, 10) == history.failures(CAFE, HOME, 9) == 0


def test_pairs_are_ordered_and_of_their_own():
    history = told((9, True))
    history.note(HOME, OFFICE, 10, worked=True)
    assert history.worked(CAFE, HOME) == ()
    assert history.worked(HOME, OFFICE) == (10,)
    assert repr(history) == "<History of 2 pairs of networks>"


@pytest.mark.parametrize(("mine", "theirs"), [(b"", CAFE), (HOME, b""), (b"", b"")])
def test_nothing_is_kept_of_a_network_without_a_label(mine: bytes, theirs: bytes):
    history = History()
    history.note(mine, theirs, 9, worked=True)
    assert len(history) == 0
    assert history.worked(mine, theirs) == ()


def test_the_pair_that_was_met_longest_ago_is_forgotten_first():
    history = History()
    for number in range(limits.HISTORY_PAIRS):
        history.note(HOME, number.to_bytes(2, "big"), 9, worked=True)
    history.note(HOME, b"\0\0", 9, worked=True)
    history.note(HOME, OFFICE, 9, worked=True)
    assert len(history) == limits.HISTORY_PAIRS
    assert history.worked(HOME, b"\0\0") == (9,)
    assert history.worked(HOME, b"\0\1") == ()


def test_so_many_strategies_are_kept_of_one_pair():
    history = told(*((code, True) for code in range(1, limits.HISTORY_STRATEGIES + 3)))
    codes = history.worked(HOME, CAFE)
    assert len(codes) == limits.HISTORY_STRATEGIES
    assert {1, 2}.isdisjoint(codes)


def test_counts_end_somewhere():
    history = told(*((9, False) for _ in range(limits.HISTORY_COUNT + 5)))
    assert history.failures(HOME, CAFE, 9) == limits.HISTORY_COUNT
    assert History.decode(history.encode()).failures(HOME, CAFE, 9) == limits.HISTORY_COUNT


def test_each_change_is_told():
    history, told_of = History(), []
    history.changed = lambda: told_of.append(len(history))
    history.note(HOME, CAFE, 9, worked=True)
    history.note(b"", CAFE, 9, worked=True)
    assert told_of == [1]


_labels = st.binary(min_size=1, max_size=limits.NETWORK_LABEL_BYTES)
_notes = st.lists(st.tuples(_labels, _labels, st.integers(1, 255), st.booleans()), max_size=60)


@given(_notes)
def test_a_file_has_all_of_it(notes: list[tuple[bytes, bytes, int, bool]]):
    history = History()
    for mine, theirs, code, worked in notes:
        history.note(mine, theirs, code, worked=worked)
    again = History.decode(history.encode())
    assert again.encode() == history.encode()
    for mine, theirs, code, _worked in notes:
        assert again.worked(mine, theirs) == history.worked(mine, theirs)
        assert again.failures(mine, theirs, code) == history.failures(mine, theirs, code)


@given(st.binary(max_size=200))
def test_a_broken_file_is_an_empty_history(data: bytes):
    assert len(History.decode(data)) <= 200


@pytest.mark.parametrize("cut", [0, 1, 5, -1])
def test_a_file_that_was_cut_is_an_empty_history(cut: int):
    assert len(History.decode(told((9, True)).encode()[:cut])) == 0
    assert len(History.decode(b"\x92\x02\x90")) == 0, "of a later version"
