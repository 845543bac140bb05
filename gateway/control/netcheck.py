"""What `overlay netcheck` asks and is told, on the wire."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gateway.control.api import Report, Request


class NetcheckRequest(Request, frozen=True, kw_only=True):
    """Ask how the network lets us be reached."""

    max_age: Annotated[float, Meta(ge=0, le=86400)] = 0.0
    """Seconds: an older measurement is made again; none is made twice in five seconds."""


class FindingReport(Report, frozen=True, kw_only=True):
    """One line for people."""

    what: str
    value: str
    meaning: str = ""


class FamilyNetworkReport(Report, frozen=True, kw_only=True):
    """How one address family works here; what was not seen is `unknown` or null."""

    has_address: bool
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
    own_mapping: str = "unknown"
    """As the tunnels' own socket shows it."""
    own_addresses: tuple[str, ...] = ()


class NetcheckReport(Report, frozen=True, kw_only=True):
    """How the network lets this gateway be reached."""

    udp_blocked: bool | None
    ipv4: FamilyNetworkReport
    ipv6: FamilyNetworkReport
    seconds: float
    """How long measuring took."""
    age: float = 0.0
    """Seconds since it was measured."""
    findings: tuple[FindingReport, ...] = ()
    remedies: tuple[str, ...] = ()
    """What would help, in a line each."""
