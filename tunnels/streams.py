"""A tunnel's stream as an asyncio transport, so that whatever works on a TCP connection works on a stream.

What differs from TCP: `abort` resets the stream with a code, `send_datagram` carries unreliable datagrams that
belong to the stream, and `get_extra_info` answers "endpoint_id" (the peer, authenticated) and "stream_id".

As with TCP, `close` sends what waits and then the end, and what the peer had sent in good order before its own
close is delivered even if it stopped reading meanwhile. A protocol that raises loses its stream, and no other.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from tunnels import limits
from tunnels.errors import StreamReset
from tunnels.events import CloseCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tunnels.errors import TunnelError
    from tunnels.identity import EndpointId
    from tunnels.tunnel import Tunnel


class DatagramHandler(Protocol):
    """A protocol that also takes the datagrams of its stream."""

    def datagram_received(self, data: bytes) -> None:
        """One datagram came; order and arrival of datagrams are not guaranteed."""


class Meter(Protocol):
    """Who counts what moves on a stream and, once it has shut the gates, says what may."""

    def wants_to_send(self, size: int) -> int:
        """So many bytes more were written: how many of those that wait may go now. `let_send` lets the others go."""

    def wants_to_receive(self, size: int) -> int:
        """So many bytes more came: how many of those that wait may be passed on now; `let_receive` for the others."""

    def may_send_datagram(self, size: int) -> bool:
        """Whether a datagram may go; it is dropped otherwise."""

    def may_receive_datagram(self, size: int) -> bool:
        """Whether a datagram may be passed on; it is dropped otherwise."""

    def stopped(self, *, sending: bool) -> None:
        """Nothing more is sent, or nothing more is received: what waited is dropped."""

    def ended(self) -> None:
        """The stream is over, called once; its counters are final."""


class TunnelTransport(asyncio.Transport):
    """One stream; made by the endpoint."""

    __slots__ = (
        "_buffer",
        "_closing",
        "_end_delivered",
        "_ended",
        "_error",
        "_flush",
        "_forget",
        "_gated",
        "_high",
        "_let",
        "_linger",
        "_loop",
        "_lost",
        "_low",
        "_meter",
        "_paused",
        "_protocol",
        "_protocol_paused",
        "_takes_datagrams",
        "_tunnel",
        "_unasked",
        "_write_ended",
        "_written",
        "bytes_received",
        "remote_id",
        "stream_id",
    )

    def __init__(
        self,
        tunnel: Tunnel,
        stream_id: int,
        remote_id: EndpointId,
        *,
        flush: Callable[[], None],
        forget: Callable[[int], None],
    ) -> None:
        """For a stream of `tunnel`; `flush` schedules sending, `forget` ends the endpoint's interest in it."""
        super().__init__({"endpoint_id": remote_id, "stream_id": stream_id})
        self._loop = asyncio.get_running_loop()
        self._tunnel = tunnel
        self.stream_id = stream_id
        self.remote_id = remote_id
        self._flush = flush
        self._forget = forget
        self._protocol: Any = None
        self._takes_datagrams = False
        self._buffer: list[bytes] = []
        self._paused = False
        self._ended = False  # the peer will send no more
        self._end_delivered = False
        self._write_ended = False
        self._closing = False
        self._lost = False
        self._linger: asyncio.TimerHandle | None = None
        self._error: TunnelError | None = None  # the tunnel's, to be told after the peer's last bytes
        self._protocol_paused = False
        self._high = limits.WRITE_BUFFER_HIGH
        self._low = limits.WRITE_BUFFER_HIGH // 4
        self.bytes_received = 0
        """Bytes passed on to the protocol, of the stream and of its datagrams."""
        self._written = 0
        self._meter: Meter | None = None
        self._gated = False
        self._unasked = 0  # bytes of the buffer that the meter was not asked about
        self._let = 0  # bytes of the buffer that may be passed on

    def __repr__(self) -> str:
        state = "closed" if self._lost else "closing" if self._closing else "open"
        return f"<TunnelTransport {state} stream {self.stream_id} with {self.remote_id.short}>"

    # --- counting, and holding back ---------------------------------------------------------------------

    @property
    def bytes_sent(self) -> int:
        """Bytes on their way, of the stream and of its datagrams; without what waits to be sent."""
        return self._written - self._tunnel.pending_bytes(self.stream_id)

    def set_meter(self, meter: Meter) -> None:
        """Have it told of the stream's end, be that now, and asked about each byte while the gates are shut."""
        if self._lost:
            meter.ended()
            return
        self._meter = meter

    def shut_gates(self) -> None:
        """From now on ask the meter about each byte, and about those that wait; once it has been set."""
        if self._gated or self._lost or self._meter is None:
            return
        self._gated = True
        self._let, self._unasked = 0, sum(map(len, self._buffer))
        self._tunnel.shut_gate(self.stream_id)
        if waiting := self._tunnel.pending_bytes(self.stream_id):
            self._tunnel.let(self.stream_id, self._meter.wants_to_send(waiting))
            self._flush()

    def remove_gates(self) -> None:
        """Ask nobody any more."""
        if self._gated:
            self._gated = False
            self._tunnel.remove_gate(self.stream_id)
            self._flush()
            self._deliver()

    def let_send(self, size: int) -> None:
        """So many more of the bytes that wait may go."""
        self._tunnel.let(self.stream_id, size)
        self._flush()

    def let_receive(self, size: int) -> None:
        """So many more of the bytes that wait may be passed on."""
        self._let += size
        self._deliver()

    def _take(self) -> bytes:
        """What may be passed on now; the rest goes on waiting."""
        if not self._gated:
            chunks, self._buffer = self._buffer, []
            return b"".join(chunks)
        if self._unasked and self._meter is not None:
            asked, self._unasked = self._unasked, 0
            self._let += self._meter.wants_to_receive(asked)
        taken = []
        whole = 0
        for chunk in self._buffer:
            if len(chunk) > self._let:
                if self._let:
                    taken.append(chunk[: self._let])
                    self._buffer[whole] = chunk[self._let :]
                    self._let = 0
                break
            taken.append(chunk)
            self._let -= len(chunk)
            whole += 1
        del self._buffer[:whole]
        return b"".join(taken)

    # --- asyncio.Transport: reading ---------------------------------------------------------------------

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Deliver to this protocol from now on; what came before a first one was set is delivered then."""
        self._protocol = protocol
        self._takes_datagrams = hasattr(protocol, "datagram_received")
        if (self._buffer or self._ended) and not self._paused:
            self._loop.call_soon(self._deliver)

    def start(self, protocol_factory: Callable[[], asyncio.Protocol]) -> None:
        """Give a stream that the peer opened its protocol; one that cannot be made resets the stream."""
        protocol = self._tell(protocol_factory)
        if protocol is not None:
            self.set_protocol(protocol)
            self._tell(protocol.connection_made, self)

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def is_reading(self) -> bool:
        return not self._paused and not self._closing

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            if self._buffer or self._ended:
                self._loop.call_soon(self._deliver)

    def is_closing(self) -> bool:
        return self._closing

    def _deliver(self) -> None:
        while self._buffer and not self._paused and not self._closing and self._protocol is not None:
            data = self._take()
            if not data:
                return
            self.bytes_received += len(data)
            self._tunnel.consumed(self.stream_id, len(data))
            self._flush()
            self._tell(self._protocol.data_received, data)
        if self._ended and not self._buffer and not self._paused:
            self._deliver_end()

    def _deliver_end(self) -> None:
        if self._end_delivered or self._closing or self._protocol is None:
            return
        self._end_delivered = True
        if not self._tell(self._protocol.eof_received):
            self.close()
        elif self._write_ended and not self._tunnel.pending_bytes(self.stream_id):
            self._finish()

    def _tell(self, method: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401 - a protocol's own method
        """Call the protocol; its crash is reported and ends this stream alone, as with asyncio's own transports."""
        try:
            return method(*arguments)
        except Exception as error:  # noqa: BLE001 - somebody else's code
            self._loop.call_exception_handler(
                {
                    "message": f"the protocol of {self!r} raised; the stream is reset",
                    "exception": error,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )
            self.abort()
            return None

    # --- asyncio.Transport: writing ---------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or self._write_ended or not data:
            return
        self._written += len(data)
        self._tunnel.write(self.stream_id, data if type(data) is bytes else bytes(memoryview(data)))
        if self._gated and self._meter is not None:
            self._tunnel.let(self.stream_id, self._meter.wants_to_send(len(data)))
        self._flush()
        self._maybe_pause_protocol()

    def _maybe_pause_protocol(self) -> None:
        if self._protocol_paused or self._protocol is None:
            return
        if self._tunnel.pending_bytes(self.stream_id) > self._high:
            self._protocol_paused = True
            self._tell(self._protocol.pause_writing)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        if self._closing or self._write_ended:
            return
        self._write_ended = True
        self._tunnel.write_eof(self.stream_id)
        self._flush()

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return self._tunnel.pending_bytes(self.stream_id)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = limits.WRITE_BUFFER_HIGH if low is None else 4 * low
        if low is None:
            low = high // 4
        if not 0 <= low <= high:
            raise ValueError(f"high ({high}) must be at least low ({low}), and low at least 0")
        self._high, self._low = high, low
        self._maybe_pause_protocol()
        self.stream_drained()

    def send_datagram(self, data: bytes) -> bool:
        """Send one datagram; False if it is too large for a frame, and the stream itself should carry it."""
        if self._closing:
            return False
        if self._gated and self._meter is not None and not self._meter.may_send_datagram(len(data)):
            return True
        if not self._tunnel.send_datagram(self.stream_id, data):
            return False
        self._written += len(data)
        self._flush()
        return True

    # --- asyncio.Transport: the end ---------------------------------------------------------------------

    def close(self) -> None:
        """Send what waits, then the end; what the peer still sends is not read any more."""
        if self._closing:
            return
        self._closing = True
        self._buffer.clear()
        self._stopped(sending=False)
        if not self._write_ended:
            self._write_ended = True
            self._tunnel.write_eof(self.stream_id)
            self._flush()
        if not self._tunnel.pending_bytes(self.stream_id):
            self._lose(None)

    def abort(self) -> None:
        """Give the stream up at once: the peer sees a reset."""
        self._closing = True
        self._buffer.clear()
        self._written = self.bytes_sent
        self._stop_peer()
        self._lose(None)

    def _stopped(self, *, sending: bool) -> None:
        if self._gated and self._meter is not None:
            self._meter.stopped(sending=sending)

    def _finish(self) -> None:
        """Both directions have ended in good order."""
        self._closing = True
        self._lose(self._error)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        if self._meter is not None:
            self._stopped(sending=False)
            self._stopped(sending=True)
            self._gated = False
            self._meter.ended()
        if self._ended:
            self._forget(self.stream_id)
        else:  # the peer has not ended: it gets a while to read our end before it is told to stop
            self._linger = self._loop.call_later(limits.CLOSE_LINGER, self._stop_peer)
        self._loop.call_soon(self._call_connection_lost, error)

    def _call_connection_lost(self, error: Exception | None) -> None:
        if self._protocol is not None:
            self._tell(self._protocol.connection_lost, error)

    def _stop_peer(self) -> None:
        """Read no more, and write no more if the end was not written."""
        self._tunnel.reset(self.stream_id)
        self._flush()
        self._peer_ended()
        self._forget(self.stream_id)

    def _peer_ended(self) -> None:
        """Nothing more will come, so nobody need be told to stop."""
        self._ended = True
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None

    # --- from the tunnel --------------------------------------------------------------------------------

    def stream_data(self, data: bytes) -> bool:
        """Bytes came; whether `deliver` is to be called once all that came with them is here.

        Packets come in bursts, and the protocol is told of a burst once.
        """
        if self._closing:
            return False  # not consumed, so the peer runs out of credit
        self._buffer.append(data)
        if self._gated:
            is_first = not self._unasked
            self._unasked += len(data)
            return is_first
        return len(self._buffer) == 1

    def deliver(self) -> None:
        """Tell the protocol what came, unless it reads no more for now."""
        if not self._paused and not self._lost:
            self._deliver()

    def stream_ended(self) -> None:
        """The peer sends no more."""
        self._peer_ended()
        if self._lost:
            self._forget(self.stream_id)
        elif not self._buffer and not self._paused:
            self._deliver_end()

    def stream_drained(self) -> None:
        """What waited for credit is on its way."""
        if self._tunnel.pending_bytes(self.stream_id) > self._low:
            return
        if self._protocol_paused:
            self._protocol_paused = False
            self._tell(self._protocol.resume_writing)
        if (
            self._write_ended
            and (self._closing or self._end_delivered)
            and not self._tunnel.pending_bytes(self.stream_id)
        ):
            self._finish()

    def stream_lost(self, error: TunnelError) -> None:
        """Its tunnel closed. What the peer had sent and ended in good order is still delivered first."""
        self.deliver()
        if self._ended and not self._end_delivered and not self._closing:
            self._write_ended = True
            self._error = error
        else:
            self._give_up(error)

    def stream_reset(self, code: int) -> None:
        """The peer gave the stream up. What came before is delivered, as far as it is read."""
        self.deliver()
        self._give_up(StreamReset(code))

    def _give_up(self, error: TunnelError) -> None:
        self._closing = True
        self._peer_ended()
        self._buffer.clear()
        self._lose(error)
        self._forget(self.stream_id)

    def stream_stopped(self) -> None:
        """The peer reads no more. What it sent is still delivered; a paused writer stays paused until then."""
        self._stopped(sending=True)
        if self._closing:
            self._lose(StreamReset(CloseCode.STREAM_ABORTED))  # what waited to be flushed never will be
            return
        self._write_ended = True
        if self._end_delivered:
            self._finish()

    def datagram_received(self, data: bytes) -> None:
        """A datagram of this stream came; dropped when nobody takes them."""
        if not self._takes_datagrams or self._closing:
            return
        if self._gated and self._meter is not None and not self._meter.may_receive_datagram(len(data)):
            return
        self.bytes_received += len(data)
        self._tell(self._protocol.datagram_received, data)
