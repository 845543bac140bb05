"""Months and days are those of UTC, whatever the machine's time zone is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UsageError
from gateway.usage.months import day_of, month_of, read_month


def test_a_month_ends_at_midnight_of_utc() -> None:
    last = 1_796_083_199.0  # 2026-11-30 23:59:59 UTC
    assert day_of(last) == "2026-11-30"
    assert day_of(last + 1) == "2026-12-01"
    assert month_of(day_of(last + 1)) == "2026-12"


@given(st.floats(allow_nan=False))
def test_any_clock_gives_a_day_whose_month_can_be_asked_for(seconds: float) -> None:
    assert read_month(month_of(day_of(seconds)))


@pytest.mark.parametrize(
    "text", ["2026-13", "2026", "11-2026", "2026-11-01", "2026-1", "", "२०२६-११", "2026-11\n"]
)
def test_what_is_no_month_is_told_with_how_one_is_written(text: str) -> None:
    with pytest.raises(UsageError, match="2026-11"):
        read_month(text)
