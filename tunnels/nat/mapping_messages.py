"""PCP (RFC 6887) and NAT-PMP (RFC 6886): asking a router for a UDP port, and what it answers. Sans-IO.

PCP, a MAP request and its answer; in the answer the client's ip is the time since the router began, and zeros::

    0         1         2         4          8           24         36          37      40         42         44
    +---------+---------+---------+----------+-----------+----------+-----------+-------+----------+----------+---------------+
    | 2       | 1 / 129 | 0, code | lifetime | client ip | nonce 12 | 17 (UDP)  | 0 0 0 | internal | external | external ip 16 |
    +---------+---------+---------+----------+-----------+----------+-----------+-------+----------+----------+---------------+

NAT-PMP, the two requests and the two answers::

    00 00                                                      where are you, to the outside?
    00 80 code(2) time(4) ip(4)
    00 01 00 00 internal(2) external(2) lifetime(4)            map this port
    00 81 code(2) time(4) internal(2) external(2) lifetime(4)

Both speak on port 5351 of the router. A lifetime of 0 gives the port back. Over IPv6, where nothing is translated as a rule,
PCP opens the router's firewall for a port of ours, a pinhole (RFC 6887 §1): ip and port are then the same outside.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tunnels.addresses import Address

ROUTER_PORT: Final = 5351
NONCE_BYTES: Final = 12
_UDP: Final = 17
_ANSWER: Final = 0x80
_MAP: Final = 1
_ADDRESS: Final = 0
_PCP: Final = 2
_NAT_PMP: Final = 0
_UNSUPPORTED_VERSION: Final = 1

_PCP_HEAD: Final = struct.Struct(">BBHI16s")
_PCP_ANSWER: Final = struct.Struct(">BBxBII12x")
_PCP_MAP: Final = struct.Struct(">12sB3xHH16s")
_PCP_BYTES: Final = _PCP_HEAD.size + _PCP_MAP.size
_PCP_MOST: Final = 1100
"""RFC 6887 §7: octets of any message."""
_PMP_MAP: Final = struct.Struct(">BBHHHI")
_PMP_ANSWER: Final = struct.Struct(">BBHI")
_PMP_MAPPED: Final = struct.Struct(">HHI")

PCP_WORDS: Final = {
    1: "it does not speak PCP's version 2",
    2: "it allows no port mappings by PCP; look for that in its settings",
    3: "it could not read our request",
    4: "it knows no such request",
    5: "it does not know an option",
    6: "it could not read an option",
    7: "it has no connection to the internet",
    8: "it has no room for another mapping, or no public address",
    9: "it does not map UDP",
    10: "we have as many mappings as it allows",
    11: "it cannot give the port that was asked for",
    12: "another NAT stands between it and us",
    13: "it refuses so many peers",
}
"""The result codes of RFC 6887 §7.4, for people."""

NAT_PMP_WORDS: Final = {
    1: "it does not speak NAT-PMP",
    2: "it allows no port mappings by NAT-PMP; look for that in its settings",
    3: "it has no public address",
    4: "it has no room for another mapping",
    5: "it knows no such request",
}
"""The result codes of RFC 6886 §3.5, for people."""


class Protocol(Enum):
    """How a router is asked."""

    PCP = "PCP"
    NAT_PMP = "NAT-PMP"
    UPNP = "UPnP"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a router says; what it leaves out is None."""

    refused: str = ""
    """Why it does not, for people; empty if it does."""
    unsupported: bool = False
    """It does not speak this protocol."""
    epoch: int | None = None
    """Seconds since it began to keep its mappings."""
    lifetime: int = 0
    """Seconds for which the mapping, or the refusal, is good."""
    port: int | None = None
    """The one outside."""
    ip: IPv4Address | IPv6Address | None = None
    """Its own address outside, or of a pinhole ours, which it may tell with a refusal as well."""


