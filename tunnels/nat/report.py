"""What a measurement of the network said, as one value, and in words for people with what would help. Sans-IO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunnels.nat import limits
from tunnels.nat.behavior import UNKNOWN, AllocationKind, Behavior, Filtering, Mapping
from tunnels.nat.dialback import Verdict
from tunnels.nat.mapping_messages import Protocol
from tunnels.nat.portmap import Support

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Network

    from tunnels.addresses import Address
    from tunnels.nat.levels import Levels
    from tunnels.nat.lifetime import Lifetime
    from tunnels.nat.portmap import Spoken


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
    nat64: IPv6Network | None = None
    """The prefix of the NAT64 by which IPv4 is reached without an address of it."""

    @property
    def is_blocked(self) -> bool | None:
        """Whether no datagram comes back; None where nobody was asked."""
        return not self.answered if self.asked else None


@dataclass(frozen=True, slots=True)
class RouterReport:
    """What the router before this machine does when it is asked for a port."""

    address: str
    """Where it is asked."""
    spoken: tuple[Spoken, ...]
    """What it does with each protocol."""
    outside: IPv4Address | None = None
    """What it says that its own address outside is."""
    external: Address | None = None
    """The port that it gave us."""
    verdict: Verdict = Verdict.UNKNOWN
    """Whether that lets anybody in."""

    @property
    def works(self) -> bool:
        """Whether strangers get in by it, as far as anybody could try."""
        return self.external is not None and self.verdict is not Verdict.DEAD


@dataclass(frozen=True, slots=True)
class NetworkReport:
    """How the network lets this machine be reached, as it was when it was measured."""

    ipv4: FamilyReport
    ipv6: FamilyReport
    measured_at: float
    """By the loop's clock."""
    seconds: float
    """How long it took."""
    router: RouterReport | None = None
    """As it is now; None if there is none that maps ports, or it is not to be asked."""
    firewall: RouterReport | None = None
    """The same for IPv6, where a pinhole is what it gives."""

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
    AllocationKind.RANDOM: "random ones: a peer finds one only by trying many",
    AllocationKind.UNKNOWN: "too few were seen to tell",
}


def findings(report: NetworkReport) -> tuple[Finding, ...]:
    """What was found, for people."""
    blocked = report.udp_blocked
    found = [
        Finding(
            "UDP",
            {None: "unknown", True: "blocked", False: "works"}[blocked],
            "no STUN server answered; peers are reached by TCP only, most of them by a beacon's relay"
            if blocked
            else "",
        )
    ]
    for name, family in report.families:
        found += _family_findings(name, family)
    if report.router is not None:
        found += _router_findings(report.router, report.ipv4.behavior)
    if report.firewall is not None:
        found += _pinhole_findings(report.firewall)
    return tuple(found)


_LETS_IN = {
    Verdict.VERIFIED: "anybody who knows it gets in, whatever stands before us",
    Verdict.UNKNOWN: "nobody could try whether it lets anybody in",
    Verdict.TRYING: "our beacon tries whether it lets anybody in",
    Verdict.DEAD: "it lets nothing in",
}


def _pinhole_findings(firewall: RouterReport) -> list[Finding]:
    """Nothing where the router does not know of pinholes, as it need not: nothing is translated there."""
    if firewall.external is not None:
        return [Finding("IPv6 pinhole", str(firewall.external), _LETS_IN[firewall.verdict])]
    refused = [one.words for one in firewall.spoken if one.support is Support.REFUSES]
    return [Finding("IPv6 pinhole", "refused", words) for words in refused]


def _router_findings(router: RouterReport, behavior: Behavior) -> list[Finding]:
    if router.external is not None:
        found = [Finding("mapped port", str(router.external), _LETS_IN[router.verdict])]
    else:
        is_asked = any(one.support is Support.ASKED for one in router.spoken)
        gives = f"the router at {router.address} {'is being asked' if is_asked else 'gives none'}"
        found = [Finding("mapped port", "none yet" if is_asked else "none", gives)]
    found += [Finding(one.protocol.value, one.support.value, one.words) for one in router.spoken]
    if router.outside is not None and behavior.external_ips and router.outside not in behavior.external_ips:
        meaning = f"yet servers see us at {behavior.external_ips[0]}: another NAT stands before it"
        found.append(Finding("router outside", str(router.outside), meaning))
    return found


