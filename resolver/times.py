"""Unix seconds as people write them; the clock itself is always an argument."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_text(seconds: float) -> str:
    """`2026-01-02 10:00 UTC`; for times no calendar holds, the plain number of seconds."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, ValueError, OSError):
        return f"second {seconds:.0f}"
