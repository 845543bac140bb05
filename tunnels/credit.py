"""How much one stream may carry: credit in bytes, granted by the reader, spent by the writer.

Neither QUIC engine lets its user hold back flow control, so a slow reader would make it buffer without end. Each
stream therefore has a window of our own: the writer never sends beyond the limit it was granted, and the reader
grants more only as it consumes. QUIC's windows are larger and never interfere.
"""

from __future__ import annotations

from collections import deque

from tunnels import limits
from tunnels.errors import ProtocolViolation


def stream_window(streams: int) -> int:
    """The window of each of `streams` on one connection: full for a few, a fair share for many."""
    share = limits.CONNECTION_WINDOW // max(streams, 1)
    return max(limits.MIN_STREAM_WINDOW, min(limits.STREAM_WINDOW, share))


class Outgoing:
    """The writing half of a stream: what was sent, what may be sent, what waits."""

    __slots__ = ("_head", "end_requested", "ended", "limit", "pending", "pending_bytes", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self.limit = limits.MIN_STREAM_WINDOW
        self.pending: deque[bytes] = deque()
        self.pending_bytes = 0
        self._head = 0  # bytes of the first pending piece that are sent already
        self.end_requested = False
        self.ended = False

    def add(self, data: bytes) -> None:
        """Queue bytes to be sent as credit allows."""
        self.pending.append(data)
        self.pending_bytes += len(data)

    def take(self, room: int) -> bytes:
        """At most `room` bytes that credit allows to be sent now, which count as sent; empty if there are none."""
        room = min(room, self.limit - self.sent, self.pending_bytes)
        if room <= 0:
            return b""
        chunks, missing = [], room
        while missing:
            first = self.pending[0]
            chunk = first[self._head : self._head + missing]  # the whole piece is not copied
            self._head += len(chunk)
            if self._head == len(first):
                self.pending.popleft()
                self._head = 0
            chunks.append(chunk)
            missing -= len(chunk)
        self.sent += room
        self.pending_bytes -= room
        return b"".join(chunks)

    def stop(self) -> None:
        """The reader wants no more: what waits is dropped, and nothing can be added in effect."""
        self.pending.clear()
        self.pending_bytes = self._head = 0
        self.end_requested = self.ended = True

    @property
    def wants_to_send(self) -> bool:
        """Whether something could be sent if there were room: bytes within credit, or the end of the stream."""
        if self.pending_bytes:
            return self.sent < self.limit
        return self.end_requested and not self.ended

    def granted(self, limit: int) -> None:
        """The reader raised the limit; an older, lower grant changes nothing."""
        self.limit = max(self.limit, limit)


class Incoming:
    """The reading half of a stream: what came, what was consumed, what was granted."""

    __slots__ = ("consumed", "ended", "limit", "received")

    def __init__(self) -> None:
        self.received = 0
        self.consumed = 0
        self.limit = limits.MIN_STREAM_WINDOW
        self.ended = False

    def receive(self, size: int) -> None:
        """Count bytes that arrived; ProtocolViolation if they exceed what was granted."""
        self.received += size
        if self.received > self.limit:
            raise ProtocolViolation(f"the peer sent {self.received - self.limit} bytes beyond its credit")

    def consume(self, size: int, window: int) -> int | None:
        """Count bytes that were passed on; the new limit to grant, once half a window is free, else None."""
        self.consumed += size
        if self.ended or self.limit - self.consumed > window // 2:
            return None
        self.limit = self.consumed + window
        return self.limit
