"""Whether a beacon still hears us: when to ask it, and when to give it up. Sans-IO."""

from __future__ import annotations

from tunnels import limits


class Liveness:
    """Of one connection. While we are sending, the beacon is asked sooner.

    That it is heard says little of our own direction: it may still reach us where our link was before. So a question is
    answered by its pong only, which may be late behind data on a slow link.
    """

    __slots__ = ("_ask_at", "_asked_at", "_dead_at", "_has_moved", "_sent")

    def __init__(self, now: float) -> None:
        self._ask_at = now + limits.BEACON_HEARTBEAT
        self._dead_at: float | None = None
        self._asked_at = now
        self._has_moved = False
        self._sent = False

    def heard(self, now: float) -> None:
        """Something came."""
        self._sent = False
        if self._dead_at is None:
            self._ask_at = now + limits.BEACON_HEARTBEAT
        elif not self._has_moved:
            self._dead_at = self._asked_at + limits.BEACON_PONG_LATE

    def answered(self, now: float) -> None:
        """A pong came."""
        self._ask_at = now + limits.BEACON_HEARTBEAT
        self._dead_at = None
        self._has_moved = False
        self._sent = False

    def sent(self, now: float) -> None:
        """Something was sent; the first since something came counts."""
        if not self._sent:
            self._sent = True
            self._ask_at = min(self._ask_at, now + limits.BEACON_UNANSWERED)

    def suspect(self, now: float) -> None:
        """The network changed: ask now, and wait no longer than `limits.BEACON_PONG_MOVED`."""
        self._ask_at = now
        self._has_moved = True
        dead_at = now + limits.BEACON_PONG_MOVED
        self._dead_at = dead_at if self._dead_at is None else min(self._dead_at, dead_at)

    def get_timer(self) -> float:
        """When to look again."""
        return self._ask_at if self._dead_at is None else min(self._ask_at, self._dead_at)

    def is_dead(self, now: float) -> bool:
        """Whether no sign of life came in time."""
        return self._dead_at is not None and now >= self._dead_at

    def ask(self, now: float) -> bool:
        """Whether to send a ping now; the answer is waited for from here on."""
        if now < self._ask_at:
            return False
        self._asked_at = now
        if self._dead_at is None:
            self._dead_at = now + limits.BEACON_PONG
        self._ask_at = now + limits.BEACON_HEARTBEAT
        return True
