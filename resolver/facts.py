"""What the DNS server is told about a name, and by whom: the seam between the zone and the gateway.

The gateway knows contacts, local listeners and what an endpoint said of its services; the zone turns that into DNS
records. A fake NameSource is in `tests/lab/resolver_facts.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from resolver.names import OverlayName, ServiceProtocol
    from resolver.zone_entries import ZoneEntry
    from tunnels.identity import EndpointId


class NameStatus(Enum):
    """Whether a name exists."""

    EXISTS = "exists"
    NOT_FOUND = "not-found"
    """It certainly does not exist now: no contact of this name, or the endpoint has no such service."""
    UNKNOWN = "unknown"
    """It cannot be told now, for instance because the endpoint is offline; `reason` says why."""


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """One port of one service, as it can be reached on this machine."""

    name: str
    port: int
    """The service's own port, as its endpoint offers it."""
    listening_port: int
    """Where our loopback listener really is: a privileged or mapped port may differ from the service's own."""
    protocol: ServiceProtocol
    address: IPv4Address
    """The loopback address of that listener."""


@dataclass(frozen=True, slots=True)
class NameFacts:
    """All the zone needs to answer any question about one name."""

    status: NameStatus
    reason: str = ""
    """For UNKNOWN: one line for people, which the reply carries (RFC 8914)."""
    endpoint_id: EndpointId | None = None
    ipv4: IPv4Address | None = None
    """The loopback address of the name asked for, endpoint or service."""
    services: tuple[ServiceFacts, ...] = ()
    """The endpoint's services; for a service name those of other names are ignored."""
    texts: tuple[str, ...] = ()
    """Further TXT strings of the name."""
    zone: tuple[ZoneEntry, ...] = ()
    """What the owner put into its zone at this name, and below it at labels with an underscore."""
    zone_of: EndpointId | None = None
    """Whose zone that is."""
    alias: OverlayName | str | None = None
    """What the name stands for by its owner's word, if no service has it: another name, or a public one outside `.overlay`."""


NOT_FOUND = NameFacts(NameStatus.NOT_FOUND)


class NameSource(Protocol):
    """Who knows the facts. Neither method raises: what cannot be told is UNKNOWN."""

    def lookup_nowait(self, name: OverlayName) -> NameFacts | None:
        """The facts if they are at hand, else None. The same object while nothing changes makes replies cheap."""

    async def lookup(self, name: OverlayName) -> NameFacts:
        """The facts, with the network asked if need be."""

    def name_at(self, address: IPv4Address) -> OverlayName | None:
        """The name that a loopback address of ours stands for."""
