"""A signed record as text, for mail, chat, paper and QR codes.

`overlay:t1` and then, in z-base-32::

    2 bytes    length of the record, big-endian
    n bytes    the signed packet, key included (see `signed_packets`)
    4 bytes    BLAKE2b of all before, personalised with the version

The whole is one case, so that a QR code may hold it in upper case (alphanumeric mode). `t1` is the version of
this form. The length tells a ticket cut short from one with a wrong character.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from resolver.errors import ForeignVersion, NotATicket, TicketDamaged, TicketTruncated
from resolver.limits import TICKET_CHARACTERS
from resolver.records import EndpointRecord
from resolver.signed_packets import LARGEST, SignedPacket
from tunnels.identity import ID_CHARACTERS, zbase32_decode, zbase32_encode

SCHEME: Final = "overlay:"
_KIND: Final = "t"
_VERSION: Final = "1"
_LENGTH: Final = struct.Struct(">H")
_CHECKSUM_BYTES: Final = 4
_LENGTH_CHARACTERS: Final = 4
"""The characters that hold the length: 20 bits, of which it has the first 16."""
_AROUND: Final = str.maketrans("", "", "<>\"'`")
"""What mail programs, shells and chats put around and in front of lines."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A verified, unexpired record that somebody handed over as text."""

    packet: SignedPacket
    record: EndpointRecord


def write_ticket(packet: SignedPacket) -> str:
    """The ticket of a signed record: one line of lower-case text."""
    data = packet.to_bytes()
    data = _LENGTH.pack(len(data)) + data
    return SCHEME + _KIND + _VERSION + zbase32_encode(data + _checksum(data))


def read_ticket(text: str, now: float) -> Ticket:
    """Read a ticket, in any case, with spaces and line breaks anywhere; `now` in unix seconds.

    Raises TicketError or RecordError; the message says what is wrong with it and what to do.
    """
    if len(text) > TICKET_CHARACTERS:
        raise NotATicket(f"this is {len(text)} characters of text; a ticket has at most {TICKET_CHARACTERS}")
    data = _decode_body(_body("".join(text.translate(_AROUND).split()).lower()))
    packet = SignedPacket.parse(data)
    record = EndpointRecord.from_packet(packet)
    record.check_fresh(now)
    return Ticket(packet, record)


def _body(text: str) -> str:
    """What follows `overlay:t1`."""
    if not text:
        raise NotATicket("there is no text; paste the whole line that begins with overlay:t1")
    kind = text.removeprefix(SCHEME)
    if kind.startswith(_KIND + _VERSION):
        return kind.removeprefix(_KIND + _VERSION)
    if text.startswith(SCHEME):
        if kind[:1] == _KIND and kind[1:2].isdecimal():
            raise ForeignVersion(f"this ticket was made by a newer overlay (form {kind[:2]}); upgrade")
        raise NotATicket(f"{SCHEME}{kind[:8]}… is no ticket; one begins with {SCHEME}{_KIND}{_VERSION}")
    if len(text) == ID_CHARACTERS or text.endswith(".overlay"):
        raise NotATicket(
            "this is a name or an endpoint id, not a ticket; add it with: overlay contacts add PETNAME ID"
        )
    raise NotATicket(f"this is not a ticket; one begins with {SCHEME}{_KIND}{_VERSION}")


def _decode_body(body: str) -> bytes:
    """The signed packet's bytes; TicketTruncated or TicketDamaged."""
    for character in body:
        if character not in _CHARACTERS:
            raise TicketDamaged(f"{character!r} is in no ticket; copy it again, or ask for it once more")
    if len(body) < _LENGTH_CHARACTERS:
        raise TicketTruncated("the ticket ends after its first characters; copy all of it")
    (length,) = _LENGTH.unpack(_bits(body[:_LENGTH_CHARACTERS], _LENGTH.size))
    if length > LARGEST:
        raise TicketDamaged("a character near the beginning of the ticket is wrong; copy it again")
    expected = -(-(_LENGTH.size + length + _CHECKSUM_BYTES) * 8 // 5)
    if len(body) < expected:
        raise TicketTruncated(
            f"the ticket is cut short: it has {len(body)} of {expected} characters; copy all of it, "
            "or ask for it in a form that does not break lines"
        )
    if len(body) > expected:
        raise TicketDamaged(
            f"the ticket has {len(body) - expected} characters too many; copy only the ticket"
        )
    try:
        data = zbase32_decode(body)
    except ValueError:
        raise TicketDamaged("the last character of the ticket is wrong; copy it again") from None
    if _checksum(data[:-_CHECKSUM_BYTES]) != data[-_CHECKSUM_BYTES:]:
        raise TicketDamaged("a character of the ticket is wrong; copy it again, or ask for it once more")
    return data[_LENGTH.size : -_CHECKSUM_BYTES]


_CHARACTERS: Final = frozenset("ybndrfg8ejkmcpqxot1uwisza345h769")


def _bits(text: str, size: int) -> bytes:
    """The first `size` bytes of z-base-32 text that goes on afterwards."""
    zeros = -len(text) % 8  # whole groups of 8 characters are whole bytes
    return zbase32_decode(text + "y" * zeros)[:size]


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_CHECKSUM_BYTES, person=b"overlay ticket1").digest()
