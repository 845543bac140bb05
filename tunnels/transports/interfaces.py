"""The addresses of this machine, the ones others are likely to reach first."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, Final

import netifaces

from tunnels.addresses import Address

if TYPE_CHECKING:
    from collections.abc import Iterable

_VIRTUAL_PREFIXES: Final = (
    "docker", "br-", "virbr", "vboxnet", "vmnet", "veth", "cni", "flannel", "kube", "lxc", "lxd",
    "tailscale", "wg", "tun", "tap", "zt", "utun", "ham", "nebula", "ygg", "podman", "ifb", "dummy",
)  # fmt: skip
"""Interfaces of containers, virtual machines and other overlays: seldom a way in for others."""


class _Rank(IntEnum):
    """The order in which addresses are told."""

    DEFAULT_INTERFACE = 0
    OTHER = 1
    VIRTUAL = 2


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """One address of one interface."""

    interface: str
    ip: IPv4Address | IPv6Address


def interface_addresses() -> tuple[list[InterfaceAddress], frozenset[str]]:
    """Every address of this machine, and the names of the interfaces that have a default route."""
    found = []
    for interface in netifaces.interfaces():
        by_family = netifaces.ifaddresses(interface)
        for family in (netifaces.AF_INET, netifaces.AF_INET6):
            found += [
                InterfaceAddress(interface, ip_address(entry["addr"].partition("%")[0]))
                for entry in by_family.get(family, ())
            ]
    gateways: Any = netifaces.gateways()  # a dict of two shapes, which its types do not tell apart
    return found, frozenset(interface for _, interface in gateways.get("default", {}).values())


def reachable_ips(
    found: Iterable[InterfaceAddress], default_interfaces: frozenset[str]
) -> list[IPv4Address | IPv6Address]:
    """The addresses worth telling others, best first; loopback only when there is nothing else.

    Link-local IPv6 needs a zone that means nothing elsewhere, so it is left out. Interfaces of containers and of
    other overlays come last, so that they never crowd out the real ones.
    """
    usable = [
        entry
        for entry in found
        if not (entry.ip.is_link_local or entry.ip.is_multicast or entry.ip.is_unspecified)
    ]

    def rank(entry: InterfaceAddress) -> tuple[_Rank, bool]:
        if entry.interface in default_interfaces:
            place = _Rank.DEFAULT_INTERFACE
        elif entry.interface.startswith(_VIRTUAL_PREFIXES):
            place = _Rank.VIRTUAL
        else:
            place = _Rank.OTHER
        return place, entry.ip.version == 6

    others = sorted((entry for entry in usable if not entry.ip.is_loopback), key=rank)
    return list(dict.fromkeys(entry.ip for entry in others or usable))


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
