"""Months and days of accounts, as text: `2026-11` and `2026-11-28`, both of UTC.

UTC, because then a month ends for both sides at the same moment, has no hour twice, and is no other one where a laptop travels.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from gateway.errors import UsageError

_MONTH: Final = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])")
_EARLIEST: Final = 0.0
_LATEST: Final = 253_402_300_799.0  # the last second of the year 9999


def day_of(seconds: float) -> str:
    """The day of a moment in unix seconds; a clock that is far off gives the nearest day that can be written."""
    return datetime.fromtimestamp(min(max(seconds, _EARLIEST), _LATEST), UTC).strftime("%Y-%m-%d")


def month_of(day: str) -> str:
    """The month that a day is in."""
    return day[:7]


def read_month(text: str) -> str:
    """What a person typed as a month; UsageError says how it is written."""
    if not _MONTH.fullmatch(text):
        raise UsageError(f"usage: {text!r} is no month; write it as 2026-11")
    return text
