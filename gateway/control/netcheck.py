"""What `overlay netcheck` asks and is told, on the wire."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gateway.control.base import Report, Request


class NetcheckRequest(Request, frozen=True, kw_only=True):
    """Ask how the network lets us be reached."""

    max_age: Annotated[float, Meta(ge=0, le=86400)] = 0.0
    """Seconds: an older measurement is made again; none is made twice in five seconds."""
    ladder: bool = False
    """Whether to tell what would be tried between this network and others."""
    peer: Annotated[str, Meta(max_length=255)] = ""
    """Tell that for this one only, by the network that it told of."""
    lifetime: bool = False
    """Find out how long mappings live, too: that takes minutes, once in each network."""


class FindingReport(Report, frozen=True, kw_only=True):
    """One line for people."""

    what: str
    value: str
    meaning: str = ""


class FamilyNetworkReport(Report, frozen=True, kw_only=True):
    """How one address family works here; what was not seen is `unknown` or null."""

    has_address: bool
    nat64: str = ""
    """The prefix by which IPv4 is reached without such an address."""
    stun_asked: tuple[str, ...] = ()
    stun_answered: tuple[str, ...] = ()
    translated: bool | None = None
    """Whether a NAT shows another ip than this machine's."""
    mapping: str = "unknown"
    """`endpoint-independent`, `address-dependent`, `address-and-port-dependent`, `dependent` (at least on the address)."""
    filtering: str = "unknown"
    """`endpoint-independent`, `address-dependent`, `address-and-port-dependent`."""
    allocation: str = "unknown"
    """`preserving`, `delta`, `block`, `random`."""
    delta: int | None = None
    span: tuple[int, int] | None = None
    keeps_parity: bool | None = None
    noise: float | None = None
    """Mappings that others make in a second."""
    external_ips: tuple[str, ...] = ()
    hairpin: bool | None = None
    inbound_first_poisons: bool | None = None
    """Whether a peer that sends before us moves our port."""
    nats: tuple[int | None, int | None] = (None, None)
    """How many NATs there are at least, and at most."""
    outermost_nat: int | None = None
    """Routers to the last of them and with it."""
    lifetime: tuple[int | None, int | None] = (None, None)
    """Seconds of silence after which a mapping was still there, and after which it was not; measured only if asked for."""
    own_mapping: str = "unknown"
    """As the tunnels' own socket shows it."""
    own_addresses: tuple[str, ...] = ()


class RungReport(Report, frozen=True, kw_only=True):
    """One thing that would be tried."""

    strategy: str
    why: str
    is_direct: bool
    success: float
    """How likely it succeeds, 0 to 1."""
    seconds: float = 0.0
    """How long it takes at most; 0 if nothing has to be done for it but pings."""
    datagrams: int = 0
    """How many this gateway sends at most."""
    sockets: int = 0
    """How many it opens at most."""


class LadderReport(Report, frozen=True, kw_only=True):
    """What would be tried with one kind of peer, the first first."""

    peer: str
    """The kind of its network; its name before that if one was asked for."""
    rungs: tuple[RungReport, ...]


class SpokenReport(Report, frozen=True, kw_only=True):
    """What the router does with one protocol for mapping ports."""

    protocol: str
    """`PCP`, `NAT-PMP`, `UPnP`."""
    support: str
    """`grants`, `refuses`, `absent`, `being asked`, `not asked`."""
    reason: str = ""
    """Why it gives no port."""


class RouterReport(Report, frozen=True, kw_only=True):
    """The router that is asked for a port."""

    address: str
    outside: str = ""
    """What it says that its own address outside is."""
    external: str = ""
    """The port that it gave us; empty if it gave none."""
    state: str = ""
    """Of that port: `unverified`, `being verified`, `verified`, `dead`."""
    protocols: tuple[SpokenReport, ...] = ()


class NetcheckReport(Report, frozen=True, kw_only=True):
    """How the network lets this gateway be reached."""

    udp_blocked: bool | None
    ipv4: FamilyNetworkReport
    ipv6: FamilyNetworkReport
    router: RouterReport | None = None
    """Null where there is none that could map a port, or it is not to be asked."""
    firewall: RouterReport | None = None
    """The same for IPv6, where the port is a pinhole in its firewall."""
    seconds: float
    """How long measuring took."""
    age: float = 0.0
    """Seconds since it was measured."""
    findings: tuple[FindingReport, ...] = ()
    remedies: tuple[str, ...] = ()
    """What would help, in a line each."""
    pwnat: str = "off"
    """Whether connections without any server are on; "on", "off", or why they are not on though they should be."""
    network_class: str = "unknown"
    """The kind of network this is, for a peer over IPv4."""
    ladders: tuple[LadderReport, ...] = ()
    """With a peer in each kind of network, or with the one that was asked for."""
