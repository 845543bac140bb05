"""Copy bytes both ways between two asyncio transports until both directions have ended.

A tunnel stream is an asyncio transport like any TCP socket, so one splice serves the proxy, the loopback
listeners and the server adapter. Half-close passes through as half-close, a reset as a reset; a full write
buffer on one side pauses reading on the other, so a stalled reader holds a bounded amount.

What it asks of a transport: nothing is delivered, not even the end, while reading is paused;
`connection_lost` comes exactly once; `set_write_buffer_limits` applies at once, as asyncio's and uvloop's do.
It runs no task of its own: two protocol objects and one future are all there is to a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Final, cast

from gateway.limits import SPLICE_WRITE_BUFFER

_LINGER_ZERO: Final = struct.pack("ii", 1, 0)  # closing such a socket sends RST instead of FIN


class Splice:
    """Two transports joined; `closed` is done, or `wait_closed` returns, when both are gone."""

    __slots__ = ("_halves", "closed")

    def __init__(
        self,
        first: asyncio.Transport,
        second: asyncio.Transport,
        *,
        from_first: bytes = b"",
        from_second: bytes = b"",
        strict: tuple[asyncio.Transport, ...] = (),
    ) -> None:
        """Join the two; `from_first` was already read from `first` and is owed to `second`, and vice versa.

        `strict` are those of the two, Unix sockets, whose end is that of a crash unless `trust` was called before.
        """
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        a, b = _Half(self, first, strict=first in strict), _Half(self, second, strict=second in strict)
        a.other, b.other = b, a
        self._halves = (a, b)
        if first.is_closing() or second.is_closing():  # gone while the other was being opened
            for half in self._halves:
                half.give_up()
            return
        for half in self._halves:
            half.attach()
        if from_first:
            second.write(from_first)
        if from_second:
            first.write(from_second)
        for half in self._halves:
            half.start()

    @property
    def bytes_from_first(self) -> int:
        """Bytes read from the first transport since the splice began."""
        return self._halves[0].received

    @property
    def bytes_from_second(self) -> int:
        """Bytes read from the second transport since the splice began."""
        return self._halves[1].received

    def trust(self, transport: asyncio.Transport) -> None:
        """The end of a strict one, when it comes, is a good one."""
        for half in self._halves:
            if half.transport is transport:
                half.strict = False

    def other(self, transport: asyncio.Transport) -> asyncio.Transport:
        """The one of the two that is not this one."""
        first, second = self._halves
        return second.transport if first.transport is transport else first.transport

    def ending(self, transport: asyncio.Transport) -> tuple[bool, Exception | None] | None:
        """Whether one of the two said all it had to say, and the error that cut it off; None while it may go on."""
        half = next(half for half in self._halves if half.transport is transport)
        return (half.ended, half.error) if half.ended or half.lost else None

    async def wait_closed(self) -> None:
        """Return when both transports are closed; cancelling it resets both."""
        try:
            await asyncio.shield(self.closed)
        finally:
            self.abort()

    def abort(self) -> None:
        """Reset whatever is still open, also what is only waiting to be flushed."""
        for half in self._halves:
            if not half.lost:
                reset(half.transport)

    def on_half_lost(self) -> None:
        """One transport is gone: the splice ends when both are."""
        if all(half.lost for half in self._halves) and not self.closed.done():
            self.closed.set_result(None)

    def __repr__(self) -> str:
        state = "closed" if self.closed.done() else "open"
        return f"Splice({self.bytes_from_first} bytes there, {self.bytes_from_second} back, {state})"


class _Half(asyncio.Protocol):
    """The protocol on one of the two transports: what arrives here goes out on the other."""

    __slots__ = ("_splice", "blocked", "ended", "error", "lost", "other", "received", "strict", "transport")

    other: _Half

    def __init__(self, splice: Splice, transport: asyncio.Transport, *, strict: bool) -> None:
        self._splice = splice
        self.transport = transport
        self.strict = strict
        self.error: Exception | None = None
        self.received = 0
        self.blocked = False  # too much waits to be written here: the other side must not read
        self.ended = False  # everything this side will ever send has been read
        self.lost = False  # the transport is gone

    def attach(self) -> None:
        self.transport.pause_reading()
        self.transport.set_protocol(self)
        self.transport.set_write_buffer_limits(high=SPLICE_WRITE_BUFFER)
        # A protocol that was paused before us has heard of it; we only hear when it may go on.
        self.blocked = self.transport.get_write_buffer_size() > SPLICE_WRITE_BUFFER

    def start(self) -> None:
        if not self.other.blocked and not self.transport.is_closing():
            self.transport.resume_reading()

    def give_up(self) -> None:
        """End a splice that never began: a transport that is closing may never call us again."""
        self.lost = self.transport.is_closing()
        if not self.lost:
            self.transport.set_protocol(self)
        reset(self.transport)
        self._splice.on_half_lost()

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if not self.other.lost:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        other = self.other
        if self.strict and not self.ended:
            self.transport.abort()  # its connection_lost tells the other side of a reset
            return True
        if not self.ended:
            self.ended = True
            if not other.lost and not other.transport.is_closing():
                try:
                    if other.transport.can_write_eof():
                        other.transport.write_eof()
                    else:  # TLS: its end is the end of both directions
                        other.transport.close()
                except OSError:  # it was reset a moment ago and we have not been told yet
                    reset(other.transport)
                if other.ended:  # both directions have ended: what is buffered is flushed, then it closes
                    other.transport.close()
        # False lets our own transport close after its buffer is flushed
        return not other.ended and self.transport.can_write_eof()

    def pause_writing(self) -> None:
        self.blocked = True
        if self.other.may_read():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self.blocked = False
        if self.other.may_read():
            self.other.transport.resume_reading()

    def may_read(self) -> bool:
        return not self.lost and not self.ended and not self.transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.lost:
            return
        self.lost = True
        self.error = exc
        other = self.other
        if not other.lost:
            if self.ended:  # all it had to say was read and is still owed to the other side, reset or not
                other.transport.close()
            else:
                reset(other.transport)
        self._splice.on_half_lost()


class Held(asyncio.Protocol):
    """A socket held still until what it is to be spliced with is there.

    At most one read of the loop is taken from it, into `early`; an end that comes this soon is met again by
    whoever reads next. (Pausing in `connection_made` would be simpler, but uvloop undoes it.)
    """

    __slots__ = ("early", "lost", "transport")

    transport: asyncio.Transport
    is_strict = False
    """See `Splice`."""

    def __init__(self) -> None:
        self.early = b""
        self.lost = False

    def joined(self, splice: Splice) -> None:
        """It is spliced: of interest to who wants to know how the other side will have ended."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = as_transport(transport)

    def data_received(self, data: bytes) -> None:
        self.early += data
        self.transport.pause_reading()

    def eof_received(self) -> bool:
        self.transport.pause_reading()
        return self.transport.can_write_eof()  # in TLS nothing can be sent after the other's end

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


async def splice(
    first: asyncio.Transport, second: asyncio.Transport, *, from_first: bytes = b"", from_second: bytes = b""
) -> Splice:
    """Join two transports and return when both have ended; the counters of the result are final."""
    joined = Splice(first, second, from_first=from_first, from_second=from_second)
    await joined.wait_closed()
    return joined


def reset(transport: asyncio.BaseTransport) -> None:
    """Close at once, so that the other side sees a reset (TCP RST, or RESET_STREAM) and not an orderly end.

    Bytes that wait to be sent are dropped. A Unix socket knows no reset: its other side sees the end.
    """
    if not transport.is_closing():
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            with contextlib.suppress(OSError):  # already reset by the other side
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    as_transport(transport).abort()


def as_transport(transport: asyncio.BaseTransport) -> asyncio.Transport:
    """The transport of a TCP connection or stream, as the type that reads and writes."""
    return cast("asyncio.Transport", transport)
