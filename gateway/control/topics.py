"""What `overlay topic` asks and is told, on the wire."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gateway.control.base import Report, Request
from gateway.topics.manifest import Manifest


class JoinTopicRequest(Request, frozen=True, kw_only=True):
    """Be in a topic from now on."""

    name: Annotated[str, Meta(max_length=255)]
    manifest: Manifest | None = None
    """What peers in it are told of our app; null for nothing, also if something was told before."""


class TopicReport(Report, frozen=True, kw_only=True):
    """A topic that this gateway is in."""

    name: str
    id: str
    """What beacons, the local network and the DHT are told, in z-base-32."""
    manifest: Manifest | None = None
    peers: int = 0
    """Endpoints that proved to be in it, too."""
    joined_before: bool = False
    """In the answer to joining it: it was joined, and only the manifest is another."""
    warnings: tuple[str, ...] = ()


class TopicPeerReport(Report, frozen=True, kw_only=True):
    """An endpoint that proved to be in a topic."""

    endpoint_id: str
    petname: str = ""
    manifest: Manifest | None = None
    """What it says of its app; nothing in it is proved."""
    host: str
    """Its name, or that of the service which its manifest names. Whether we may use it is for its owner to say."""
    source: str
    """Who told of it first: `beacon`, `local network`, `dht`, or `it asked us`."""
    seconds: float
    """Since it proved it first."""
    verified_seconds: float
    """Since it did last."""
