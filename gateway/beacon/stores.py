"""What the nodes of a beacon share: records, who is where and in which topics, frames between nodes, accounts, the
numbers of spoken codes. The seams, and their values.

One node alone has all of it embedded (`embedded`); a fleet has it in Redis (`shared`). Every method may raise
StoreUnavailable; the hub then serves whom it has, and says so in its readiness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from gateway.errors import StoreUnavailable as StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from resolver.signed_packets import SignedPacket
    from tunnels.identity import EndpointId


class RecordStore(Protocol):
    """Signed packets, the newest of each endpoint (`newer_of`), for a limited time and up to a number."""

    async def get(self, endpoint_id: EndpointId) -> SignedPacket | None:
        """The endpoint's packet, if it is here and has not been kept for too long."""

    async def put(self, packet: SignedPacket) -> bool:
        """Keep it, unless a newer one is here; whether it is the one that is kept now.

        The same packet again is kept for longer. Atomic: of two at once the newer stays, whoever comes first.
        """


class Presence(Protocol):
    """Which nodes each endpoint is connected to; a gateway may well be connected to several."""

    async def announce(self, endpoint_ids: tuple[EndpointId, ...]) -> None:
        """They are connected to this node, and are known to be until they are withdrawn.

        Saying it again does no harm and is not needed: what could not be said, because of StoreUnavailable, or was
        forgotten by a database that restarted, is said again in here.
        """

    async def withdraw(self, endpoint_id: EndpointId) -> None:
        """It is not connected to this node any more; what other nodes announced stays."""

    async def nodes_of(self, endpoint_ids: tuple[EndpointId, ...]) -> dict[EndpointId, str]:
        """For each of these that is connected to other nodes: the one it connected to last."""


class Bus(Protocol):
    """Frames from node to node."""

    async def start(self, deliver: Callable[[EndpointId, bytes], None]) -> None:
        """Call `deliver` with the receiver and the frame, as the receiver is to get it, for each that comes."""

    async def publish(self, node: str, endpoint_id: EndpointId, frame: bytes) -> bool:
        """Send a frame for the endpoint to a node; whether that node listens. Frames to a node stay in order.

        False also when too much is waiting to be sent already.
        """

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
        """Add a voucher's bytes to its holder's credit; None if the serial was redeemed before, or is out of date.

        Once for each serial ever. `expires` in unix seconds.
        """


class Nameplate(NamedTuple):
    """Who waits under a number, to be found by whoever has a spoken code."""

    owner: EndpointId
    token: bytes
    """Told to whoever takes the nameplate, and to nobody else."""


class Nameplates(Protocol):
    """Numbers of spoken codes: few, and for `BEACON_NAMEPLATE_SECONDS` only."""

    async def put(self, plate: Nameplate) -> int | None:
        """A free number, as small as may be; None if the owner has as many as it may, or all are taken."""

    async def look(self, number: int) -> Nameplate | None:
        """Who waits under this number, and goes on waiting."""

    async def take(self, number: int) -> Nameplate | None:
        """Who waits there, and from now on no more: of two who take it at once, one gets it."""

    async def release(self, number: int, owner: EndpointId) -> None:
        """Its owner waits there no more; that of others stays."""


class TopicMembers(Protocol):
    """Who is in which topic at any node; what is not said again within a while is forgotten."""

    async def announce(self, members: Sequence[tuple[bytes, EndpointId]]) -> None:
        """These endpoints are in these topics, at this node."""

    async def withdraw(self, members: Sequence[tuple[bytes, EndpointId]]) -> None:
        """They are not, any more."""

    async def sample(self, topic: bytes, most: int) -> tuple[EndpointId, ...]:
        """So many of those in the topic, by chance."""


@dataclass(frozen=True, slots=True)
class Stores:
    """All that the nodes of a beacon share; made by `embedded.open_embedded` or `shared.open_shared`."""

    records: RecordStore
    accounts: Accounts
    presence: Presence | None
    """None for a node that is alone."""
    bus: Bus | None
    """None for a node that is alone."""
    nameplates: Nameplates
    ready: Callable[[], Awaitable[None]]
    """Returns when the database answers; StoreUnavailable says why it does not."""
    close: Callable[[], Awaitable[None]]
    """Stop the bus, withdraw everybody who is here, close the database; idempotent."""
    topics: TopicMembers | None = None
    """None for a node that is alone."""
