"""Who goes next, in one direction: weighted fair queues within each other. Sans-IO.

All that waits hangs on a tree: the gateway, below it each contact (all strangers together are one), below it each service,
below it each stream. On each level those that wait share by their weights what the level above gives them: start-time fair
queueing (Goyal, Vin, Cheng 1996). Each share has a clock of octets divided by weight, and the one that is furthest behind
goes next. Who was away comes back at the others' time, so that nobody saves up, and nothing is kept for who does not want it.

A share with a limit of its own (`account.Lane`) is parked while that lets nothing through. Within a service, streams that
moved little of late go first, though not for ever: what somebody waits for in front of a screen is small. Datagrams cannot
wait; they go if their share is not too far ahead of the others, and are charged like the rest.
"""

from __future__ import annotations

import heapq
from collections import deque
from itertools import count
from math import inf
from typing import TYPE_CHECKING

from gateway.traffic.limits import (
    SHARE_AWAY_SECONDS,
    SHARE_LEAD,
    SHARE_QUANTUM,
    SMALL_FIRST,
    SMALL_OCTETS,
    SMALL_SECONDS,
)

if TYPE_CHECKING:
    from gateway.traffic.account import Lane


class Share:
    """One contact or one service among its like, or the gateway as a whole."""

    __slots__ = (
        "_parked",
        "_ready",
        "_sequence",
        "clocks",
        "idle_since",
        "is_last",
        "is_parked",
        "lane",
        "parent",
        "seq",
        "tag",
        "weight",
    )

    def __init__(
        self, parent: Share | None, *, lane: Lane | None = None, weight: int = 1, is_last: bool = False
    ) -> None:
        """`lane` is its own limit, if any; one that is last goes only when no other of its like wants to."""
        self.parent = parent
        self.lane = lane
        self.weight = weight
        self.is_last = is_last
        self.tag = 0.0
        self.idle_since = -inf
        self.is_parked = False
        self.clocks = [0.0, 0.0]  # of the children that are not last, and of those that are
        self.seq = 0  # of its entry in its parent's heaps; 0 for none
        self._ready: list[tuple[bool, float, int, Share]] = []
        self._parked: list[tuple[float, int, Share]] = []
        self._sequence = count(1)

    @property
    def is_busy(self) -> bool:
        """Whether something below waits for its turn."""
        return bool(self._ready)

    def wait(self, child: Share, now: float) -> None:
        """A child has something that waits."""
        if child.seq and not child.is_parked:
            return
        # Whoever just had all it asked for needs a moment to ask for more, and loses nothing by it.
        if now - child.idle_since > SHARE_AWAY_SECONDS:
            child.tag = max(child.tag, self.clocks[child.is_last])
        self.push(child)

    def push(self, child: Share) -> None:
        """A child is ready, with the clock that it has now."""
        child.is_parked = False
        child.seq = next(self._sequence)
        heapq.heappush(self._ready, (child.is_last, child.tag, child.seq, child))

    def next_child(self, now: float) -> Share | None:
        """The child whose turn it is; None if none may, or wants to."""
        while self._parked and (self._parked[0][0] <= now or self._is_stale(self._parked[0])):
            _, seq, child = heapq.heappop(self._parked)
            if seq == child.seq:
                child.tag = max(child.tag, self.clocks[child.is_last])
                self.push(child)
        while self._ready:
            _, _, seq, child = self._ready[0]
            if seq != child.seq:
                heapq.heappop(self._ready)
                continue
            at = child.ready_at(now)
            if at is None:  # nothing waits there any more
                heapq.heappop(self._ready)
                child.seq = 0
                child.idle_since = now
            elif at > now:
                heapq.heappop(self._ready)
                child.is_parked = True
                child.seq = next(self._sequence)
                heapq.heappush(self._parked, (at, child.seq, child))
            else:
                return child
        return None

    def ready_at(self, now: float) -> float | None:
        """When it may go on: now or later; None if nothing waits."""
        child = self.next_child(now)
        if child is None:
            while self._parked and self._is_stale(self._parked[0]):
                heapq.heappop(self._parked)
            if not self._parked:
                return None
            at = self._parked[0][0]
        else:
            at = now
        return at if self.lane is None else max(at, self.lane.back_at(now))

    def next_flow(self, now: float) -> Flow | None:
        """The flow whose turn it is below."""
        child = self.next_child(now)
        return None if child is None else child.next_flow(now)

    def charge(self, octets: int, now: float) -> None:
        """Octets of something below have had their turn."""
        self.spend(octets, now)
        if self.parent is not None:
            clocks = self.parent.clocks
            clocks[self.is_last] = max(clocks[self.is_last], self.tag)
            self.get_ahead(octets)

    def spend(self, octets: int, now: float) -> None:
        """Octets of something below count against its own limit."""
        if self.lane is not None:
            self.lane.charge(octets, now)

    def get_ahead(self, octets: int) -> None:
        """Its clock goes on by so much."""
        self.tag += octets / self.weight
        if self.parent is not None and self.seq and not self.is_parked:
            self.parent.push(self)

    def look_again(self) -> None:
        """Limits changed: those that are parked may go sooner."""
        parked, self._parked = self._parked, []
        for _, seq, child in parked:
            if seq == child.seq:
                self.push(child)
        for _, _, seq, child in self._ready:
            if seq == child.seq:
                child.look_again()

    @staticmethod
    def _is_stale(entry: tuple[float, int, Share]) -> bool:
        return entry[1] != entry[2].seq


