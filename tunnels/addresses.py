"""Where an endpoint might be reached, as values: an ip and a port, or by way of a relay."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

from tunnels.identity import EndpointId

_EXPECTED = "an address is written 192.0.2.1:7777 or [2001:db8::1]:7777"

_TEXT = re.compile(r"(?:\[(?P<v6>[^\[\]]*:[^\[\]]*)\]|(?P<v4>[^\[\]:]*)):(?P<port>[0-9]{1,5})")

# The name or number of a network interface; anything else would let a record write what it likes into our logs.
_ZONE = re.compile(r"[A-Za-z0-9_.-]{1,15}")


@dataclass(frozen=True)
class Address:
    """An ip and a UDP port; IPv4-mapped IPv6 is stored as IPv4, so that equal places are equal values."""

    ip: IPv4Address | IPv6Address
    port: int

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise ValueError(f"{self.port} is not a port (1-65535)")

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `192.0.2.1:7777` or `[2001:db8::1]:7777`; ValueError says what is expected."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is not an address: {_EXPECTED}")
        try:
            return cls.of(found["v6"] or found["v4"], int(found["port"]))
        except ValueError as error:
            raise ValueError(f"{text!r} is not an address: {error}") from None

    @classmethod
    def of(cls, host: str, port: int) -> Address:
        """From a numeric host, with any IPv6 zone kept, and a port; ValueError otherwise."""
        ip = ip_address(host)
        if isinstance(ip, IPv6Address):
            if ip.scope_id is not None and not _ZONE.fullmatch(ip.scope_id):
                raise ValueError(f"{ip.scope_id!r} is not the name of a network interface")
            ip = ip.ipv4_mapped or ip
        return cls(ip, port)

    @cached_property
    def _hash(self) -> int:
        return hash((self.ip, self.port))

    def __hash__(self) -> int:
        """Kept: that of an ip is slow, and tables of addresses are asked for each datagram."""
        return self._hash

    @cached_property
    def sockaddr(self) -> tuple[str, int]:
        """The pair the socket module takes."""
        return (str(self.ip), self.port)

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if self.ip.version == 6 else f"{self.ip}:{self.port}"


_BEACON_EXPECTED: Final = "a beacon is written https://HOST[:PORT] or https://HOST[:PORT]#ID"
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]")


@dataclass(frozen=True, slots=True)
class BeaconUrl:
    """A beacon: `https://host:port`, with `#id` when its key is known beforehand and no certificate authority is asked."""

    scheme: str
    host: str
    """A name or an ip, in lower case; IPv6 in brackets."""
    port: int
    beacon_id: EndpointId | None = None

    @classmethod
    def parse(cls, text: str) -> BeaconUrl:
        """Read `https://host[:port][#id]`, or `http://` for a beacon of one's own; ValueError says what is expected."""
        try:
            parts = urlsplit(text)
            port = parts.port
            beacon_id = EndpointId.parse(parts.fragment) if parts.fragment else None
        except ValueError as error:
            raise ValueError(f"{text!r} is no beacon: {error}; {_BEACON_EXPECTED}") from None
        host = parts.netloc.rpartition("@")[2].removesuffix(f":{port}").lower()
        if (
            parts.scheme not in ("https", "http")
            or parts.path not in ("", "/")
            or parts.query
            or "@" in parts.netloc
            or not _HOST.fullmatch(host)
        ):
            raise ValueError(f"{text!r} is no beacon: {_BEACON_EXPECTED}")
        return cls(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), beacon_id)

    @property
    def authority(self) -> str:
        """`host`, or `host:port` where the port is not the scheme's own: what stands in a Host header."""
        default = 443 if self.scheme == "https" else 80
        return self.host if self.port == default else f"{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether it names the machine it is read on, or no machine at all: nothing that others should send us to."""
        try:
            ip = ip_address(self.host.strip("[]"))
        except ValueError:
            last = self.host.rpartition(".")[2]
            odd_ip = last.isdigit() or last.startswith(
                "0x"
            )  # the system reads 127.1 and 0x7f.1 as loopback addresses
            return odd_ip or last == "localhost"
        ip = getattr(ip, "ipv4_mapped", None) or ip
        return ip.is_loopback or ip.is_unspecified or ip.is_link_local or ip.is_multicast

    @property
    def origin(self) -> str:
        """The URL without the id."""
        return f"{self.scheme}://{self.authority}"

    def __str__(self) -> str:
        return self.origin if self.beacon_id is None else f"{self.origin}#{self.beacon_id}"


@dataclass(frozen=True, slots=True)
class RelayAddress:
    """An endpoint by way of a beacon's relay."""

    beacon: BeaconUrl
    endpoint_id: EndpointId

    def __str__(self) -> str:
        return f"relay {self.beacon.authority}"


@dataclass(frozen=True, slots=True)
class TurnAddress:
    """A peer's address as our own TURN allocation on `server` reaches it (RFC 8656)."""

    server: Address
    peer: Address

    def __str__(self) -> str:
        return f"{self.peer} by TURN at {self.server}"


@dataclass(frozen=True, slots=True)
class SocketAddress:
    """A peer's address as one of our sockets reaches it that is not the tunnels' own: its NAT lets in that one only."""

    socket: int
    """The number of the socket; each is given once."""
    peer: Address

    def __str__(self) -> str:
        return str(self.peer)


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A peer at the other end of a TCP connection that carries datagrams; good while that is there."""

    peer: Address
    """Where its NAT shows it."""

    def __str__(self) -> str:
        return f"{self.peer} by TCP"


PathAddress = Address | RelayAddress | TurnAddress | SocketAddress | TcpAddress
"""The far end of a path."""


def is_connected(address: PathAddress) -> bool:
    """Whether a path there is a TCP connection all the way or in parts: it carries packets whole, and its transport knows its end."""
    return isinstance(address, RelayAddress | TcpAddress)
