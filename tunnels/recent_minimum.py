"""The smallest of recent values: a round-trip time without the queues that come and go. Sans-IO."""

from __future__ import annotations

from math import inf


class RecentMinimum:
    """The minimum over the last one to two periods; what is older is forgotten, so a path may become longer."""

    __slots__ = ("_began", "_earlier", "_period", "value")

    def __init__(self, period: float) -> None:
        """`period` in seconds."""
        self._period = period
        self._began = -inf
        self._earlier = inf
        self.value = inf

    def add(self, value: float, now: float) -> float:
        """Count a value; the minimum."""
        passed = now - self._began
        if passed >= self._period:
            self._earlier = self.value if passed < 2 * self._period else inf
            self._began = now
            self.value = value
        self.value = min(self.value, value)
        return min(self.value, self._earlier)
