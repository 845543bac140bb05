"""What gateways say to a whole local network, and each other there: in datagrams of our own, and in multicast DNS.

Datagrams, to UDP port 7398::

    bytes 0-3   "OVLN"
    byte 4      version of this form, 1
    byte 5      1 announcement, 2 question, 3 answer

    announcement, answer:
    bytes 6-    a signed packet, key included (see `signed_packets`): the sender's own

    question, 1152 bytes:
    bytes 6-37  the endpoint that is looked for
    bytes 38-39 length of the asker's own signed packet, big-endian; 0 if it does not tell of itself
    bytes 40-   that packet, then zeros

In multicast DNS the service `<id>._overlay._udp.local.` has a TXT record (RFC 6763 §6) of the strings `txtvers=1` and
`p0=…` to `p4=…`, whose values put together are the signed packet.

A packet is not verified here: that takes time, and is done within bounds next door, in `lan_hearing`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from resolver.errors import MalformedMessage
from resolver.limits import LAN_DATAGRAM_BYTES
from resolver.signed_packets import LARGEST
from tunnels.identity import KEY_BYTES, EndpointId

SERVICE_TYPE: Final = "_overlay._udp.local."
"""DNS-SD's name for us (RFC 6763 §4.1.2)."""
MULTICAST_GROUP: Final = "ff12::ef76:6c79"
"""Link-local and transient, because nobody assigned it (RFC 4291 §2.7); the last 32 bits are of those that programs
choose for themselves (RFC 3307 §4.3)."""

_HEAD: Final = struct.Struct(">4sBB")
_LENGTH: Final = struct.Struct(">H")
_MAGIC: Final = b"OVLN"
_VERSION: Final = 1
_SMALLEST: Final = KEY_BYTES + 72
"""A signed packet of nothing."""
_PART_BYTES: Final = 252
"""A string of a TXT record has at most 255 bytes, and three are `p0=`."""
_PARTS: Final = -(-LARGEST // _PART_BYTES)
_TEXT_BYTES: Final = 2048
"""No text of ours is longer, and whoever adds strings may add as many again."""


class Kind(IntEnum):
    """What a datagram is for."""

    ANNOUNCEMENT = 1
    """To everybody: here I am."""
    QUESTION = 2
    """To everybody: is this endpoint here?"""
    ANSWER = 3
    """To who asked: it is me."""


@dataclass(frozen=True, slots=True)
class Message:
    """A datagram, read but not verified."""

    kind: Kind
    packet: bytes
    """The sender's signed packet; empty in a question whose asker does not tell of itself."""
    wanted: EndpointId | None = None
    """Whom a question is for."""


def announcement(packet: bytes) -> bytes:
    """The datagram that tells everybody of us."""
    return _HEAD.pack(_MAGIC, _VERSION, Kind.ANNOUNCEMENT) + packet


def answer(packet: bytes) -> bytes:
    """The datagram that tells one asker of us."""
    return _HEAD.pack(_MAGIC, _VERSION, Kind.ANSWER) + packet


def question(wanted: EndpointId, packet: bytes) -> bytes:
    """The datagram that asks everybody for an endpoint; always of the same size."""
    head = _HEAD.pack(_MAGIC, _VERSION, Kind.QUESTION) + wanted.key + _LENGTH.pack(len(packet))
    return (head + packet).ljust(LAN_DATAGRAM_BYTES, b"\0")


def parse(datagram: bytes) -> Message:
    """Read a datagram; MalformedMessage says why it is none of ours."""
    if len(datagram) < _HEAD.size:
        raise MalformedMessage("it is too short")
    magic, version, number = _HEAD.unpack_from(datagram)
    if magic != _MAGIC or version != _VERSION:
        raise MalformedMessage("it is not ours, or of another version")
    body = datagram[_HEAD.size :]
    match number:
        case Kind.ANNOUNCEMENT | Kind.ANSWER:
            return Message(Kind(number), _sized(body))
        case Kind.QUESTION:
            return _question(datagram, body)
        case _:
            raise MalformedMessage("it is of a kind that is not known here")


def claimed_id(packet: bytes) -> EndpointId:
    """Whose packet it says it is; from `parse` or `from_text`."""
    return EndpointId(packet[:KEY_BYTES])


def to_text(packet: bytes) -> bytes:
    """The TXT record's data for multicast DNS."""
    strings = [b"txtvers=1"]
    for number, start in enumerate(range(0, len(packet), _PART_BYTES)):
        strings.append(b"p%d=%b" % (number, packet[start : start + _PART_BYTES]))
    return b"".join(bytes((len(string),)) + string for string in strings)


def from_text(text: bytes) -> bytes:
    """The signed packet in a TXT record's data; MalformedMessage says why there is none. Other strings are ignored."""
    if len(text) > _TEXT_BYTES:
        raise MalformedMessage("its text is too long")
    parts: dict[bytes, bytes] = {}
    at = 0
    while at < len(text):
        end = at + 1 + text[at]
        if end > len(text):
            raise MalformedMessage("its text is cut short")
        key, _, value = text[at + 1 : end].partition(b"=")
        parts.setdefault(key.lower(), value)  # RFC 6763 §6.4: case does not matter, and the first counts
        at = end
    packet = b""
    for number in range(_PARTS):
        packet += parts.get(b"p%d" % number, b"")
    return _sized(packet)


def _question(datagram: bytes, body: bytes) -> Message:
    if len(datagram) != LAN_DATAGRAM_BYTES:
        raise MalformedMessage(f"a question has {LAN_DATAGRAM_BYTES} bytes, not {len(datagram)}")
    wanted, rest = EndpointId(body[:KEY_BYTES]), body[KEY_BYTES:]
    (length,) = _LENGTH.unpack_from(rest)
    packet = rest[_LENGTH.size : _LENGTH.size + length]
    return Message(Kind.QUESTION, _sized(packet) if length else b"", wanted)


def _sized(packet: bytes) -> bytes:
    if not _SMALLEST <= len(packet) <= LARGEST:
        raise MalformedMessage(f"a signed packet has {_SMALLEST} to {LARGEST} bytes, not {len(packet)}")
    return packet
