"""The seam to all places where signed records come from.

No source is trusted: what it finds carries its owner's signature. Fakes are in `tests/lab/resolver_sources.py`.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from resolver.signed_packets import SignedPacket
    from tunnels.identity import EndpointId


class Scope(Enum):
    """Who can read what is at a source, and so which of an endpoint's records is there.

    An endpoint signs one record for each scope. The newest of each is kept; neither replaces the other.
    """

    PUBLIC = "public"
    """Anybody: beacons, pkarr relays, the DHT. Nothing personal unless its owner wants it there."""
    LOCAL = "local"
    """Those on the same network: with its addresses there, and good for a short time."""
    GIVEN = "given"
    """Who got it by hand, as a ticket or an invite: with addresses of every kind, and good for long."""


class RecordSource(Protocol):
    """One place to find and publish records; may take its time, and be cancelled."""

    @property
    def name(self) -> str:
        """What people call it: `contacts`, `local network`, `dht`, the URL of a beacon."""

    @property
    def scope(self) -> Scope:
        """Which record of ours it gets, and what the records found there are."""

    async def find(self, endpoint_id: EndpointId) -> SignedPacket | None:
        """The newest record it has of the endpoint, or None; DiscoveryError if it cannot be asked now."""

    async def publish(self, packet: SignedPacket) -> None:
        """Make our own record findable there, where that makes sense; DiscoveryError if it cannot be done now."""
