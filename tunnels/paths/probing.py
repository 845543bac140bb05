"""When which path is pinged: rounds, and the pings that wait for an answer. Sans-IO.

A *round* asks whether a path works: nine pings at growing distances, fewer once it is answered, but three more then,
because the first ones may only have opened what is between, and the peer wants to hear one, too.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from tunnels import limits

if TYPE_CHECKING:
    from tunnels.paths.path import Path


class Round:
    """The pings of one path that are still to come."""

    __slots__ = ("_answered", "_left", "_step", "due")

    def __init__(self) -> None:
        self.due = inf
        """When the next is due; never, while no round is under way."""
        self._step = 0
        self._left = 0
        self._answered = False

    @property
    def is_under_way(self) -> bool:
        """Whether more pings are to come."""
        return self.due < inf

    def begin(self, now: float, pings: int = limits.ROUND_PINGS) -> None:
        """From now on, `pings` of them."""
        self.due = now if pings else inf
        self._step = 0
        self._left = pings
        self._answered = False

    def limit(self, pings: int) -> None:
        """No more than that, with those that were sent."""
        self._left = min(self._left, pings - self._step)
        if self._left <= 0:
            self.due = inf

    def once(self, now: float) -> None:
        """One ping now, unless a round is under way."""
        if not self.is_under_way:
            self.begin(now, 1)

    def sent(self, now: float) -> None:
        """One was sent."""
        self._left -= 1
        gaps = limits.ROUND_GAPS
        self.due = now + gaps[min(self._step, len(gaps) - 1)] if self._left > 0 else inf
        self._step += 1

    def answered(self) -> None:
        """The path works: a few more will do."""
        if not self._answered:
            self._answered = True
            self._left = min(self._left, limits.ROUND_PINGS_MORE)

    def put_off(self, now: float) -> None:
        """There are too many pings as it is: later."""
        self.due = now + limits.SUSPECT_PING_EVERY

    def end(self) -> None:
        """No more of them."""
        self.due = inf


class Outstanding:
    """Pings that are not answered yet, oldest first."""

    __slots__ = ("_pings",)

    def __init__(self) -> None:
        self._pings: dict[bytes, tuple[Path, float]] = {}

    def __len__(self) -> int:
        return len(self._pings)

    def add(self, transaction_id: bytes, path: Path, now: float) -> None:
        """A ping was sent."""
        if len(self._pings) >= limits.MAX_OUTSTANDING_PINGS:
            del self._pings[next(iter(self._pings))]
        self._pings[transaction_id] = (path, now)

    def take(self, transaction_id: bytes) -> tuple[Path, float] | None:
        """The path and the time of the ping that is answered; None if there is none such, or not any more."""
        return self._pings.pop(transaction_id, None)

    def expire(self, now: float) -> None:
        """Count those as lost that nobody will answer any more."""
        while self._pings:
            transaction_id, (path, sent_at) = next(iter(self._pings.items()))
            if now - sent_at < limits.PING_LOST_AFTER:
                return
            del self._pings[transaction_id]
            path.lost()
