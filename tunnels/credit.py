"""How much one stream may carry: credit in bytes, granted by the reader, spent by the writer. Sans-IO.

Neither QUIC engine lets its user hold back flow control, so a slow reader would make it buffer without end. Each
stream therefore has a window of our own: the writer never sends beyond the limit it was granted, and the reader
grants more only as it consumes. QUIC's windows are larger and never interfere.

A window grows with what its reader consumes in a round trip, so that a long fast path stays full, and shrinks when
many streams share the connection or the reader slows down.
"""

from __future__ import annotations

from collections import deque

from tunnels import limits
from tunnels.errors import ProtocolViolation


def stream_window(streams: int, rate: float, rtt: float) -> int:
    """Bytes of window for one of `streams` whose reader consumes `rate` bytes/s over a path of `rtt` seconds.

    Twice what a round trip carries: a quarter of a window is always waiting to be granted again, so a writer whom the
    window limits sends three quarters in a round trip, and the next window is half as large again.
    """
    share = limits.CONNECTION_WINDOW // max(streams, 1)
    wanted = int(2 * rate * max(rtt, limits.WINDOW_RTT))
    return max(
        limits.MIN_STREAM_WINDOW, min(max(wanted, limits.STREAM_WINDOW), limits.MAX_STREAM_WINDOW, share)
    )


class WindowBudget:
    """Bytes that the windows of all connections may add up to, beyond the smallest window of each stream."""

    __slots__ = ("left",)

    def __init__(self, size: int = limits.GATEWAY_WINDOW) -> None:
        self.left = size

    def resize(self, window: int, wanted: int) -> int:
        """Exchange a window for another, which is smaller than wanted when not enough is left."""
        size = min(wanted, window + max(self.left, 0))
        self.left -= size - window
        return size


class Outgoing:
    """The writing half of a stream: what was sent, what may be sent, what waits."""

    __slots__ = (
        "_gate",
        "_granted",
        "_head",
        "end_requested",
        "ended",
        "limit",
        "pending",
        "pending_bytes",
        "sent",
    )

    def __init__(self) -> None:
        self.sent = 0
        self.limit = self._granted = limits.MIN_STREAM_WINDOW
        self._gate: int | None = None  # up to where we ourselves let it go on; None for no such limit
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
        self._granted = max(self._granted, limit)
        self._set_limit()

    def shut_gate(self) -> None:
        """From now on nothing is sent but what is `let` through, of what waits already, too."""
        self._gate = self.sent
        self._set_limit()

    def let(self, size: int) -> None:
        """So many more bytes may pass the gate."""
        if self._gate is not None:
            self._gate += size
            self._set_limit()

    def remove_gate(self) -> None:
        """The reader's credit decides alone again."""
        self._gate = None
        self._set_limit()

    def _set_limit(self) -> None:
        self.limit = self._granted if self._gate is None else min(self._granted, self._gate)


class Incoming:
    """The reading half of a stream: what came, what was consumed, what was granted."""

    __slots__ = ("_counted", "_counted_at", "consumed", "ended", "limit", "received", "window")

    def __init__(self, now: float) -> None:
        self.received = 0
        self.consumed = 0
        self.window = self.limit = limits.MIN_STREAM_WINDOW
        self.ended = False
        self._counted = 0
        self._counted_at = now

    def receive(self, size: int) -> None:
        """Count bytes that arrived; ProtocolViolation if they exceed what was granted."""
        self.received += size
        if self.received > self.limit:
            raise ProtocolViolation(f"the peer sent {self.received - self.limit} bytes beyond its credit")

    def consume(self, size: int) -> bool:
        """Count bytes that were passed on; whether it is time to `grant`: a quarter of the window is free."""
        self.consumed += size
        return not self.ended and self.limit - self.consumed <= self.window * 3 // 4

    def grant(
        self, now: float, rtt: float, streams: int, budget: WindowBudget, recent_rtt: float = 0.0
    ) -> int:
        """The new limit, with a window that fits the reader's rate over the last round trip or more.

        `rtt` is the path's own, `recent_rtt` that of late, with queues.
        """
        elapsed = now - self._counted_at
        if self.window < limits.STREAM_WINDOW or elapsed >= max(0.9 * rtt, limits.WINDOW_RTT):
            rate = (self.consumed - self._counted) / max(elapsed, limits.WINDOW_RTT)
            self._counted, self._counted_at = self.consumed, now
            # A path that became longer is not known as such for a while: small windows believe it at once.
            believed = max(rtt, min(recent_rtt, 2 * limits.STREAM_WINDOW / max(rate, 1.0)))
            wanted = min(stream_window(streams, rate, believed), max(2 * self.window, limits.STREAM_WINDOW))
            self.window = budget.resize(self.window, wanted)
        self.limit = max(self.limit, self.consumed + self.window)
        return self.limit

    def release(self, budget: WindowBudget) -> None:
        """The stream is gone: others may have its window."""
        self.window = budget.resize(self.window, limits.MIN_STREAM_WINDOW)
