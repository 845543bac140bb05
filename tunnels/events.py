"""What a tunnel is and tells: its states, why it ends, and the events it calls. Values and a protocol only."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tunnels.errors import TunnelError


class CloseCode(int, Enum):
    """Why a connection or stream is closed, as QUIC application error codes; below 512 are QUIC's and TLS's own.

    Engines do not tell an application's code from a transport's (RFC 9000 §20.1), hence the offset.
    """

    DONE = 0x200
    """Nothing is wrong: shut down, or not needed any more."""
    WRONG_IDENTITY = 0x201
    """The server's key is not the id the client asked for."""
    VIOLATION = 0x202
    """The peer broke the protocol."""
    BUSY = 0x203
    """A limit is reached."""
    RESTARTED = 0x204
    """The peer has a newer connection from another run of the program."""
    TIMEOUT = 0x205
    """The handshake or the proof of identity took too long."""
    STREAM_ABORTED = 0x206
    """A stream was reset by whoever used it."""
    SILENT = 0x207
    """It fell silent and was replaced: nobody wanted it closed, so both ends call it lost, whichever tells first."""


class TunnelState(Enum):
    """Where a tunnel stands."""

    HANDSHAKE = "handshake"
    """TLS, and then the proof and the welcome, are under way."""
    OPEN = "open"
    """Both ends know each other; streams may be opened by either."""
    CLOSED = "closed"
    """It is over; `Tunnel.error` says why."""


class TunnelEvents(Protocol):
    """What a tunnel tells; called from `Tunnel.receive_datagrams`, `handle_timer` and `datagrams_to_send`."""

    def server_proved(self) -> None:
        """Of a client: the server is who was dialled, by its certificate. It does not know us yet."""

    def tunnel_opened(self) -> None:
        """The peer is authenticated: `remote_id` and `incarnation` are known, streams flow."""

    def stream_opened(self, stream_id: int) -> None:
        """The peer opened a stream."""

    def stream_data(self, stream_id: int, data: bytes) -> None:
        """Bytes of a stream; call `consumed` when they have been passed on."""

    def stream_ended(self, stream_id: int) -> None:
        """The peer sends no more on a stream, in good order."""

    def stream_reset(self, stream_id: int, code: int) -> None:
        """The peer gave a stream up, both directions."""

    def stream_stopped(self, stream_id: int) -> None:
        """The peer reads no more of a stream; what it still sends arrives as ever."""

    def stream_drained(self, stream_id: int) -> None:
        """What waited for credit on a stream has been handed to QUIC."""

    def datagram(self, stream_id: int, data: bytes) -> None:
        """A datagram that belongs to an open stream."""

    def ping_acknowledged(self, uid: int) -> None:
        """A ping of `Tunnel.ping` came back."""

    def connection_id_issued(self, connection_id: bytes) -> None:
        """Datagrams to this id belong to this tunnel."""

    def connection_id_retired(self, connection_id: bytes) -> None:
        """Datagrams to this id no longer do."""

    def tunnel_closed(self, error: TunnelError) -> None:
        """The tunnel is over, and its streams with it."""
