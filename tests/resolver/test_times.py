"""Times for people."""

from resolver.times import utc_text


def test_a_time_is_written_to_the_minute_in_utc() -> None:
    assert utc_text(1_763_600_000) == "2025-11-20 00:53 UTC"


def test_a_time_that_no_calendar_holds_is_written_as_a_number() -> None:
    assert utc_text(9e15) == "second 9000000000000000"
