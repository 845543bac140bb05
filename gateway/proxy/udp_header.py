"""The header before each datagram of a SOCKS5 UDP association (RFC 1928 §7).

::

    +-----+------+------+----------+----------+----------+
    | RSV | FRAG | ATYP | DST.ADDR | DST.PORT |   DATA   |      RSV: two zero bytes
    +-----+------+------+----------+----------+----------+
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.proxy import socks_address


@dataclass(frozen=True, slots=True)
class UdpRequest:
    """One datagram from the client and where it goes."""

    host: str
    port: int
    data: bytes


def decode(datagram: bytes) -> UdpRequest | None:
    """Read a datagram of the client; None when it is to be dropped: malformed, to port 0, or a fragment.

    Reassembling fragments is optional, and an implementation that does not do it must drop them (RFC 1928 §7).
    """
    if datagram[:3] != b"\0\0\0":
        return None
    try:
        address = socks_address.decode(datagram, 3)
    except socks_address.BadAddress:
        return None
    if address is None or not address.port:
        return None
    return UdpRequest(address.host, address.port, datagram[3 + address.size :])


def header(host: str, port: int) -> bytes:
    """The header of datagrams that come from `host:port`, written as the client wrote it, so that it can tell."""
    return b"\0\0\0" + socks_address.encode(host, port)
