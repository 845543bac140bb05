"""Where an endpoint might be reached: an ip and a port, as values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address

_EXPECTED = "an address is written 192.0.2.1:7777 or [2001:db8::1]:7777"


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
        host, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit() or (":" in host) != host.startswith("["):
            raise ValueError(f"{text!r} is not an address: {_EXPECTED}")
        try:
            return cls.of(host.strip("[]"), int(port))
        except ValueError as error:
            raise ValueError(f"{text!r} is not an address: {error}") from None

    @classmethod
    def of(cls, host: str, port: int) -> Address:
        """From a numeric host, with any IPv6 zone kept, and a port; ValueError otherwise."""
        ip = ip_address(host)
        mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
        return cls(mapped or ip, port)

    @cached_property
    def sockaddr(self) -> tuple[str, int]:
        """The pair the socket module takes."""
        return (str(self.ip), self.port)

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if self.ip.version == 6 else f"{self.ip}:{self.port}"
