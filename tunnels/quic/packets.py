"""The invariant part of QUIC packets (RFC 8999, RFC 9000 §17): enough to find the connection a datagram is for.

Also the stateless Retry (RFC 9000 §8.1.2): a client whose address is in doubt must echo a token first. The token
is sealed with a key of this process, so nothing is remembered for clients that never come back.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tunnels import limits
from tunnels.addresses import RelayAddress

if TYPE_CHECKING:
    from tunnels.addresses import PathAddress

_LONG_HEADER: Final = 0x80
_INITIAL_TYPE: Final = 0x00
_RETRY_TYPE: Final = 0x30
_FIXED_BIT: Final = 0x40
_NONCE_BYTES: Final = 12

# RFC 9001 §5.8: the fixed key and nonce of the Retry integrity tag of QUIC version 1.
_RETRY_KEY: Final = bytes.fromhex("be0c690b9f66575a1d766b54e368c84e")
_RETRY_NONCE: Final = bytes.fromhex("461599d35d632bf2239825bb")


def destination_connection_id(datagram: bytes) -> bytes | None:
    """The id a datagram is addressed to; None if it is too short to have one of ours.

    A short header carries no length, so ids of ours all have `CONNECTION_ID_BYTES`.
    """
    if not datagram:
        return None
    if not datagram[0] & _LONG_HEADER:
        end = 1 + limits.CONNECTION_ID_BYTES
        return datagram[1:end] if len(datagram) >= end else None
    if len(datagram) < 6:
        return None
    length = datagram[5]
    return datagram[6 : 6 + length] if length <= 20 and len(datagram) >= 6 + length else None


@dataclass(frozen=True, slots=True)
class Initial:
    """The header of a client's first packet."""

    destination_connection_id: bytes
    source_connection_id: bytes
    token: bytes


def parse_initial(datagram: bytes) -> Initial | None:
    """Read the header of a version 1 Initial packet in a datagram of the required size; None for anything else."""
    if (
        len(datagram) < limits.MIN_INITIAL_DATAGRAM
        or datagram[0] & 0xF0 != _LONG_HEADER | _FIXED_BIT | _INITIAL_TYPE
    ):
        return None
    if int.from_bytes(datagram[1:5]) != limits.QUIC_VERSION_1:
        return None
    position, ids = 5, []  # a datagram of this size holds the ids and the length of the token whole
    for _ in range(2):
        length = datagram[position]
        if length > 20:
            return None
        ids.append(datagram[position + 1 : position + 1 + length])
        position += 1 + length
    token_length, position = _pull_varint(datagram, position)
    token = datagram[position : position + token_length]
    # RFC 9000 §7.2: the first destination connection id is at least 8 bytes of chance.
    if len(token) != token_length or len(ids[0]) < 8:
        return None
    return Initial(ids[0], ids[1], token)


def _pull_varint(data: bytes, position: int) -> tuple[int, int]:
    """A variable-length integer (RFC 9000 §16) and the position after it."""
    length = 1 << (data[position] >> 6)
    value = int.from_bytes(data[position : position + length]) & ((1 << (8 * length - 2)) - 1)
    return value, position + length


class RetryTokens:
    """Makes and checks Retry tokens; `key` is 16 random bytes of this process."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def retry_packet(
        self, initial: Initial, source: PathAddress, new_id: bytes, nonce: bytes, now: float
    ) -> bytes:
        """A Retry that asks the client at `source` to come again with a token and `new_id` as destination."""
        odcid = initial.destination_connection_id
        sealed = nonce + self._aead.encrypt(nonce, struct.pack("!d", now) + new_id + odcid, _context(source))
        packet = b"".join(
            (
                bytes([_LONG_HEADER | _FIXED_BIT | _RETRY_TYPE]),
                limits.QUIC_VERSION_1.to_bytes(4),
                bytes([len(initial.source_connection_id)]),
                initial.source_connection_id,
                bytes([len(new_id)]),
                new_id,
                sealed,
            )
        )
        pseudo_packet = bytes([len(odcid)]) + odcid + packet  # RFC 9001 §5.8
        return packet + AESGCM(_RETRY_KEY).encrypt(_RETRY_NONCE, b"", pseudo_packet)

    def original_id(self, initial: Initial, source: PathAddress, now: float) -> bytes | None:
        """The client's first destination id if its token is one we gave to this source for this id; else None."""
        token = initial.token
        if len(token) <= _NONCE_BYTES:
            return None
        try:
            plain = self._aead.decrypt(token[:_NONCE_BYTES], token[_NONCE_BYTES:], _context(source))
        except InvalidTag:
            return None
        (issued,) = struct.unpack_from("!d", plain)
        new_id, odcid = plain[8 : 8 + limits.CONNECTION_ID_BYTES], plain[8 + limits.CONNECTION_ID_BYTES :]
        if new_id != initial.destination_connection_id or now - issued > limits.RETRY_TOKEN_LIFETIME:
            return None
        return odcid


def _context(source: PathAddress) -> bytes:
    """What tells one sender from another."""
    if isinstance(source, RelayAddress):
        return f"{source.beacon} {source.endpoint_id}".encode()
    return str(source).encode()
