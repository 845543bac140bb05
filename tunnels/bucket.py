"""A bound on how often something is done: a token bucket. Sans-IO."""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable


_A_MOMENT: Final = 1e-6  # by which something is left, and not nothing, however times are rounded


class Bucket:
    """So many a second, and `burst` at once: as many as in a second, if nothing else is said."""

    __slots__ = ("_at", "_burst", "_left", "_per_second")

    def __init__(self, per_second: float, burst: float | None = None) -> None:
        self._per_second = per_second
        self._burst = self._left = per_second if burst is None else burst
        self._at = -inf

    def take(self, now: float) -> bool:
        """One of them; False if there were too many."""
        if self.left(now) < 1:
            return False
        self._left -= 1
        return True

    def left(self, now: float) -> float:
        """How many may be had at once; less than none after too many were spent."""
        if now > self._at:
            self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
            self._at = now
        return self._left

    def spend(self, amount: float, now: float) -> None:
        """So many of them, be there enough or not: what is missing has to come back first."""
        self._left = self.left(now) - amount

    def back_at(self, now: float) -> float:
        """When there is something left: now, or later."""
        left = self.left(now)
        return now if left > 0 else now - left / self._per_second + _A_MOMENT


class Buckets:
    """One for each of those who ask; of more than `most` the one that was silent longest is forgotten."""

    def __init__(self, per_second: float, burst: float, most: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._most = most
        self._of: OrderedDict[Hashable, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._of)

    def take(self, who: Hashable, now: float) -> bool:
        """One of theirs; False if they had too many."""
        bucket = self._of.setdefault(who, Bucket(self._per_second, self._burst))
        self._of.move_to_end(who)
        if len(self._of) > self._most:
            self._of.popitem(last=False)
        return bucket.take(now)
