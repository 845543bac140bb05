"""What `overlay status` is told of a gateway as a whole, on the wire."""

from __future__ import annotations

from typing import Literal

from gateway.control.base import PathWord, Report
from gateway.control.contacts import ContactReport
from gateway.control.services import LoopbackReport, ServiceReport


class ListenerReport(Report, frozen=True, kw_only=True):
    """One local door of this gateway."""

    name: Literal["proxy", "dns", "dashboard", "front door", "https", "tunnels"]
    addresses: tuple[str, ...] = ()
    """Where it listens really, as `ip:port`; empty when it is switched off or failed."""
    enabled: bool = True
    note: str = ""
    """Why it does not listen, or what is to be known of it."""


class TunnelReport(Report, frozen=True, kw_only=True):
    """One connection to another endpoint."""

    endpoint_id: str
    petname: str = ""
    """Empty when the endpoint is no contact."""
    address: str = ""
    """Where its datagrams go now."""
    path: PathWord = "direct"
    path_seconds: float | None = None
    """How long they have gone there."""
    rtt_ms: float | None = None
    """Smoothed round-trip time; None before the first measurement."""
    streams: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    """How long it has been up."""
    trying: str = ""
    """The strategy that is tried for a direct path now; empty if none is."""


class BeaconReport(Report, frozen=True, kw_only=True):
    """One beacon: a configured one, or another that we are connected to because a peer is at home there."""

    url: str
    state: str
    """`connecting`, `connected`, `waiting`, `closed`."""
    home: bool = False
    """Whether others find us there."""
    seconds: float | None = None
    """How long it has been connected; None while it is not."""
    observed: str = ""
    """Where it sees us, as `ip:port`."""
    relays: bool = True
    """Whether it relays datagrams, or only passes messages on."""
    policy: str = ""
    """Its owner's words."""
    left_bytes: int | None = None
    """What is left of what it relays for us in this period; None where there is no such limit."""
    credit_bytes: int = 0
    """What vouchers gave beyond that."""
    bytes_in: int = 0
    bytes_out: int = 0
    error: str = ""
    """Why it is not connected."""


class PortMappingReport(Report, frozen=True, kw_only=True):
    """The port of the tunnels at our router."""

    external: str = ""
    """What it is outside; empty while there is no mapping."""
    protocol: str = ""
    """`PCP`, `NAT-PMP`, `UPnP`."""
    router: str = ""
    """Its ip; empty where there is none."""
    state: str = ""
    """Of a mapping: `unverified`, `being verified`, `verified`, `dead`."""
    problem: str = ""
    """Why there is no mapping, or none that works; empty if there is nothing to say."""


class LendingReport(Report, frozen=True, kw_only=True):
    """The relay that this gateway lends."""

    url: str
    to: Literal["contacts", "all"]
    """Who may use it."""
    most: int
    """How many may be connected at once."""
    connected: int = 0
    endpoints: tuple[str, ...] = ()
    """Some or all of those who are connected: petnames, or the beginnings of ids."""
    relayed_bytes: int = 0
    """Since the start, our own included."""


class LocalNetworkReport(Report, frozen=True, kw_only=True):
    """How we are found on the local network, and find others there."""

    interfaces: tuple[str, ...] = ()
    """Those that we are on; none where there is no local network, or our tunnels do not listen there."""
    mdns: tuple[int, ...] = ()
    """The IP versions in which multicast DNS works."""
    mdns_problem: str = ""
    """Why it does not; empty if it does, or is off."""
    fallback: tuple[int, ...] = ()
    """The IP versions in which our own datagrams work."""
    fallback_problem: str = ""
    heard: int = 0
    """Endpoints that are there."""
    refused: int = 0
    """Packets that were forged, or no records."""
    dropped: int = 0
    """Packets that were not looked at, because there were too many."""


class DhtReport(Report, frozen=True, kw_only=True):
    """The Mainline DHT."""

    enabled: bool
    """Whether it runs."""
    nodes: int = 0
    """Live nodes in our table."""
    serves: bool = False
    """Whether we answer other nodes."""
    stored: int | None = None
    """Nodes that took our record the last time; None if it was not published yet."""
    published_ago: float | None = None
    """Seconds since then."""
    problem: str = ""
    """Why it does not run though it might, or why our record is not there, with the remedy."""


class StatusReport(Report, frozen=True, kw_only=True):
    """A snapshot of one gateway."""

    version: str
    endpoint_id: str
    nickname: str
    pid: int
    home: str
    uptime: float
    """Seconds since the start."""
    quic_engine: str = ""
    listeners: tuple[ListenerReport, ...] = ()
    addresses: tuple[str, ...] = ()
    """What our tickets say of where we may be reached."""
    relays: tuple[str, ...] = ()
    """The same of our beacons, our home first."""
    services: tuple[ServiceReport, ...] = ()
    contacts: tuple[ContactReport, ...] = ()
    tunnels: tuple[TunnelReport, ...] = ()
    beacons: tuple[BeaconReport, ...] = ()
    port_mapping: PortMappingReport | None = None
    """None where it is off."""
    pinhole: PortMappingReport | None = None
    """The same in the router's firewall for IPv6."""
    lending: LendingReport | None = None
    """None where no relay is lent."""
    local_network: LocalNetworkReport | None = None
    """None where it is off."""
    dht: DhtReport | None = None
    loopback: tuple[LoopbackReport, ...] = ()
    warnings: tuple[str, ...] = ()

    def listener(self, name: str) -> str:
        """Where the listener of this name listens first, as `ip:port`; empty when it does not."""
        return next(
            (report.addresses[0] for report in self.listeners if report.name == name and report.addresses), ""
        )
