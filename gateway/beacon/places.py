"""Where a connection comes from: as text for its owner, and as what limits count as one. No IO."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, Final

from tunnels.addresses import Address

_PREFIX_V6: Final = 56
"""What one household or office gets of IPv6 at least (RFC 6177): its addresses are one."""


def client_of(peer: tuple[Any, ...] | None) -> str | None:
    """The IPv4 address or the IPv6 /56 of a socket's peer; None for this machine, whose programs are not counted as one."""
    if not peer:
        return None
    ip = ip_address(str(peer[0]).partition("%")[0])
    if isinstance(ip, IPv6Address):
        ip = ip.ipv4_mapped or ip
    if ip.is_loopback:
        return None
    if isinstance(ip, IPv6Address):
        return str(ip_network((ip, _PREFIX_V6), strict=False))
    return str(ip)


def observed(peer: tuple[Any, ...] | None) -> str:
    """`ip:port` of a socket's peer; empty where there is none."""
    return str(Address.of(str(peer[0]).partition("%")[0], int(peer[1]))) if peer else ""
