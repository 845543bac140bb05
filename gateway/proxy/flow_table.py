"""The destinations of one UDP association: which are open, which are opening, which gave way, without I/O."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.limits import (
    UDP_FLOW_FAILED_SECONDS,
    UDP_FLOW_IDLE_SECONDS,
    UDP_FLOWS_PER_ASSOCIATION,
    UDP_QUEUE_DATAGRAMS,
)

if TYPE_CHECKING:
    from gateway.dialing import Flow

Destination = tuple[str, int]


@dataclass(slots=True, eq=False)
class Entry:
    """One destination."""

    used: float
    """When a datagram last went either way."""
    flow: Flow | None = None
    """None while it opens, and after that failed."""
    failed: bool = False
    queue: deque[bytes] = field(default_factory=lambda: deque(maxlen=UDP_QUEUE_DATAGRAMS))
    """Datagrams waiting for the flow; the oldest give way."""


class FlowTable:
    """Entries by destination, the least recently used first."""

    def __init__(self) -> None:
        self._entries: dict[Destination, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def send(self, destination: Destination, data: bytes, now: float) -> tuple[Entry, bool, Entry | None]:
        """One datagram goes to `destination`: (its entry, whether it must be opened now, an entry that gave way)."""
        entry = self._entries.pop(destination, None)
        opens, given_up = entry is None, None
        if entry is None:
            if len(self._entries) >= UDP_FLOWS_PER_ASSOCIATION:
                given_up = self._entries.pop(next(iter(self._entries)))
            entry = Entry(now)
        self._entries[destination] = entry  # now the most recently used
        if not entry.failed:
            entry.used = now
            if entry.flow is not None:
                entry.flow.send(data)
            else:
                entry.queue.append(data)
        return entry, opens, given_up

    def opened(self, destination: Destination, entry: Entry, flow: Flow) -> bool:
        """The flow is open: send what waited; False when the entry has given way meanwhile."""
        if self._entries.get(destination) is not entry:
            return False
        entry.flow = flow
        while entry.queue:
            flow.send(entry.queue.popleft())
        return True

    def failed(self, entry: Entry, now: float) -> None:
        """The flow cannot be opened: what waited is dropped, and so is what follows for a while."""
        entry.failed = True
        entry.used = now
        entry.queue.clear()

    def forget(self, destination: Destination, entry: Entry) -> None:
        """The flow ended by itself."""
        if self._entries.get(destination) is entry:
            del self._entries[destination]

    def expire(self, now: float) -> list[Entry]:
        """Take out what has been silent for too long."""
        old = [
            (destination, entry)
            for destination, entry in self._entries.items()
            if now - entry.used >= (UDP_FLOW_FAILED_SECONDS if entry.failed else UDP_FLOW_IDLE_SECONDS)
        ]
        for destination, _ in old:
            del self._entries[destination]
        return [entry for _, entry in old]

    def clear(self) -> list[Entry]:
        """Take everything out."""
        entries = list(self._entries.values())
        self._entries.clear()
        return entries
