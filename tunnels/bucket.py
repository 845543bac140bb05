"""A bound on how often something is done: a token bucket. Sans-IO."""

from __future__ import annotations

from math import inf


class Bucket:
    """So many a second, and `burst` at once: as many as in a second, if nothing else is said."""

    __slots__ = ("_at", "_burst", "_left", "_per_second")

    def __init__(self, per_second: float, burst: float | None = None) -> None:
        self._per_second = per_second
        self._burst = self._left = per_second if burst is None else burst
        self._at = -inf

    def take(self, now: float) -> bool:
        """One of them; False if there were too many."""
        if now > self._at:
            self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
            self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
