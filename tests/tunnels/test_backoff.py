"""Waits between attempts."""

from tunnels import limits
from tunnels.backoff import Backoff


def test_waits_double_up_to_a_bound_and_each_is_jittered_between_half_and_whole():
    for chance in (0.0, 0.5, 0.999):
        backoff = Backoff(limits.BACKOFF_FIRST, limits.BACKOFF_MAX)
        wait = limits.BACKOFF_FIRST
        for attempt in range(1, 12):
            seconds = backoff.failed(100.0, chance)
            assert wait / 2 <= seconds <= wait
            assert backoff.next_attempt == 100.0 + seconds
            assert backoff.failures == attempt
            wait = min(wait * 2, limits.BACKOFF_MAX)


def test_a_success_starts_over():
    backoff = Backoff(limits.BACKOFF_FIRST, limits.BACKOFF_MAX)
    for _ in range(5):
        backoff.failed(100.0, 0.5)
    backoff.reset()
    assert (backoff.failures, backoff.next_attempt) == (0, 0.0)
    assert backoff.failed(100.0, 0.999) <= limits.BACKOFF_FIRST