class Leaf(Share):
    """A service of a contact, with the streams that wait."""

    __slots__ = ("_bulk", "_in_a_row", "_small")

    def __init__(self, parent: Share, *, lane: Lane | None = None, weight: int = 1) -> None:
        super().__init__(parent, lane=lane, weight=weight)
        self._small: deque[Flow] = deque()
        self._bulk: deque[Flow] = deque()
        self._in_a_row = 0

    def ready_at(self, now: float) -> float | None:
        if self.next_flow(now) is None:
            return None
        return now if self.lane is None else self.lane.back_at(now)

    def next_flow(self, now: float) -> Flow | None:
        for queue in (self._small, self._bulk):
            while queue and not queue[0].wants:
                queue.popleft().is_queued = False
        if self._small and (self._in_a_row < SMALL_FIRST or not self._bulk):
            return self._small[0]
        return self._bulk[0] if self._bulk else None

    def add(self, flow: Flow, now: float) -> None:
        """A flow has something that waits."""
        if not flow.is_queued:
            flow.is_queued = True
            (self._small if flow.is_small(now) else self._bulk).append(flow)

    def served(self, flow: Flow, now: float) -> None:
        """It had its turn: the next one's, if it wants more."""
        if self._small and self._small[0] is flow:
            self._small.popleft()
            self._in_a_row += 1
        else:
            self._bulk.popleft()
            self._in_a_row = 0
        flow.is_queued = False
        if flow.wants:
            self.add(flow, now)


class Flow:
    """One direction of one stream. Whoever gives up what waits sets `wants` to 0."""

    __slots__ = ("_moved", "_since", "is_queued", "leaf", "wants")

    leaf: Leaf

    def __init__(self) -> None:
        self.wants = 0
        """Octets that wait."""
        self.is_queued = False
        self._moved = 0
        self._since = -inf

    def move(self, leaf: Leaf) -> None:
        """It belongs there now; what waits has to be asked for again."""
        self.leaf = leaf
        self.is_queued = False

    def is_small(self, now: float) -> bool:
        """Whether it moved little of late."""
        return self._moved < SMALL_OCTETS or now - self._since > SMALL_SECONDS

    def moved(self, octets: int, now: float) -> None:
        if now - self._since > SMALL_SECONDS:
            self._since, self._moved = now, 0
        self._moved += octets


class FairQueue:
    """All that waits in one direction."""

    def __init__(self) -> None:
        self.root = Share(None)

    def ask(self, flow: Flow, octets: int, now: float) -> None:
        """So many octets more of a flow wait; `pump` says when they may go."""
        flow.wants += octets
        if not flow.wants:
            return
        leaf = flow.leaf
        leaf.add(flow, now)
        share: Share = leaf
        while share.parent is not None:
            share.parent.wait(share, now)
            share = share.parent

    def pump(self, now: float) -> list[tuple[Flow, int]]:
        """Who may go now, and with how many octets."""
        going = []
        root = self.root
        while root.lane is None or root.lane.back_at(now) <= now:
            flow = root.next_flow(now)
            if flow is None:
                break
            octets = flow.wants
            for share in _above(flow):
                if share.lane is not None:
                    octets = min(octets, share.lane.most)
            octets = min(octets, SHARE_QUANTUM)
            flow.wants -= octets
            flow.leaf.served(flow, now)
            self._charge(flow, octets, now)
            going.append((flow, octets))
        return going

    def datagram(self, flow: Flow, octets: int, now: float) -> bool:
        """Whether a datagram of a flow may go now; it is dropped otherwise."""
        shares = _above(flow)
        for share in shares:
            if share.lane is not None and not share.lane.may_datagram(octets, now):
                return False
            if share.parent is None or not share.parent.is_busy:
                continue
            clock = share.parent.clocks[share.is_last]
            if not share.seq:
                share.tag = max(share.tag, clock)
            if (share.tag - clock) * share.weight > SHARE_LEAD:
                return False
        flow.moved(octets, now)
        for share in shares:
            share.spend(octets, now)
            if share.parent is not None and share.parent.is_busy:
                share.get_ahead(octets)
        return True

    def look_again(self) -> None:
        """Limits changed: what they held back may go sooner."""
        self.root.look_again()

    def next_at(self, now: float) -> float | None:
        """When to pump again; None if nothing waits that time alone will let go."""
        at = self.root.ready_at(now)
        return None if at is None or at == inf else at

    @staticmethod
    def _charge(flow: Flow, octets: int, now: float) -> None:
        flow.moved(octets, now)
        for share in _above(flow):
            share.charge(octets, now)


def _above(flow: Flow) -> tuple[Share, ...]:
    """The shares that a flow is part of, from its service up."""
    leaf = flow.leaf
    contact = leaf.parent
    assert contact is not None  # noqa: S101 - tells mypy
    root = contact.parent
    return (leaf, contact) if root is None else (leaf, contact, root)
