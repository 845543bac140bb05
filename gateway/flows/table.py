"""Which flows there are, whose they are and how long each has been idle: bounded, without I/O.

When an owner has as many flows as it may, its own flow idle longest gives way, for a client that opens new flows
is better served by these than by forgotten ones. When the whole table is full the same holds; an owner without a
flow is refused then, so that nobody can push out the flows of others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

_Flow = TypeVar("_Flow", bound=Hashable)


class TableFull(Exception):
    """There is no room, and the owner has no flow that could give way."""


class FlowTable(Generic[_Flow]):
    """Flows by owner, with the time of their last datagram; times are seconds of one clock."""

    __slots__ = ("_idle", "_last", "_of_owner", "_owners", "_per_owner", "_total")

    def __init__(self, *, idle: float, per_owner: int, total: int) -> None:
        """`idle` is after how many seconds without a datagram a flow expires."""
        self._idle = idle
        self._per_owner = per_owner
        self._total = total
        self._last: OrderedDict[_Flow, float] = OrderedDict()  # idle longest first
        self._owners: dict[_Flow, Hashable] = {}
        self._of_owner: dict[Hashable, OrderedDict[_Flow, None]] = {}  # idle longest first

    def __len__(self) -> int:
        return len(self._last)

    def count(self, owner: Hashable) -> int:
        """How many an owner has."""
        return len(self._of_owner.get(owner, ()))

    def add(self, flow: _Flow, owner: Hashable, now: float) -> _Flow | None:
        """Take a flow in; returns the one that gave way and is out now, if any. Raises TableFull."""
        mine = self._of_owner.get(owner)
        out = None
        if len(self._last) >= self._total or (mine is not None and len(mine) >= self._per_owner):
            if not mine:
                raise TableFull
            out = next(iter(mine))
            self.remove(out)
        self._last[flow] = now
        self._owners[flow] = owner
        self._of_owner.setdefault(owner, OrderedDict())[flow] = None
        return out

    def touch(self, flow: _Flow, now: float) -> None:
        """A datagram went through the flow; nothing happens if it is not, or no longer, in the table."""
        last = self._last.get(flow)
        if (
            last is not None and last != now
        ):  # event loops count in milliseconds, and datagrams come in bursts
            self._last[flow] = now
            self._last.move_to_end(flow)
            self._of_owner[self._owners[flow]].move_to_end(flow)

    def remove(self, flow: _Flow) -> None:
        """Take a flow out; nothing happens if it is not in the table."""
        if self._last.pop(flow, None) is not None:
            owner = self._owners.pop(flow)
            mine = self._of_owner[owner]
            del mine[flow]
            if not mine:
                del self._of_owner[owner]

    def expired(self, now: float) -> list[_Flow]:
        """Take out the flows that have been idle too long."""
        out = []
        for flow, last in self._last.items():
            if last + self._idle > now:
                break
            out.append(flow)
        for flow in out:
            self.remove(flow)
        return out

    @property
    def next_expiry(self) -> float | None:
        """When the next flow expires if nothing happens; None when there is none."""
        return next(iter(self._last.values())) + self._idle if self._last else None

    def clear(self) -> list[_Flow]:
        """Take everything out."""
        flows = list(self._last)
        self._last.clear()
        self._owners.clear()
        self._of_owner.clear()
        return flows
