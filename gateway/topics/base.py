"""The seam to whoever knows who is in a topic: beacons, the local network, the DHT. A fake is in `tests/lab/topic_sources.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from resolver.signed_packets import SignedPacket
    from tunnels.addresses import Address, PathAddress
    from tunnels.identity import EndpointId


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who may be in a topic; nothing of it is proved."""

    key: EndpointId | Address
    """Its id, or, where nobody knows that, where it listens for tunnels."""
    places: tuple[PathAddress, ...] = ()
    """Where it may be reached, beside what its record says."""
    packet: SignedPacket | None = None
    """Its record, which is for our network only."""


class TopicSource(Protocol):
    """Tells others that we are in topics, and us who else may be. Both methods raise DiscoveryError where they fail."""

    name: str

    async def announce(self, topics: tuple[bytes, ...]) -> None:
        """We are in these and in no others, from now on or for a while: it is said again in every round."""

    async def find(self, topic: bytes) -> tuple[Candidate, ...]:
        """Some of those who say that they are in a topic; not ourselves."""
