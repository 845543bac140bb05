"""What one contact, all strangers or one service may still move, and how many connections it may have. Sans-IO.

Each direction has a lane with a rate of its own; the month's quota and the connections are those of both together.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from gateway.config.quantities import UNLIMITED
from gateway.traffic.limits import (
    DATAGRAM_AHEAD_SECONDS,
    RATE_BURST_SECONDS,
    SHARE_QUANTUM,
    SHARE_QUANTUM_LEAST,
    SHARE_QUANTUM_SECONDS,
)
from gateway.traffic.terms import NO_TERMS, Terms
from tunnels.bucket import Bucket

if TYPE_CHECKING:
    from gateway.traffic.ledger import Direction


class Lane:
    """One direction of an account: when the next octets may go, and what they cost."""

    __slots__ = ("_account", "_ahead", "_bucket", "quantum", "rate")

    def __init__(self, account: Account) -> None:
        self._account = account
        self._bucket: Bucket | None = None
        self.rate: int | None = None
        self.quantum = SHARE_QUANTUM
        """Octets that may go at once, so that others come in between."""
        self._ahead = 0.0

    def __repr__(self) -> str:
        return f"Lane({self.rate or 'no'} octets/s)"

    def set_rate(self, rate: int | None, now: float) -> None:
        """Another rate; what is owed from before stays owed, in time."""
        if rate is not None and rate >= UNLIMITED:
            rate = None
        if rate == self.rate:
            return
        owed = min(self._bucket.left(now), 0.0) / self.rate if self._bucket is not None and self.rate else 0.0
        self.rate = rate
        self._bucket = None
        self.quantum = SHARE_QUANTUM
        if rate is not None:
            self.quantum = max(SHARE_QUANTUM_LEAST, min(int(rate * SHARE_QUANTUM_SECONDS), SHARE_QUANTUM))
            self._ahead = max(rate * DATAGRAM_AHEAD_SECONDS, SHARE_QUANTUM_LEAST)
            self._bucket = Bucket(rate, max(rate * RATE_BURST_SECONDS, self.quantum))
            self._bucket.left(now)
            if owed:
                self._bucket.spend(self._bucket.left(now) - owed * rate, now)

    def back_at(self, now: float) -> float:
        """When something may go: now, or later; never, once the quota is used up."""
        if self._account.left <= 0:
            return inf
        return now if self._bucket is None else self._bucket.back_at(now)

    @property
    def most(self) -> int:
        """Octets that may go at once if any may."""
        return min(self.quantum, self._account.left)

    def charge(self, octets: int, now: float) -> None:
        """Octets have gone."""
        if self._bucket is not None:
            self._bucket.spend(octets, now)
        self._account.used += octets

    def may_datagram(self, octets: int, now: float) -> bool:
        """Whether a datagram may go. It cannot wait, so it goes a little ahead of what can."""
        if self._account.left < octets:
            return False
        return self._bucket is None or self._bucket.left(now) > -self._ahead


class Account:
    """Terms, and what was made use of."""

    __slots__ = ("connections", "dropped", "received", "sent", "terms", "used")

    def __init__(self) -> None:
        self.terms = NO_TERMS
        self.used = 0
        """Octets of this month, if there is a quota."""
        self.connections = 0
        self.dropped = 0
        """Datagrams that were dropped since the start."""
        self.sent = Lane(self)
        self.received = Lane(self)

    def __repr__(self) -> str:
        return f"Account({self.terms}, {self.used} used, {self.connections} connections)"

    def apply(self, terms: Terms, now: float) -> None:
        """Terms that hold from now on."""
        self.terms = terms
        for lane in (self.sent, self.received):
            lane.set_rate(terms.rate, now)

    def lane(self, direction: Direction) -> Lane:
        """That of one direction."""
        return self.sent if direction == "sent" else self.received

    @property
    def left(self) -> int:
        """Octets of the quota that are left; very many where there is none."""
        quota = self.terms.quota
        return UNLIMITED if quota is None else quota - self.used

    @property
    def is_full(self) -> bool:
        """Whether one more connection is too many."""
        most = self.terms.connections
        return most is not None and self.connections >= most

    @property
    def counts_octets(self) -> bool:
        """Whether it has to be asked about each octet."""
        return any(limit is not None and limit < UNLIMITED for limit in (self.terms.rate, self.terms.quota))