def _family_findings(name: str, family: FamilyReport) -> list[Finding]:
    if not family.has_address and family.nat64 is None:
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
    if family.nat64 is not None:
        met = f"through the NAT64 of this network, {family.nat64}"
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
        found += _levels(name, behavior.levels)
    found += _lifetime(name, behavior.lifetime)
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


def _lifetime(name: str, lifetime: Lifetime) -> list[Finding]:
    """A mapping's, if it was measured."""
    least, most = lifetime.least, lifetime.most
    if least is None and most is None:
        return []
    value = f"more than {least} s" if most is None else f"{least or 0} to {most} s"
    return [Finding(f"{name} lifetime", value, "how long a silent path is let in; keepalives come sooner")]


def _levels(name: str, levels: Levels) -> list[Finding]:
    if levels.least is None or (levels.least == 1 and levels.most is None):
        return []  # that there is one is known anyway
    value = f"at least {levels.least}" if levels.most is None else f"{levels.least} to {levels.most}"
    if levels.exactly is not None:
        value = str(levels.exactly)
    meaning = f"the outermost one is {_count(levels.outermost, 'router')} away" if levels.outermost else ""
    if levels.least > 1:
        meaning = "a port that our own router maps to us is not reached from the internet"
    return [Finding(f"{name} NATs", value, meaning)]


def remedies(report: NetworkReport, port: int) -> tuple[str, ...]:
    """What a person could do, in a line each; nothing where direct paths are as easy as they get.

    `port` is that of the tunnels' socket.
    """
    if report.udp_blocked is None:
        return ("no STUN server was asked; a beacon with [stun] enabled tells gateways of one",)
    if report.udp_blocked:
        remedy = f"let UDP out of this network, from port {port} to any, in the router or firewall; "
        return (f"{remedy}until then only TCP is left, which mostly means a beacon's relay",)
    ipv4, told = report.ipv4, []
    behavior = ipv4.behavior
    is_forwarded = behavior.filtering is Filtering.ENDPOINT_INDEPENDENT
    router = report.router
    is_reached = is_forwarded or (router is not None and router.works)
    if behavior.translated and not is_reached and behavior.mapping.varies:
        told.append(f"direct paths are hard here: {_for_a_port(behavior, router, port)}")
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


def _for_a_port(behavior: Behavior, router: RouterReport | None, port: int) -> str:
    """How this machine gets a port that everybody reaches."""
    if (behavior.levels.least or 0) > 1:
        return (
            "another NAT stands before our router, the provider's or a second router of ours: "
            "ask the provider for a public address, or let the second router pass everything on to the first (bridge mode)"
        )
    forward = (
        f"forward UDP {port} in the router to this machine, "
        f'and set addresses = ["{behavior.external_ips[0]}:{port}"] in [tunnels] of gateway.toml'
    )
    if router is None or router.external is not None:
        return forward
    by_upnp = next((one for one in router.spoken if one.protocol is Protocol.UPNP), None)
    others = [one for one in router.spoken if one.protocol is not Protocol.UPNP]
    if by_upnp is not None and by_upnp.support is Support.NOT_ASKED and by_upnp.words:
        return f"the router may give a port by UPnP, {by_upnp.words}; or {forward}"
    refusing = [one for one in (*others, by_upnp) if one is not None and one.support is Support.REFUSES]
    if refusing:
        names = " and ".join(one.protocol.value for one in refusing)
        return f"allow port mappings by {names} in the router, which refuses them now; or {forward}"
    return f"turn on UPnP, NAT-PMP or PCP in the router; or {forward}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
