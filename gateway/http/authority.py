"""The places that requests name: `host:port`, and absolute-form targets (RFC 9112 §3.2.2, RFC 3986 §3.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

_AUTHORITY: Final = re.compile(
    rb"(?:\[([0-9A-Fa-f:.]+(?:%[0-9A-Za-z._~-]+)?)\]|([^\x00-\x20\x7f:/?#\[\]@\\\"<>^`{|}]{1,255}))(?::([0-9]{0,5}))?"
)
_ABSOLUTE: Final = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)")


@dataclass(frozen=True, slots=True)
class Authority:
    """A host, as text, and a port."""

    host: str
    port: int
    text: bytes
    """As it stood in the request, for the Host field."""


def parse_authority(raw: bytes, default_port: int | None) -> Authority:
    """Read `host`, `host:port` or `[v6]:port`; ValueError says what is wrong. None makes the port required."""
    match = _AUTHORITY.fullmatch(raw)
    if match is None:
        raise ValueError("it is not of the form host:port")
    literal, name, digits = match.groups()
    port = int(digits) if digits else default_port
    if port is None or not 0 < port < 65536:
        raise ValueError("the port is missing" if port is None else "a port is a number from 1 to 65535")
    if literal is not None:
        return Authority(str(IPv6Address(literal.decode("ascii"))), port, raw)
    return Authority(name.decode("utf-8"), port, raw)  # UnicodeDecodeError is a ValueError


def split_absolute(target: bytes) -> tuple[bytes, bytes, bytes] | None:
    """(scheme, authority, origin-form target) of an absolute-form request target; None for any other form."""
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        return None
    scheme, authority, path = match.groups()
    return scheme.lower(), authority, path if path.startswith(b"/") else b"/" + path
