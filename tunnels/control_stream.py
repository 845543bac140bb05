"""The messages on a connection's first stream: who the client is, and how much each stream may send.

Every message is ``type (1) | length (2) | body``; integers are big-endian. Unknown types are skipped, so that
later versions can add some.

======  ========  ==================================================================================
type    name      body
======  ========  ==================================================================================
1       PROOF     version (1) | client's endpoint id (32) | incarnation (8) | signature (64)
2       WELCOME   version (1) | incarnation (8)
3       CREDIT    stream id (8) | limit (8), in bytes since the stream began
4       SIDE      nothing
======  ========  ==================================================================================

PROOF is the client's first message and WELCOME the server's. A client that has another connection with the same server
says SIDE before its PROOF: the server goes on to open its own streams on the other one. The signature covers the connection's channel
binding and the server's id, so a proof is worth nothing on any other connection or to any other server. The
incarnation is a random number of the process: a new one means that the peer restarted.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tunnels.errors import ProtocolViolation
from tunnels.identity import KEY_BYTES, SIGNATURE_BYTES, EndpointId
from tunnels.limits import MAX_CONTROL_MESSAGE

if TYPE_CHECKING:
    from tunnels.identity import SecretKey

VERSION: Final = 1
INCARNATION_BYTES: Final = 8

_HEADER: Final = struct.Struct("!BH")
_CREDIT: Final = struct.Struct("!BHQQ")
_PROOF_LABEL: Final = b"overlay client proof v1"
_PROOF_BYTES: Final = 1 + KEY_BYTES + INCARNATION_BYTES + SIGNATURE_BYTES


@dataclass(frozen=True, slots=True)
class Proof:
    """The client is `endpoint_id`, if `signature` verifies for this connection."""

    endpoint_id: EndpointId
    incarnation: bytes
    signature: bytes

    def is_valid(self, binding: bytes, server: EndpointId) -> bool:
        """Whether the client holds the key of the id it claims, on this connection, to this server."""
        return self.endpoint_id.verify(_proof_text(binding, server, self.incarnation), self.signature)


@dataclass(frozen=True, slots=True)
class Welcome:
    """The server accepted the client's proof."""

    incarnation: bytes


@dataclass(frozen=True, slots=True)
class Credit:
    """The receiver of `stream_id` takes bytes up to `limit`, counted from the stream's start."""

    stream_id: int
    limit: int


@dataclass(frozen=True, slots=True)
class Side:
    """The client has this connection beside its main one."""


Message = Proof | Welcome | Credit | Side


def _proof_text(binding: bytes, server: EndpointId, incarnation: bytes) -> bytes:
    return _PROOF_LABEL + binding + server.key + incarnation


def encode_proof(secret_key: SecretKey, binding: bytes, server: EndpointId, incarnation: bytes) -> bytes:
    """The PROOF message of the holder of `secret_key`."""
    signature = secret_key.sign(_proof_text(binding, server, incarnation))
    body = bytes([VERSION]) + secret_key.endpoint_id.key + incarnation + signature
    return _HEADER.pack(1, len(body)) + body


def encode_welcome(incarnation: bytes) -> bytes:
    """The WELCOME message."""
    body = bytes([VERSION]) + incarnation
    return _HEADER.pack(2, len(body)) + body


def encode_side() -> bytes:
    """The SIDE message."""
    return _HEADER.pack(4, 0)


def encode_credit(stream_id: int, limit: int) -> bytes:
    """The CREDIT message."""
    return _CREDIT.pack(3, 16, stream_id, limit)


class ControlReader:
    """Cuts the control stream's bytes into messages."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def receive_data(self, data: bytes) -> list[Message]:
        """The messages that `data` completes, in order; ProtocolViolation if the peer sent nonsense."""
        buffer = self._buffer + data if self._buffer else data
        messages: list[Message] = []
        position = 0
        while len(buffer) - position >= _HEADER.size:
            kind, length = _HEADER.unpack_from(buffer, position)
            if length > MAX_CONTROL_MESSAGE:
                raise ProtocolViolation(
                    f"a control message of {length} bytes; {MAX_CONTROL_MESSAGE} is the most"
                )
            end = position + _HEADER.size + length
            if end > len(buffer):
                break
            message = _decode(kind, buffer[position + _HEADER.size : end])
            if message is not None:
                messages.append(message)
            position = end
        self._buffer = buffer[position:]
        return messages


def _decode(kind: int, body: bytes) -> Message | None:
    match kind:
        case 1:
            if len(body) < _PROOF_BYTES or body[0] != VERSION:
                raise ProtocolViolation("the proof of identity is cut short or of another version")
            key = body[1 : 1 + KEY_BYTES]
            rest = 1 + KEY_BYTES + INCARNATION_BYTES
            return Proof(EndpointId(key), body[1 + KEY_BYTES : rest], body[rest : rest + SIGNATURE_BYTES])
        case 2:
            if len(body) < 1 + INCARNATION_BYTES or body[0] != VERSION:
                raise ProtocolViolation("the welcome is cut short or of another version")
            return Welcome(body[1 : 1 + INCARNATION_BYTES])
        case 3:
            if len(body) != 16:
                raise ProtocolViolation("a credit message has 16 bytes")
            return Credit(int.from_bytes(body[:8]), int.from_bytes(body[8:]))
        case 4:
            return Side()
        case _:
            return None
