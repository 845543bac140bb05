"""Where an endpoint might be reached: an ip and a port, as values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address

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
    def sockaddr(self) -> tuple[str, int]:
        """The pair the socket module takes."""
        return (str(self.ip), self.port)

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if self.ip.version == 6 else f"{self.ip}:{self.port}"
