"""What a caller asks of the gateway, and what it gets: the seam between adapters and tunnels.

The proxy and the loopback listeners know only this room; the daemon hands them a `Dialer`. A fake Dialer is in
`tests/lab/dialer.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from gateway.errors import GatewayError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from gateway.splice import Held


class Failure(Enum):
    """Why a service could not be opened."""

    UNKNOWN_NAME = "unknown-name"
    """No contact or endpoint has this name."""
    NO_SERVICE = "no-service"
    """The endpoint is there but exposes nothing by this name or port."""
    FORBIDDEN = "forbidden"
    """The endpoint is there and does not let us use the service."""
    OFFLINE = "offline"
    """The endpoint did not answer at any address we know."""
    TARGET_REFUSED = "target-refused"
    """The endpoint is there; what stands behind its service refused the connection."""
    TARGET_UNREACHABLE = "target-unreachable"
    """The endpoint is there; what stands behind its service cannot be reached or timed out."""
    POLICY = "policy"
    """Our own configuration refuses this host: it is not under .overlay and other hosts are refused."""
    PROFILE = "profile"
    """The profile of the proxy user refuses this: another contact, another host, or a path that it may not use."""
    OVERLOADED = "overloaded"
    """A bound of ours or theirs is reached; it is worth trying again later."""
    LIMITED = "limited"
    """A limit that somebody set for us, or we for them, is reached; the message tells until when."""


class DialError(GatewayError):
    """Why a service could not be opened: `failure` for machines, str() for people."""

    def __init__(self, failure: Failure, message: str) -> None:
        super().__init__(message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class OpenedStream:
    """A byte stream to the service, its far target already connected."""

    transport: asyncio.Transport
    """Reading is paused; set a protocol and resume."""
    early: bytes = b""
    """Bytes the service has already sent."""
    held: Held | None = None
    """What the transport was opened as, where it is a connection on this machine."""


class Flow(Protocol):
    """A UDP flow to one service: datagrams both ways, unordered and unreliable."""

    def send(self, data: bytes) -> None:
        """Send one datagram; dropped silently when the flow is closed or the tunnel is full, as UDP does."""

    def close(self) -> None:
        """End the flow; idempotent."""


class Dialer(Protocol):
    """Opens streams and flows to `host:port`, overlay or not; `user` is the proxy user, if any."""

    async def open_stream(self, host: str, port: int, *, user: str | None = None) -> OpenedStream:
        """Connect to a TCP service; raises DialError."""

    async def open_flow(
        self,
        host: str,
        port: int,
        on_datagram: Callable[[bytes], None],
        on_closed: Callable[[], None],
        *,
        user: str | None = None,
    ) -> Flow:
        """Open a UDP flow; raises DialError. `on_closed` is called once, when the flow ends by itself."""
