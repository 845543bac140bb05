"""What the nodes of a beacon share: records, who is where, frames between nodes, accounts. The seams, and their values.

One node alone has all of it embedded (`embedded`); a fleet has it in Redis (`shared`). Every method may raise
StoreUnavailable; the hub then serves whom it has, and says so in its readiness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from resolver.signed_packets import SignedPacket
    from tunnels.identity import EndpointId


class StoreUnavailable(GatewayError):
    """The database does not answer; what needs it is refused, everything else goes on."""


class RecordStore(Protocol):
    """Signed packets, the newest of each endpoint, for a limited time."""

    async def get(self, endpoint_id: EndpointId) -> SignedPacket | None:
        """The endpoint's packet, if it is here and has not been kept for too long."""

    async def put(self, packet: SignedPacket) -> bool:
        """Keep it, unless one as new or newer is here; whether it was kept. Atomic: of two at once the newer stays."""


class Presence(Protocol):
    """Which node each endpoint is connected to."""

    async def announce(self, endpoint_ids: tuple[EndpointId, ...]) -> None:
        """They are connected to this node; to be said again before it is forgotten, and when the store restarted."""

    async def withdraw(self, endpoint_id: EndpointId) -> None:
        """It is not connected to this node any more; what another node announced meanwhile stays."""

    async def nodes_of(self, endpoint_ids: tuple[EndpointId, ...]) -> dict[EndpointId, str]:
        """The other node of each of these that is connected to one."""


class Bus(Protocol):
    """Frames from node to node."""

    async def start(self, deliver: Callable[[EndpointId, bytes], None]) -> None:
        """Call `deliver` with the receiver and the frame, as the receiver is to get it, for each that comes."""

    async def publish(self, node: str, endpoint_id: EndpointId, frame: bytes) -> bool:
        """Send a frame for the endpoint to a node; whether that node listens."""

    async def close(self) -> None:
        """Stop listening."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What an endpoint may still have relayed."""

    used_bytes: int
    """In this period."""
    credit_bytes: int
    """From vouchers, and not used yet; used when the quota is."""


class Accounts(Protocol):
    """Bytes relayed for each endpoint in each period, and the credit that vouchers gave."""

    async def charge(self, endpoint_id: EndpointId, size: int, quota_bytes: int, period: int) -> Balance:
        """Add to what the period (a number that grows) used; what goes beyond the quota is taken from the credit, down to 0."""

    async def balance(self, endpoint_id: EndpointId, period: int) -> Balance:
        """As it is now."""

    async def redeem(self, serial: bytes, holder: EndpointId, size: int, expires: int) -> Balance | None:
        """Add a voucher's bytes to its holder's credit, once for each serial ever; None if it was redeemed before."""

    async def close(self) -> None:
        """Write down what is not written yet."""