class Pcp:
    """What is said in PCP of one port."""

    protocol: Final = Protocol.PCP

    def __init__(self, own_ip: IPv4Address | IPv6Address, port: int, nonce: bytes) -> None:
        """`nonce`: `NONCE_BYTES` of chance, by which the router knows later that the mapping is ours."""
        self._own_ip, self._port, self._nonce = own_ip, port, nonce

    def requests(self, lifetime: int, wanted: int, last: Address | None) -> tuple[bytes, ...]:
        """Map the port for so many seconds, if possible to the port `wanted` outside, or as `last` time."""
        ip = _mapped((last.ip if last is not None else type(self._own_ip)(0)).packed)
        port = last.port if last is not None else wanted
        head = _PCP_HEAD.pack(_PCP, _MAP, 0, lifetime, _mapped(self._own_ip.packed))
        return (head + _PCP_MAP.pack(self._nonce, _UDP, self._port, port, ip),)

    def read(self, datagram: bytes) -> Reply | None:
        """The answer to our request; None for anything else."""
        if datagram[:1] == b"\0":  # it knows NAT-PMP only (RFC 6887 §9)
            return _unsupported(datagram, _PMP_ANSWER.size, int.from_bytes(datagram[2:4]), PCP_WORDS[1])
        if not _PCP_HEAD.size <= len(datagram) <= _PCP_MOST or datagram[0] != _PCP:
            return None
        _, operation, code, lifetime, epoch = _PCP_ANSWER.unpack_from(datagram)
        if operation & _ANSWER and code == _UNSUPPORTED_VERSION:
            return Reply(refused=PCP_WORDS[1], unsupported=True)
        if operation != _ANSWER | _MAP or len(datagram) < _PCP_BYTES:
            return None
        nonce, transport, internal, external, ip = _PCP_MAP.unpack_from(datagram, _PCP_HEAD.size)
        if (nonce, transport, internal) != (self._nonce, _UDP, self._port):
            return None
        outside: IPv4Address | IPv6Address = IPv6Address(ip).ipv4_mapped or IPv6Address(ip)
        told = outside if outside.version == self._own_ip.version else None
        if code:
            words = PCP_WORDS.get(code, f"it refuses with code {code}")
            known = told if told is not None and not told.is_unspecified else None
            return Reply(refused=words, epoch=epoch, lifetime=lifetime, ip=known)
        return Reply(epoch=epoch, lifetime=lifetime, port=external, ip=told)


class NatPmp:
    """What is said in NAT-PMP of one port."""

    protocol: Final = Protocol.NAT_PMP

    def __init__(self, port: int) -> None:
        self._port = port

    def requests(self, lifetime: int, wanted: int, last: Address | None) -> tuple[bytes, ...]:
        """As `Pcp.requests`; the router is asked for its address, too."""
        port = 0 if not lifetime else last.port if last is not None else wanted
        mapping = _PMP_MAP.pack(_NAT_PMP, _MAP, 0, self._port, port, lifetime)
        return (bytes((_NAT_PMP, _ADDRESS)), mapping) if lifetime else (mapping,)

    def read(self, datagram: bytes) -> Reply | None:
        """An answer to one of our requests; None for anything else."""
        if datagram[:1] == b"\2":  # it knows PCP only
            code = datagram[3] if len(datagram) > 3 else 0
            return _unsupported(datagram, _PCP_HEAD.size, code, NAT_PMP_WORDS[1])
        if len(datagram) < _PMP_ANSWER.size or datagram[0] != _NAT_PMP:
            return None
        _, operation, code, epoch = _PMP_ANSWER.unpack_from(datagram)
        if operation not in (_ANSWER | _ADDRESS, _ANSWER | _MAP):
            return None
        if code:
            words = NAT_PMP_WORDS.get(code, f"it refuses with code {code}")
            return Reply(refused=words, unsupported=code == _UNSUPPORTED_VERSION, epoch=epoch)
        body = datagram[_PMP_ANSWER.size :]
        if operation == _ANSWER | _ADDRESS:
            return Reply(epoch=epoch, ip=IPv4Address(body)) if len(body) == 4 else None
        if len(body) != _PMP_MAPPED.size:
            return None
        internal, external, lifetime = _PMP_MAPPED.unpack(body)
        return Reply(epoch=epoch, lifetime=lifetime, port=external) if internal == self._port else None


def _unsupported(datagram: bytes, least: int, code: int, words: str) -> Reply | None:
    if len(datagram) >= least and datagram[1] & _ANSWER and code == _UNSUPPORTED_VERSION:
        return Reply(refused=words, unsupported=True)
    return None


def _mapped(ip: bytes) -> bytes:
    """IPv4 as RFC 4291 §2.5.5.2 writes it in IPv6, and IPv6 as it is."""
    return ip if len(ip) == 16 else bytes(10) + b"\xff\xff" + ip
