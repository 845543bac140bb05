"""The stream of one flow, at either end: datagrams in and out, beside the stream or, when too large, on it.

Nothing queues without bound: a datagram that must go on the stream while its buffer is full is dropped, as any
router on the way would.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

from gateway.flows.framing import Deframer, FramingError, frame
from gateway.limits import DATAGRAM_BYTES, SPLICE_WRITE_BUFFER

if TYPE_CHECKING:
    from gateway.flows.keeper import FlowKeeper


class FlowTransport(Protocol):
    """What a flow needs of its stream; a `TunnelTransport` is one."""

    def send_datagram(self, data: bytes) -> bool:
        """Send beside the stream; False when the stream itself should carry it."""

    def write(self, data: bytes) -> None:
        """Send on the stream."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """When to call pause_writing and resume_writing."""

    def close(self) -> None:
        """End the stream in good order."""

    def abort(self) -> None:
        """Reset the stream."""


class FlowStream(asyncio.Protocol):
    """A flow after its header; what comes goes to `deliver`, which the two ends define, as they do `ended`."""

    transport: FlowTransport

    def __init__(self, keeper: FlowKeeper) -> None:
        self.closed = False
        self._keeper = keeper
        self._deframer = Deframer()
        self._writable = True

    def deliver(self, data: bytes) -> None:
        """One datagram came from the other end."""
        raise NotImplementedError

    def ended(self) -> None:
        """The flow is over; called exactly once, with `closed` true."""
        raise NotImplementedError

    def send(self, data: bytes) -> None:
        """Send one datagram to the other end; dropped when the flow is closed or the stream is full."""
        if self.closed or len(data) > DATAGRAM_BYTES:
            return
        self._keeper.touch(self)
        if not self.transport.send_datagram(data):
            self.send_on_stream(data)

    def send_on_stream(self, data: bytes) -> None:
        """The same, on the stream itself."""
        if self._writable:
            self.transport.write(frame(data))

    def expire(self) -> None:
        """End the flow in good order; idempotent."""
        if not self.closed:
            self.closed = True
            self._keeper.remove(self)
            self.transport.close()
            self.ended()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("FlowTransport", transport)
        self.transport.set_write_buffer_limits(high=SPLICE_WRITE_BUFFER)

    def datagram_received(self, data: bytes) -> None:
        """A datagram came beside the stream."""
        if not self.closed:
            self._keeper.touch(self)
            self.deliver(data)

    def data_received(self, data: bytes) -> None:
        try:
            datagrams = self._deframer.feed(data)
        except FramingError:
            self.transport.abort()
            return
        for datagram in datagrams:
            self.datagram_received(datagram)

    def eof_received(self) -> bool:
        self.expire()
        return False

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.expire()
