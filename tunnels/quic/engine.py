"""The QUIC seam: what tunnels asks of an engine, and what an engine tells.

Two engines stand behind it, qh3 and aioquic; `tests/tunnels/quic/test_conformance.py` holds both to it, and to
each other. An engine is sans-IO: it takes datagrams and `now`, and gives datagrams and a timer. It sees one
constant pseudo-address; which path a datagram takes is decided above.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, get_args

from tunnels import limits
from tunnels.errors import TunnelLost

if TYPE_CHECKING:
    from tunnels.quic.certificates import Certificate

EngineName = Literal["qh3", "aioquic"]
ENGINE_NAMES: tuple[EngineName, ...] = get_args(EngineName)

ALPN = "overlay/1"

PSEUDO_ADDRESS = ("192.0.2.1", 443)
"""The one address every engine believes in (TEST-NET-1, RFC 5737)."""


def packet_size(rtt: float | None) -> int:
    """Bytes of the largest packet once the handshake is over, given its round-trip time in seconds, if known.

    Handshake packets are never larger than every path carries.
    """
    is_short = rtt is not None and rtt <= limits.SHORT_PATH_RTT
    return limits.SHORT_PATH_PACKET if is_short else limits.LONG_PATH_PACKET


def initial_window(packet_bytes: int) -> int:
    """Bytes of the first congestion window for a largest packet of so many bytes."""
    is_short = packet_bytes == limits.SHORT_PATH_PACKET
    return limits.SHORT_PATH_WINDOW if is_short else limits.LONG_PATH_WINDOW


class EngineEvents(Protocol):
    """What an engine tells; called from within `Engine.drain_events`, in order."""

    def handshake_completed(self) -> None:
        """TLS is done; `peer_key` and `channel_binding` may be asked now."""

    def stream_data(self, stream_id: int, data: bytes, end_stream: bool) -> None:
        """Bytes in order; `end_stream` is true once, with the last of them, which may be none."""

    def stream_reset(self, stream_id: int, code: int) -> None:
        """The peer sends no more on this stream."""

    def stop_sending(self, stream_id: int, code: int) -> None:
        """The peer reads no more of this stream; the engine has already reset our side."""

    def datagram(self, data: bytes) -> None:
        """One DATAGRAM frame (RFC 9221)."""

    def ping_acknowledged(self, uid: int) -> None:
        """A ping arrived."""

    def connection_id_issued(self, connection_id: bytes) -> None:
        """Datagrams with this destination connection id are ours from now on."""

    def connection_id_retired(self, connection_id: bytes) -> None:
        """Datagrams with this destination connection id no longer are."""

    def terminated(self, code: int, reason: str) -> None:
        """The connection is over; nothing follows."""


def engine_broke(error: Exception) -> TunnelLost:
    """What a foreign exception out of an engine means: this connection is over, and no other is concerned."""
    return TunnelLost(f"QUIC broke: {str(error) or type(error).__name__}")


class Engine(Protocol):
    """One QUIC connection, either side. Every method that needs the time takes `now` in seconds.

    `receive_datagrams`, `datagrams_to_send` and `handle_timer` raise TunnelLost when what the peer sent broke the
    engine; it must not be called again then.
    """

    @property
    def connection_ids(self) -> tuple[bytes, ...]:
        """The destination connection ids that datagrams for this connection carry at first."""

    def connect(self, now: float) -> None:
        """Client: begin the handshake."""

    def receive_datagrams(self, datagrams: list[bytes], now: float) -> None:
        """Take datagrams as they came; those that are not authentic are dropped inside."""

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """What to put on the wire now."""

    def get_timer(self) -> float | None:
        """When `handle_timer` is due."""

    def handle_timer(self, now: float) -> None:
        """Let retransmissions, delayed acknowledgements and the idle timeout happen."""

    def drain_events(self, events: EngineEvents) -> None:
        """Tell everything that happened since the last call."""

    def open_stream(self) -> int | None:
        """The id of a new bidirectional stream, or None at the peer's limit; it exists once written to."""

    def send_stream_data(self, stream_id: int, data: bytes, end_stream: bool = False) -> None:
        """Queue bytes; never blocks. Ignored if the stream was reset or stopped meanwhile."""

    def reset_stream(self, stream_id: int, code: int) -> None:
        """Give up sending on a stream; idempotent."""

    def stop_stream(self, stream_id: int, code: int) -> None:
        """Ask the peer to give up sending on a stream; idempotent."""

    def unsent_bytes(self) -> int:
        """Stream bytes queued and not yet sent once, over all streams; 0 where the engine cannot tell."""

    def window_room(self) -> int:
        """Bytes of new stream data that had better be handed over now, by the congestion window; may be negative."""

    def bytes_in_flight(self) -> int:
        """Bytes sent and neither acknowledged nor lost yet."""

    def is_congested(self) -> bool:
        """Whether a DATAGRAM frame queued now would wait for the congestion window or the pacer."""

    def send_datagram_frame(self, data: bytes) -> None:
        """Queue one DATAGRAM frame; the caller has checked it against `MAX_DATAGRAM_FRAME`."""

    def send_ping(self, uid: int) -> None:
        """Elicit an acknowledgement; keeps the connection alive."""

    def probe_timeouts(self) -> int:
        """How many probe timeouts in a row went by without any acknowledgement (RFC 9002 §6.2)."""

    def update_keys(self) -> bool:
        """Client: encrypt with new keys from now on (RFC 9001 §6), as the server will; False if it cannot be now."""

    def poke(self) -> None:
        """The path is back: send now instead of waiting for the backed-off probe timeout."""

    def peer_key(self) -> bytes | None:
        """Client: the 32-byte Ed25519 key of the server's certificate, whose secret the server proved to have."""

    def channel_binding(self) -> bytes:
        """32 bytes that both ends of this very connection share and nobody else knows."""

    def rtt(self) -> float | None:
        """Smoothed round-trip time in seconds, once measured."""

    def close(self, code: int, reason: str) -> None:
        """End the connection; the peer is told once."""


class EngineFactory(Protocol):
    """Makes engines of one kind."""

    name: EngineName

    def client(self, certificate: Certificate, idle_timeout: float) -> Engine:
        """A connection to be opened with `connect`."""

    def server(
        self,
        certificate: Certificate,
        idle_timeout: float,
        *,
        original_destination_connection_id: bytes,
        retry_source_connection_id: bytes | None,
    ) -> Engine:
        """A connection that the given Initial packet begins; the datagram itself is given afterwards."""
