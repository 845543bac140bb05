"""What a measurement of the network said, as one value, and in words for people with what would help. Sans-IO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.nat.behavior import UNKNOWN, AllocationKind, Behavior, Filtering, Mapping

if TYPE_CHECKING:
    from tunnels.addresses import Address


@dataclass(frozen=True, slots=True)
class FamilyReport:
    """One address family."""

    has_address: bool
    """Whether this machine has an address of it that means something elsewhere."""
    asked: tuple[Address, ...] = ()
    """STUN servers; none were asked if our beacon tells of none of this family, or we have no address."""
    answered: tuple[Address, ...] = ()
    shows_filtering: bool = False
    """Whether a server answers from a second address; without one, filtering stays unknown."""
    behavior: Behavior = UNKNOWN
    """As fresh sockets showed it."""
    own_mapping: Mapping = Mapping.UNKNOWN
    """As the tunnels' own socket shows it."""
    own_addresses: tuple[Address, ...] = ()
    """Where that socket is seen."""

    @property
    def is_blocked(self) -> bool | None:
        """Whether no datagram comes back; None where nobody was asked."""
        return not self.answered if self.asked else None


@dataclass(frozen=True, slots=True)
class NetworkReport:
    """How the network lets this machine be reached, as it was when it was measured."""

    ipv4: FamilyReport
    ipv6: FamilyReport
    measured_at: float
    """By the loop's clock."""
    seconds: float
    """How long it took."""

    @property
    def udp_blocked(self) -> bool | None:
        """Whether no datagram comes back in any family; None where nobody could be asked."""
        known = [family.is_blocked for family in (self.ipv4, self.ipv6) if family.is_blocked is not None]
        return all(known) if known else None

    @property
    def families(self) -> tuple[tuple[str, FamilyReport], ...]:
        """Both with their names."""
        return (("IPv4", self.ipv4), ("IPv6", self.ipv6))


@dataclass(frozen=True, slots=True)
class Finding:
    """One line for people."""

    what: str
    value: str
    meaning: str = ""


_MAPPING = {
    Mapping.ENDPOINT_INDEPENDENT: "peers find us where the beacon sees us",
    Mapping.ADDRESS_DEPENDENT: "each peer would see us at another port, which it has to find",
    Mapping.ADDRESS_AND_PORT_DEPENDENT: "each peer would see us at another port, which it has to find",
    Mapping.DEPENDENT: "each peer would see us at another port, which it has to find",
    Mapping.UNKNOWN: "it takes answers from two STUN servers to tell",
}
_FILTERING = {
    Filtering.ENDPOINT_INDEPENDENT: "anybody who knows our address gets in",
    Filtering.ADDRESS_DEPENDENT: "a peer gets in once we sent to its machine",
    Filtering.ADDRESS_AND_PORT_DEPENDENT: "a peer gets in once we sent to its exact address",
    Filtering.UNKNOWN: "it takes a beacon whose STUN server has two addresses to tell",
}
_ALLOCATION = {
    AllocationKind.PRESERVING: "the port of the socket is kept",
    AllocationKind.DELTA: "one after the other, so the next one can be guessed",
    AllocationKind.BLOCK: "random ones in a small range",
    AllocationKind.RANDOM: "random ones, which nobody can guess",
    AllocationKind.UNKNOWN: "too few were seen to tell",
}


def findings(report: NetworkReport) -> tuple[Finding, ...]:
    """What was found, for people."""
    blocked = report.udp_blocked
    found = [
        Finding(
            "UDP",
            {None: "unknown", True: "blocked", False: "works"}[blocked],
            "no STUN server answered; everything goes by a beacon's relay, over TCP" if blocked else "",
        )
    ]
    for name, family in report.families:
        found += _family_findings(name, family)
    return tuple(found)


def _family_findings(name: str, family: FamilyReport) -> list[Finding]:
    if not family.has_address:
        return [Finding(name, "none", "this machine has no such address")]
    if not family.asked:
        return [Finding(name, "not measured", "our beacon tells of no STUN server there")]
    if not family.answered:
        return [Finding(name, "no answer", f"{_count(len(family.asked), 'STUN server')} asked")]
    behavior = family.behavior
    ips = ", ".join(map(str, behavior.external_ips)) or "unknown"
    met = {
        None: "",
        True: "behind a router that translates addresses (NAT)",
        False: "this machine's own, not translated",
    }[behavior.translated]
    found = [Finding(name, ips, met)]
    if family.own_addresses:
        told = ", ".join(map(str, family.own_addresses[: limits.STUN_ADDRESSES]))
        found.append(Finding(f"{name} tunnels", told, "where the tunnels' own port is seen"))
    found += [
        Finding(f"{name} mapping", behavior.mapping.value, _MAPPING[behavior.mapping]),
        Finding(f"{name} filtering", behavior.filtering.value, _FILTERING[behavior.filtering]),
    ]
    if behavior.translated:
        found.append(_ports(name, behavior))
    if behavior.hairpin is not None:
        meaning = "machines here reach each other at the outside address" if behavior.hairpin else ""
        found.append(Finding(f"{name} hairpin", "yes" if behavior.hairpin else "no", meaning))
    if behavior.inbound_first_poisons:
        meaning = "a peer that sends before us moves our port: it must wait"
        found.append(Finding(f"{name} order", "ours first", meaning))
    return found


def _ports(name: str, behavior: Behavior) -> Finding:
    allocation = behavior.allocation
    value = allocation.kind.value
    if allocation.delta is not None:
        value += f" {allocation.delta:+d}"
        if behavior.noise is not None:
            value += f", {behavior.noise:.0f}/s taken by others"
    if allocation.span is not None:
        value += f" {allocation.span[0]}-{allocation.span[1]}"
    if allocation.keeps_parity and allocation.kind in (AllocationKind.BLOCK, AllocationKind.RANDOM):
        value += ", even or odd as the socket's"
    return Finding(f"{name} ports", value, _ALLOCATION[allocation.kind])


def remedies(report: NetworkReport, port: int) -> tuple[str, ...]:
    """What a person could do, in a line each; nothing where direct paths are as easy as they get.

    `port` is that of the tunnels' socket.
    """
    if report.udp_blocked is None:
        return ("no STUN server was asked; a beacon with [stun] enabled tells gateways of one",)
    if report.udp_blocked:
        remedy = f"let UDP out of this network, from port {port} to any, in the router or firewall; "
        return (f"{remedy}until then everything goes by a beacon's relay",)
    ipv4, told = report.ipv4, []
    behavior = ipv4.behavior
    is_forwarded = behavior.filtering is Filtering.ENDPOINT_INDEPENDENT
    if behavior.translated and not is_forwarded and behavior.mapping.varies:
        told.append(
            f"direct paths are hard here: forward UDP {port} in the router to this machine, "
            f'and set addresses = ["{behavior.external_ips[0]}:{port}"] in [tunnels] of gateway.toml'
        )
        if report.ipv6.is_blocked is not False:
            told.append("or ask for IPv6 where this network is made: nothing is translated there")
    if behavior.translated is False and behavior.filtering not in (
        Filtering.ENDPOINT_INDEPENDENT,
        Filtering.UNKNOWN,
    ):
        told.append(
            f"this machine has a public address: let UDP {port} in, in its firewall, and anybody can dial it"
        )
    if report.ipv6.is_blocked and report.ipv6.has_address:
        told.append("IPv6 is set up here, but no STUN server answered over it; see whether it works at all")
    if ipv4.answered and not ipv4.shows_filtering:
        told.append("filtering can be told with a beacon whose STUN server has two addresses ([stun] bind)")
    return tuple(told)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
