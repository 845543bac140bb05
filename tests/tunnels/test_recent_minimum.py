"""Facts about the smallest of recent values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tunnels.recent_minimum import RecentMinimum


def test_the_smallest_counts_until_it_is_too_old():
    recent = RecentMinimum(10)
    assert recent.add(5.0, 0.0) == 5.0
    assert recent.add(7.0, 9.0) == 5.0
    assert recent.add(8.0, 11.0) == 5.0  # in the period before
    assert recent.add(8.0, 21.0) == 8.0


def test_after_a_long_pause_nothing_earlier_counts():
    recent = RecentMinimum(10)
    recent.add(1.0, 0.0)
    assert recent.add(9.0, 100.0) == 9.0


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 100)), min_size=1))
def test_it_is_never_more_than_the_latest_nor_less_than_any(steps):
    recent, now, values = RecentMinimum(10), 0.0, []
    for step, value in steps:
        now += step
        values.append(value)
        assert min(values) <= recent.add(value, now) <= value
