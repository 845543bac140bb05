"""What is said on a stream of kind REDEEM: behind its header one message from who takes an invite, behind the answer one back.

Each is its length in two bytes, big-endian, and a msgpack array.
"""

from __future__ import annotations

import struct
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from gateway.invites.capability import FOR_EVER
from gateway.invites.errors import InviteDamaged
from gateway.invites.limits import INVITE_SERVICES, REDEEM_MESSAGE_BYTES

LENGTH: Final = struct.Struct(">H")


class RedeemRequest(msgspec.Struct, frozen=True, array_like=True):
    """Who takes an invite shows it to its issuer; that it comes from this endpoint is the tunnel's word."""

    chain: Annotated[bytes, Meta(max_length=REDEEM_MESSAGE_BYTES)]
    proof: Annotated[bytes, Meta(min_length=64, max_length=64)]
    """Made with the secret of the last link."""
    nickname: Annotated[str, Meta(max_length=64)] = ""
    """What it calls itself; a suggestion."""
    record: Annotated[bytes, Meta(max_length=1200)] = b""
    """Where it is: its own signed packet, so that the issuer finds it, too; empty if it does not say."""


class RedeemReply(msgspec.Struct, frozen=True, array_like=True):
    """What the issuer says to it."""

    code: Annotated[str, Meta(max_length=40)]
    """Empty if it is granted, else the code of an InviteError."""
    reason: Annotated[str, Meta(max_length=400)]
    """A line for people; empty if it is granted."""
    now: Annotated[float, Meta(ge=0, le=FOR_EVER)]
    """The issuer's clock, unix seconds: the one that counts."""
    services: Annotated[
        tuple[Annotated[str, Meta(max_length=63)], ...], Meta(max_length=INVITE_SERVICES)
    ] = ()
    until: Annotated[float, Meta(ge=0, le=FOR_EVER)] = 0.0
    """Unix seconds: when the grant ends. (What is no number, or endless, could not be kept as JSON.)"""
    petname: Annotated[str, Meta(max_length=63)] = ""
    """What the issuer calls the taker now."""


_encode: Final = msgspec.msgpack.Encoder().encode
_decode_request: Final = msgspec.msgpack.Decoder(RedeemRequest).decode
_decode_reply: Final = msgspec.msgpack.Decoder(RedeemReply).decode


def encode_message(message: RedeemRequest | RedeemReply) -> bytes:
    """With its length in front."""
    data = _encode(message)
    if len(data) > REDEEM_MESSAGE_BYTES:
        raise ValueError(f"a message about an invite has at most {REDEEM_MESSAGE_BYTES} bytes")
    return LENGTH.pack(len(data)) + data


class MessageParser:
    """Collects one message, however it is cut; use it once."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> bytes | None:
        """The message without its length once it is whole; InviteDamaged as soon as it is too long."""
        self._buffer += data
        if len(self._buffer) < LENGTH.size:
            return None
        (size,) = LENGTH.unpack_from(self._buffer)
        if size > REDEEM_MESSAGE_BYTES:
            raise InviteDamaged(
                f"a message about an invite has at most {REDEEM_MESSAGE_BYTES} bytes, not {size}"
            )
        if len(self._buffer) < LENGTH.size + size:
            return None
        return self._buffer[LENGTH.size : LENGTH.size + size]


def decode_request(data: bytes) -> RedeemRequest:
    """Read what a taker sent; InviteDamaged, never anything else."""
    try:
        request: RedeemRequest = _decode_request(data)
    except (ValueError, RecursionError) as error:  # msgspec's are ValueErrors
        raise InviteDamaged(f"what was said about the invite cannot be read: {error}") from None
    return request


def decode_reply(data: bytes) -> RedeemReply:
    """Read what an issuer sent; InviteDamaged, never anything else."""
    try:
        reply: RedeemReply = _decode_reply(data)
    except (ValueError, RecursionError) as error:
        raise InviteDamaged(f"the issuer's answer about the invite cannot be read: {error}") from None
    return reply
