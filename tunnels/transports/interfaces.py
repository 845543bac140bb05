"""The addresses of this machine, the ones others are likely to reach first."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TYPE_CHECKING, Any, Final

import netifaces

from tunnels.addresses import Address

if TYPE_CHECKING:
    from collections.abc import Iterable

_CONTAINERS: Final = (
    "docker", "br-", "virbr", "vboxnet", "vmnet", "vnet", "veth", "cni", "cali", "cilium", "flannel", "kube", "lxc", "lxd",
    "incus", "podman", "nerdctl", "weave", "crc", "ifb", "dummy", "macvtap",
)  # fmt: skip
"""Interfaces of containers and virtual machines: never a way in for other machines."""

_OVERLAYS: Final = (
    "tailscale", "wg", "wt", "tun", "tap", "zt", "utun", "ham", "nebula", "ygg", "nordlynx", "proton", "mullvad", "ipsec",
    "vti", "gre", "sit", "ip6tnl",
)  # fmt: skip
"""Interfaces of other overlays and of VPNs: a way in for those who share them, and a slow one."""


class _Rank(IntEnum):
    """The order in which addresses are told."""

    DEFAULT_INTERFACE = 0
    OTHER = 1
    OVERLAY = 2
    CONTAINER = 3


_MOST: Final = {
    _Rank.DEFAULT_INTERFACE: 4,
    _Rank.OTHER: 3,
    _Rank.OVERLAY: 2,
    _Rank.CONTAINER: 1,
}
"""Addresses told of each rank and family. A machine with thirty bridges has one of them told, behind everything else;
a peer takes `limits.MAX_CANDIDATES` of a family, and STUN, TURN and the configuration add their own."""


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """One address of one interface."""

    interface: str
    ip: IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class InterfaceNetwork:
    """One address of one interface, and what it reaches without a router."""

    interface: str
    ip: IPv4Address | IPv6Address
    network: IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class DefaultRoute:
    """Where packets for the rest of the world go."""

    gateway: str
    interface: str


def interface_addresses() -> tuple[list[InterfaceAddress], frozenset[str]]:
    """Every address of this machine, and the names of the interfaces that have a default route."""
    found = []
    for interface in netifaces.interfaces():
        try:
            by_family = netifaces.ifaddresses(interface)
        except ValueError:  # it went away since its name was read
            continue
        for family in (netifaces.AF_INET, netifaces.AF_INET6):
            found += [
                InterfaceAddress(interface, ip_address(entry["addr"].partition("%")[0]))
                for entry in by_family.get(family, ())
            ]
    return found, frozenset(route.interface for route in default_routes())


def local_networks() -> list[InterfaceNetwork]:
    """What this machine shares with other machines: not loopback, not those of containers and of other overlays."""
    defaults = frozenset(route.interface for route in default_routes())
    found = []
    for interface in netifaces.interfaces():
        if rank_of(interface, defaults) not in (_Rank.DEFAULT_INTERFACE, _Rank.OTHER):
            continue
        try:
            by_family = netifaces.ifaddresses(interface)
        except ValueError:  # it went away since its name was read
            continue
        entries = [
            (ip_address(entry["addr"].partition("%")[0]), str(entry.get("netmask", "")))
            for family in (netifaces.AF_INET, netifaces.AF_INET6)
            for entry in by_family.get(family, ())
        ]
        if any(ip.is_loopback for ip, _ in entries):
            continue  # whatever else it has is this machine's alone
        for ip, mask in entries:
            length = mask.rpartition("/")[2] or ip.max_prefixlen  # of IPv6 it is ffff:ffff::/32
            found.append(InterfaceNetwork(interface, ip, ip_network(f"{ip}/{length}", strict=False)))
    return found


def default_routes() -> frozenset[DefaultRoute]:
    """The default route of each family."""
    gateways: Any = netifaces.gateways()  # a dict of two shapes, which its types do not tell apart
    return frozenset(DefaultRoute(*route[:2]) for route in gateways.get("default", {}).values())


def rank_of(interface: str, default_interfaces: frozenset[str]) -> int:
    """Where an interface's addresses come among others: 0 is best.

    Containers' and overlays' come last even with the default route: a VPN's address is nobody's way in but by the VPN.
    """
    if interface.startswith(_CONTAINERS):
        # A container's own end of its pair may have such a name too, and the default route by it.
        return _Rank.OVERLAY if interface in default_interfaces else _Rank.CONTAINER
    if interface.startswith(_OVERLAYS):
        return _Rank.OVERLAY
    return _Rank.DEFAULT_INTERFACE if interface in default_interfaces else _Rank.OTHER


def usable(found: Iterable[InterfaceAddress]) -> list[InterfaceAddress]:
    """Those that mean something to other machines, or to this one.

    Link-local addresses need a zone that means nothing elsewhere, so they are left out.
    """
    return [
        entry
        for entry in found
        if not (entry.ip.is_link_local or entry.ip.is_multicast or entry.ip.is_unspecified)
    ]


def matters(entry: InterfaceAddress, default_interfaces: frozenset[str]) -> bool:
    """Whether the coming or going of the address may change how this machine is reached: not a container's."""
    return not entry.ip.is_loopback and rank_of(entry.interface, default_interfaces) != _Rank.CONTAINER


def reachable_ips(
    found: Iterable[InterfaceAddress], default_interfaces: frozenset[str]
) -> list[IPv4Address | IPv6Address]:
    """The addresses worth telling others, best first; loopback only when there is nothing else.

    Interfaces of containers and of other overlays come last, and no kind of interface crowds out another.
    """
    entries = usable(found)
    ranked = sorted(
        ((rank_of(entry.interface, default_interfaces), entry.ip.version, entry.ip) for entry in entries
         if not entry.ip.is_loopback),
        key=lambda place: place[:2],
    )  # fmt: skip
    told: dict[IPv4Address | IPv6Address, None] = {}
    counts: Counter[tuple[int, int]] = Counter()
    for rank, version, ip in ranked:
        if ip not in told and counts[rank, version] < _MOST[_Rank(rank)]:
            counts[rank, version] += 1
            told[ip] = None
    return list(told or dict.fromkeys(entry.ip for entry in entries))


def advertised(
    bound: Iterable[Address], ips: Iterable[IPv4Address | IPv6Address], configured: Iterable[Address]
) -> tuple[Address, ...]:
    """What a ticket says of where we are: configured public addresses first, then our sockets' own.

    A socket bound to one address is reached there; one bound to all is reached at each ip of its family.
    """
    told = list(configured)
    ips = list(ips)
    for socket in bound:
        if socket.ip.is_unspecified:
            told += [Address(ip, socket.port) for ip in ips if ip.version == socket.ip.version]
        else:
            told.append(socket)
    return tuple(dict.fromkeys(told))
