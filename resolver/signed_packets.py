"""pkarr signed packets: a DNS packet signed by the key whose zone it is (pkarr.org, BEP 44).

::

    bytes 0-31     Ed25519 public key
    bytes 32-95    signature over  3:seqi<timestamp>e1:v<length>:<packet>
    bytes 96-103   timestamp, microseconds since 1970, big-endian
    bytes 104-     DNS packet, at most 1000 bytes

A pkarr relay's payload is the same without the key, which stands in the URL. What our packets say is next
door, in `records`.

A packet for our own networks is signed with a salt, as BEP 44 has it (4:salt<length>:<salt> before the rest): it is none for
anybody else, so that nobody who heard it there can put it where the whole world reads.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from resolver.errors import BadSignature, MalformedRecord, RecordTooLarge
from resolver.limits import OWN_PACKET_BYTES, SIGNED_PACKET_BYTES
from tunnels.identity import KEY_BYTES, SIGNATURE_BYTES, EndpointId

if TYPE_CHECKING:
    from tunnels.identity import SecretKey

_TIMESTAMP: Final = struct.Struct(">Q")
_HEAD: Final = KEY_BYTES + SIGNATURE_BYTES + _TIMESTAMP.size
LARGEST: Final = _HEAD + SIGNED_PACKET_BYTES
"""Bytes of the largest signed packet."""
LOCAL: Final = b"overlay local network"
"""The salt of packets for our own networks."""


@dataclass(frozen=True, slots=True)
class SignedPacket:
    """A DNS packet whose signature has been verified, now or (`trusted`) before, or was just made."""

    endpoint_id: EndpointId
    """Whose packet it is."""
    timestamp: int
    """Microseconds since 1970, by the owner's clock; also the BEP 44 sequence number."""
    packet: bytes
    """The DNS packet."""
    signature: bytes

    @classmethod
    def sign(cls, secret_key: SecretKey, timestamp: int, packet: bytes, *, salt: bytes = b"") -> SignedPacket:
        """Sign a DNS packet as of `timestamp` (microseconds since 1970); RecordTooLarge if it does not fit."""
        if len(packet) > OWN_PACKET_BYTES:
            raise RecordTooLarge(len(packet) - OWN_PACKET_BYTES)
        signature = secret_key.sign(signable(timestamp, packet, salt))
        return cls(secret_key.endpoint_id, timestamp, packet, signature)

    @classmethod
    def parse(cls, data: bytes, *, salt: bytes = b"") -> SignedPacket:
        """Read and verify; MalformedRecord or BadSignature says why not."""
        if len(data) < KEY_BYTES:
            raise MalformedRecord(
                f"a signed record has at least {_HEAD} bytes, not {len(data)}; it is cut short"
            )
        return cls.parse_payload(EndpointId(data[:KEY_BYTES]), data[KEY_BYTES:], salt=salt)

    @classmethod
    def parse_payload(cls, endpoint_id: EndpointId, payload: bytes, *, salt: bytes = b"") -> SignedPacket:
        """Read and verify a pkarr relay's payload for the key that was asked for; raises as `parse`."""
        size = KEY_BYTES + len(payload)
        if size < _HEAD:
            raise MalformedRecord(f"a signed record has at least {_HEAD} bytes, not {size}; it is cut short")
        if size > LARGEST:
            raise MalformedRecord(f"a signed record has at most {LARGEST} bytes, not {size}; it is refused")
        signature = payload[:SIGNATURE_BYTES]
        (timestamp,) = _TIMESTAMP.unpack_from(payload, SIGNATURE_BYTES)
        packet = payload[_HEAD - KEY_BYTES :]
        if not endpoint_id.verify(signable(timestamp, packet, salt), signature):
            raise BadSignature(
                f"the record was not signed by {endpoint_id.short}…, whom it speaks of; get it from its owner again"
            )
        return cls(endpoint_id, timestamp, packet, signature)

    @classmethod
    def trusted(cls, data: bytes) -> SignedPacket:
        """Read what was verified before and kept in a file that only we write; MalformedRecord if it is no such thing.

        Verifying takes longer than all else about ten thousand contacts at the start.
        """
        if not _HEAD <= len(data) <= LARGEST:
            raise MalformedRecord(f"a signed record has {_HEAD} to {LARGEST} bytes, not {len(data)}")
        (timestamp,) = _TIMESTAMP.unpack_from(data, KEY_BYTES + SIGNATURE_BYTES)
        return cls(
            EndpointId(data[:KEY_BYTES]),
            timestamp,
            data[_HEAD:],
            data[KEY_BYTES : KEY_BYTES + SIGNATURE_BYTES],
        )

    def to_bytes(self) -> bytes:
        """Key, signature, timestamp, packet: what `parse` reads."""
        return self.endpoint_id.key + self.to_payload()

    def to_payload(self) -> bytes:
        """What a pkarr relay takes and gives: without the key, which stands in the URL."""
        return self.signature + _TIMESTAMP.pack(self.timestamp) + self.packet


def signable(timestamp: int, packet: bytes, salt: bytes = b"") -> bytes:
    """What the signature covers: the BEP 44 form of a mutable item."""
    salted = b"4:salt%d:%b" % (len(salt), salt) if salt else b""
    return b"%b3:seqi%de1:v%d:%b" % (salted, timestamp, len(packet), packet)


def newer_of(first: SignedPacket, second: SignedPacket) -> SignedPacket:
    """The one that counts, of two packets of the same endpoint.

    The later timestamp; of equal ones the larger packet in byte order, so that all who see both agree.
    """
    return max(first, second, key=lambda packet: (packet.timestamp, packet.packet, packet.signature))
