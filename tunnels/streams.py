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
        "_high",
        "_linger",
        "_loop",
        "_lost",
        "_low",
        "_paused",
        "_protocol",
        "_protocol_paused",
        "_takes_datagrams",
        "_tunnel",
        "_write_ended",
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

    def __repr__(self) -> str:
        state = "closed" if self._lost else "closing" if self._closing else "open"
        return f"<TunnelTransport {state} stream {self.stream_id} with {self.remote_id.short}>"

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
            chunks, self._buffer = self._buffer, []
            data = b"".join(chunks)
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
        self._tunnel.write(self.stream_id, data if type(data) is bytes else bytes(memoryview(data)))
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
        if self._closing or not self._tunnel.send_datagram(self.stream_id, data):
            return False
        self._flush()
        return True

    # --- asyncio.Transport: the end ---------------------------------------------------------------------

    def close(self) -> None:
        """Send what waits, then the end; what the peer still sends is not read any more."""
        if self._closing:
            return
        self._closing = True
        self._buffer.clear()
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
        self._stop_peer()
        self._lose(None)

    def _finish(self) -> None:
        """Both directions have ended in good order."""
        self._closing = True
        self._lose(self._error)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
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
        if self._closing:
            self._lose(StreamReset(CloseCode.STREAM_ABORTED))  # what waited to be flushed never will be
            return
        self._write_ended = True
        if self._end_delivered:
            self._finish()

    def datagram_received(self, data: bytes) -> None:
        """A datagram of this stream came; dropped when nobody takes them."""
        if self._takes_datagrams and not self._closing:
            self._tell(self._protocol.datagram_received, data)
