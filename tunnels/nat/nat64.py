"""IPv4 addresses as a machine without IPv4 reaches them: under the prefix of its network's NAT64 (RFC 6052). Sans-IO.

The prefix is found by the name ipv4only.arpa, which has IPv4 addresses only (RFC 7050): whoever answers with IPv6 addresses
made them up for a NAT64, and they show how. An address that is made here is used for sending, and never told to anybody:
that one is believed only of ourselves keeps `tunnels.paths.candidates.is_sane` strict.

The IPv4 address stands at one of these places (RFC 6052 §2.2); the bits 64 to 71 are zero and none of its own::

    prefix of    32        40        48        56        64        96
    IPv4 at    32-63  40-63,72-79  48-63,72-87  56-63,72-95  72-103  96-127
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Final

from tunnels.addresses import Address
from tunnels.nat import limits

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME: Final = "ipv4only.arpa"
"""Asked for its IPv6 addresses (RFC 7050 §3)."""

_ITS_ADDRESSES: Final = frozenset(map(IPv4Address, ("192.0.0.170", "192.0.0.171")))
_LENGTHS: Final = (96, 64, 56, 48, 40, 32)
_SEPARATOR: Final = 8
"""The byte that is zero."""

_ALLOWED: Final = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2000::/3", "fc00::/7")))
"""Prefixes for everybody and for one's own network (RFC 6052 §2.1, RFC 8215), and parts of what networks have."""

_NOT_BEYOND: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
            "192.168.0.0/16", "224.0.0.0/3",
        ),
    )
)  # fmt: skip
"""IPv4 addresses that mean nothing beyond a NAT64 (RFC 6052 §3.1)."""


@dataclass(frozen=True, slots=True)
class Nat64:
    """How one NAT64 is reached."""

    prefix: IPv6Network

    def __post_init__(self) -> None:
        if self.prefix.prefixlen not in _LENGTHS:
            raise ValueError(f"a NAT64's prefix has one of {_LENGTHS} bits, not {self.prefix.prefixlen}")

    def outward(self, address: Address) -> Address | None:
        """Where to send what is for an IPv4 address; None for one that is nobody's beyond the NAT64. IPv6 stays as it is."""
        if not isinstance(address.ip, IPv4Address):
            return address
        if any(address.ip in network for network in _NOT_BEYOND):
            return None
        return Address(self.embed(address.ip), address.port)

    def inward(self, address: Address) -> Address:
        """From where something came, in IPv4 if it came through the NAT64."""
        if isinstance(address.ip, IPv4Address):
            return address
        ip = self.extract(address.ip)
        return Address(ip, address.port) if ip is not None else address

    def embed(self, ip: IPv4Address) -> IPv6Address:
        """RFC 6052 §2.3."""
        kept = self.prefix.prefixlen // 8
        packed = bytearray(self.prefix.network_address.packed)
        for at, byte in zip(_places(kept), ip.packed, strict=True):
            packed[at] = byte
        return IPv6Address(bytes(packed))

    def extract(self, ip: IPv6Address) -> IPv4Address | None:
        """The IPv4 address in one that `embed` may have made; None if it did not."""
        packed = ip.packed
        found = IPv4Address(bytes(packed[at] for at in _places(self.prefix.prefixlen // 8)))
        return found if self.embed(found).packed == packed else None


def _places(kept: int) -> list[int]:
    """Which bytes hold the IPv4 address behind so many bytes of prefix."""
    return [at for at in range(kept, 16) if at != _SEPARATOR or kept == 12][:4]


def found_in(answers: Iterable[IPv6Address]) -> Nat64 | None:
    """The NAT64 that made these addresses for `NAME`; None if none did (RFC 7050 §3).

    One that fits several prefixes, as it may, counts for none of them unless another answer says which.
    """
    fitting: dict[Nat64, set[IPv4Address]] = {}
    for answer in list(answers)[: limits.NAT64_ANSWERS]:
        for length in _LENGTHS:
            nat64 = Nat64(IPv6Network((answer, length), strict=False))
            ip = nat64.extract(answer)
            if ip in _ITS_ADDRESSES and any(nat64.prefix.subnet_of(network) for network in _ALLOWED):
                fitting.setdefault(nat64, set()).add(ip)
    if not fitting:
        return None
    most = max(map(len, fitting.values()))
    best = [nat64 for nat64, ips in fitting.items() if len(ips) == most]
    return best[0] if len(best) == 1 else None
