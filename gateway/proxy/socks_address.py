"""The address form that SOCKS5 requests, replies and UDP headers share (RFC 1928 §5).

::

    +------+----------+----------+
    | ATYP | DST.ADDR | DST.PORT |     ATYP 1: 4 bytes of IPv4; 3: a length byte and a name; 4: 16 bytes of IPv6
    +------+----------+----------+
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from gateway.proxy.requests import host_text

IPV4: Final = 1
DOMAIN: Final = 3
IPV6: Final = 4


class BadAddress(ValueError):
    """The address type is unknown or the name unusable."""


@dataclass(frozen=True, slots=True)
class SocksAddress:
    """A host and a port, and how many bytes they took."""

    host: str
    port: int
    size: int


def decode(data: bytes, start: int = 0) -> SocksAddress | None:
    """Read the address at `start`; None when bytes are missing, BadAddress when it cannot become one."""
    available = len(data) - start
    if available < 1:
        return None
    kind = data[start]
    if kind == IPV4:
        size, begin = 4, start + 1
    elif kind == IPV6:
        size, begin = 16, start + 1
    elif kind == DOMAIN:
        if available < 2:
            return None
        size, begin = data[start + 1], start + 2
    else:
        raise BadAddress(f"{kind} is no address type of SOCKS5")
    end = begin + size
    if len(data) < end + 2:
        return None
    raw = data[begin:end]
    try:
        host = (
            host_text(raw) if kind == DOMAIN else str(IPv4Address(raw) if kind == IPV4 else IPv6Address(raw))
        )
    except ValueError as error:
        raise BadAddress(str(error)) from None
    return SocksAddress(host, int.from_bytes(data[end : end + 2]), end + 2 - start)


def encode(host: str, port: int) -> bytes:
    """Write an address; a host that is no IP literal is written as a name, cut never: ValueError beyond 255 bytes."""
    try:
        ip = ip_address(host.partition("%")[0])
    except ValueError:
        raw = host.encode()
        if len(raw) > 255:
            raise ValueError("a host name has at most 255 bytes") from None
        return bytes((DOMAIN, len(raw))) + raw + port.to_bytes(2)
    return bytes((IPV4 if ip.version == 4 else IPV6,)) + ip.packed + port.to_bytes(2)
