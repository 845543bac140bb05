"""How much each sender may do per second: token buckets, one for each key that is not quiet. No IO."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable


class Rates:
    """Token buckets by key, bounded: a full bucket is the same as none and is forgotten.

    When `bound` keys are busy at once, the rest share one bucket, so that made-up keys cannot fill the memory.
    """

    __slots__ = ("_bound", "_buckets", "_burst", "_rate", "_rest")

    def __init__(self, rate: float, burst: float, *, bound: int) -> None:
        """`rate` units a second and `burst` at once for each key; a rate of 0 is no limit."""
        self._rate, self._burst, self._bound = rate, burst, bound
        self._buckets: dict[Hashable, tuple[float, float]] = {}
        self._rest = (burst, 0.0)

    def take(self, key: Hashable, amount: float, now: float) -> bool:
        """Take so many units; False, and nothing is taken, when there are fewer."""
        if not self._rate:
            return True
        known = self._buckets.get(key)
        if known is None and len(self._buckets) >= self._bound:
            self._forget(now)
            if len(self._buckets) >= self._bound:
                left = self._left(self._rest, now) - amount
                if left >= 0:
                    self._rest = (left, now)
                return left >= 0
        left = (self._burst if known is None else self._left(known, now)) - amount
        if left < 0:
            return False
        self._buckets[key] = (left, now)
        return True

    def wait(self, key: Hashable, amount: float, now: float) -> float:
        """Seconds until `amount` units are there for `key`."""
        known = self._buckets.get(key)
        if known is None or not self._rate:
            return 0.0
        return max(0.0, (min(amount, self._burst) - self._left(known, now)) / self._rate)

    def sweep(self, now: float) -> None:
        """Forget whoever is quiet."""
        self._forget(now)

    def _left(self, bucket: tuple[float, float], now: float) -> float:
        left, at = bucket
        return min(self._burst, left + (now - at) * self._rate)

    def _forget(self, now: float) -> None:
        self._buckets = {
            key: bucket for key, bucket in self._buckets.items() if self._left(bucket, now) < self._burst
        }

    def __len__(self) -> int:
        """How many keys are busy."""
        return len(self._buckets)

    def __repr__(self) -> str:
        return f"Rates({self._rate:g}/s, {len(self)} busy)"
