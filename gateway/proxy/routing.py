"""Where a request goes: into the overlay, straight out, or nowhere. Pure functions of host and configuration."""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

_OVERLAY: Final = "overlay"


class OtherHosts(Enum):
    """What the proxy does with hosts that are not under .overlay."""

    DIRECT = "direct"
    REFUSE = "refuse"


class Route(Enum):
    """The proxy's decision for one request."""

    OVERLAY = "overlay"
    DIRECT = "direct"
    REFUSE = "refuse"


def route(host: str, other_hosts: OtherHosts) -> Route:
    """Names under .overlay go there, everything else as configured."""
    name = host.lower().rstrip(".")
    if name == _OVERLAY or name.endswith("." + _OVERLAY):
        return Route.OVERLAY
    return Route.DIRECT if other_hosts is OtherHosts.DIRECT else Route.REFUSE


def leads_back(peer: tuple[str, int], local: tuple[str, int], own: tuple[str, int]) -> bool:
    """Whether a connection from `local` to `peer` has reached the proxy itself, which listens on `own`.

    Asked of a connection that is open, not of the name that was asked for: however a name came to mean this
    machine (localhost, 0.0.0.0, a rebinding DNS answer, the machine's address on the LAN), it is told here.
    """
    if peer[1] != own[1]:
        return False
    peer_ip, local_ip, own_ip = _plain(peer[0]), _plain(local[0]), _plain(own[0])
    return peer_ip == own_ip or (own_ip.is_unspecified and (peer_ip == local_ip or peer_ip.is_loopback))


def _plain(host: str) -> IPv4Address | IPv6Address:
    ip = ip_address(host)
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip
