"""The networks of this machine that others may be found on, as values."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class LanLink:
    """One interface to a local network."""

    name: str
    index: int
    """The system's number of the interface."""
    ipv4: tuple[tuple[IPv4Address, IPv4Network], ...] = ()
    """Our addresses there, with the network that each lies in."""
    ipv6: tuple[tuple[IPv6Address, IPv6Network], ...] = ()
    """The same, with link-local addresses."""

    @property
    def ips(self) -> tuple[IPv4Address | IPv6Address, ...]:
        """All our addresses there."""
        return (*(ip for ip, _ in self.ipv4), *(ip for ip, _ in self.ipv6))


def is_on(links: Iterable[LanLink], ip: IPv4Address | IPv6Address) -> bool:
    """Whether who sends from there is on one of these networks, and reached without a router."""
    if isinstance(ip, IPv6Address):
        plain = IPv6Address(int(ip))  # without the zone
        return any(
            plain.is_link_local or any(plain in network for _, network in link.ipv6)
            for link in links
            if link.ipv6
        )
    return any(ip in network for link in links for _, network in link.ipv4)
