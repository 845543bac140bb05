"""The PROXY protocol v2 header, which tells a target who really calls (haproxy.org, proxy-protocol.txt §2.2).

::

    0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a    signature
    21                                     version 2, command PROXY
    11 | 00                                TCP over IPv4 | unspecified
    length (2)                             of all that follows
    source ip, destination ip (4 + 4), source port, destination port (2 + 2)      only with TCP over IPv4
    e0, length (2), endpoint id            a custom TLV: the caller's id as its 52 characters

The TLV is of type 0xE0 (PP2_TYPE_MIN_CUSTOM): PP2_TYPE_UNIQUE_ID would name a connection, not a caller. HAProxy
reads it as `fc_pp_tlv(0xE0)`, nginx as `$proxy_protocol_tlv_0xe0`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from tunnels.identity import EndpointId

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_VERSION_AND_COMMAND: Final = 0x21
_TCP_OVER_IPV4: Final = 0x11
_UNSPECIFIED: Final = 0x00
_ENDPOINT_ID_TLV: Final = 0xE0

IpPort = tuple["IPv4Address", int]


def proxy_header(
    caller: EndpointId, source: IpPort | None = None, destination: IpPort | None = None
) -> bytes:
    """The header for a connection of `caller`.

    `source` is the loopback address that stands for the caller here and `destination` where it connects to; a
    target then sees a different address per caller. Without both, the addresses are left unspecified and the
    target uses those of the socket.
    """
    text = str(caller).encode()
    tlv = struct.pack("!BH", _ENDPOINT_ID_TLV, len(text)) + text
    if source is None or destination is None:
        family, addresses = _UNSPECIFIED, b""
    else:
        family = _TCP_OVER_IPV4
        addresses = struct.pack("!4s4sHH", source[0].packed, destination[0].packed, source[1], destination[1])
    body = addresses + tlv
    return _SIGNATURE + struct.pack("!BBH", _VERSION_AND_COMMAND, family, len(body)) + body
