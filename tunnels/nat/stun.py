"""STUN messages (RFC 8489, RFC 5780, RFC 8656): aioice's codec, with what it leaves out, in our types and errors. Sans-IO.

::

     0        2        4            8                      20
    +--------+--------+------------+----------------------+- - - - - - - -
    | type   | length | 2112 A442  | transaction id (12)  | attributes
    +--------+--------+------------+----------------------+- - - - - - - -

An attribute is its type (2), its length (2), and its value padded to four bytes. Those below 0x8000 must be understood
by whoever is asked, the others may be passed over. aioice knows most of them but not those of `Extra`, does not look
at the cookie, and lets `struct.error` out.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from aioice.stun import ATTRIBUTES_BY_NAME, ATTRIBUTES_BY_TYPE, Class, Message, Method, parse_message

from tunnels.addresses import Address
from tunnels.errors import ProtocolViolation
from tunnels.nat import limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Class", "Extra", "Method", "StunMessage", "decode", "encode", "is_plausible", "size_of"]

HEADER_BYTES: Final = 20
TRANSACTION_ID_BYTES: Final = 12
_MAGIC_COOKIE: Final = b"\x21\x12\xa4\x42"
_ATTRIBUTE: Final = struct.Struct("!HH")
_LENGTH: Final = struct.Struct("!H")
_OPTIONAL: Final = 0x8000
"""Types from here on may be passed over (RFC 8489 §14)."""


class Extra(Enum):
    """Attributes that aioice does not know; each value is bytes."""

    UNKNOWN_ATTRIBUTES = 0x000A
    """In an error 420: the types that were not understood (RFC 8489 §14.13)."""
    PADDING = 0x0026
    """RFC 5780 §7.6: makes a request large."""
    RESPONSE_PORT = 0x0027
    """RFC 5780 §7.5: asks for the answer at another port."""
    ECHO_AFTER = 0xFE72
    """Ours, and optional: two bytes, the seconds after which the server is to send something once more."""
    ROUTABLE = 0xFE6F
    """Ours, and optional: what only he can echo who receives what is sent to his address (`tunnels.nat.reflector`)."""
    CHALLENGE = 0xFE70
    """Ours, and optional: asks for an `ATTESTATION` (`tunnels.nat.attested`)."""
    ATTESTATION = 0xFE71
    """Ours, and optional: the server's signature that the challenge's answer went to the source's ip."""

    @property
    def label(self) -> str:
        """The name it has among `StunMessage.attributes`."""
        return self.name.replace("_", "-")


_EXTRA_BY_TYPE: Final = {extra.value: extra.label for extra in Extra}
_EXTRA_BY_NAME: Final = {extra.label: extra.value for extra in Extra}


@dataclass(frozen=True, slots=True)
class StunMessage:
    """A message that was decoded."""

    method: Method
    kind: Class
    transaction_id: bytes
    attributes: Mapping[str, Any]
    """By name, as RFCs write it; addresses as aioice has them (see `address`), those of `Extra` as bytes."""
    not_understood: tuple[int, ...]
    """Types of attributes that had to be understood and are not."""
    parsed: Message
    """As aioice has it, for what it signs."""

    def address(self, name: str) -> Address | None:
        """The address in that attribute; None if it is missing or cannot be an address (port 0)."""
        pair = self.attributes.get(name)
        if pair is None:
            return None
        try:
            return Address.of(*pair)
        except ValueError:
            return None

    @property
    def error_code(self) -> int | None:
        """The number of its ERROR-CODE, if it has one."""
        return self.parsed.error_code

    def is_signed_with(self, key: bytes) -> bool:
        """Whether its MESSAGE-INTEGRITY was made with that key; False if it has none."""
        return self.parsed.check_message_integrity(key)


def decode(datagram: bytes) -> StunMessage:
    """The message in a datagram; ProtocolViolation for anything else."""
    if len(datagram) > limits.STUN_MESSAGE or datagram[4:8] != _MAGIC_COOKIE or datagram[0] > 3:
        raise ProtocolViolation("not a STUN message")
    extras: dict[str, bytes] = {}
    not_understood: list[int] = []
    try:
        for kind, value in _attributes(datagram):
            if kind in _EXTRA_BY_TYPE:
                extras.setdefault(_EXTRA_BY_TYPE[kind], value)
            elif kind < _OPTIONAL and kind not in ATTRIBUTES_BY_TYPE:
                not_understood.append(kind)
        parsed = parse_message(datagram)
    except (ValueError, struct.error) as error:
        raise ProtocolViolation(f"a broken STUN message: {error}") from None
    return StunMessage(
        method=parsed.message_method,
        kind=parsed.message_class,
        transaction_id=parsed.transaction_id,
        attributes=parsed.attributes | extras,
        not_understood=tuple(not_understood),
        parsed=parsed,
    )


def encode(
    method: Method,
    kind: Class,
    transaction_id: bytes,
    attributes: Mapping[str, Any] | None = None,
    *,
    key: bytes | None = None,
) -> bytes:
    """A message on the wire, its attributes in order; with a key it is signed, and those of `Extra` may not be in it.

    Addresses are given as `Address`. An error without a reason has an empty one.
    """
    known: dict[str, Any] = {}
    extras = bytearray()
    for name, value in (attributes or {}).items():
        if name in _EXTRA_BY_NAME:
            extras += _ATTRIBUTE.pack(_EXTRA_BY_NAME[name], len(value)) + value + bytes(-len(value) % 4)
        else:
            known[name] = (str(value.ip), value.port) if isinstance(value, Address) else value
    message = Message(method, kind, transaction_id, known)
    if key is not None:
        if extras:
            raise ValueError("an attribute of Extra cannot be signed")
        message.add_message_integrity(key)
    wire = bytes(message)
    if not extras:
        return wire
    size = len(wire) - HEADER_BYTES + len(extras)
    return wire[:2] + _LENGTH.pack(size) + wire[4:] + extras


def size_of(name: str, value: Any) -> int:  # noqa: ANN401 - as many types as attributes
    """Bytes that an attribute takes on the wire."""
    if name in _EXTRA_BY_NAME:
        size = len(value)
    elif isinstance(value, Address):
        size = 8 if value.ip.version == 4 else 20
    else:
        _, _, pack, _ = ATTRIBUTES_BY_NAME[name]
        size = len(pack(value))
    return _ATTRIBUTE.size + size + -size % 4


def is_plausible(told: Address, server: Address) -> bool:
    """Whether a server can mean an address of ours that it tells: nobody outside this machine sees a loopback address."""
    if told.ip.is_multicast or told.ip.is_unspecified:
        return False
    return server.ip.is_loopback or not told.ip.is_loopback


def _attributes(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value of each attribute; ValueError if one leads outside the datagram."""
    at, end = HEADER_BYTES, len(datagram)
    while at < end:
        if at + _ATTRIBUTE.size > end:
            raise ValueError("it ends inside an attribute's head")
        kind, size = _ATTRIBUTE.unpack_from(datagram, at)
        at += _ATTRIBUTE.size
        if at + size > end:
            raise ValueError("it ends inside an attribute")
        yield kind, datagram[at : at + size]
        at += size + -size % 4
