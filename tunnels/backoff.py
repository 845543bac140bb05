"""When to try again what failed: longer each time, and not everybody at once. Sans-IO."""

from __future__ import annotations


class Backoff:
    """Waits that double from `first` to `longest` seconds, each jittered between half and whole."""

    __slots__ = ("_first", "_longest", "_wait", "failures", "next_attempt")

    def __init__(self, first: float, longest: float) -> None:
        self._first = self._wait = first
        self._longest = longest
        self.failures = 0
        self.next_attempt = 0.0

    def failed(self, now: float, chance: float) -> float:
        """Note a failure at `now`; `chance` is uniform in [0, 1). The seconds to wait before the next attempt."""
        wait = self._wait * (0.5 + chance / 2)
        self._wait = min(self._wait * 2, self._longest)
        self.failures += 1
        self.next_attempt = now + wait
        return wait

    def reset(self) -> None:
        """A success, or news: the next attempt may be made at once."""
        self._wait = self._first
        self.failures = 0
        self.next_attempt = 0.0
