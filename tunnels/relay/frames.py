"""The frames on the WebSocket between a gateway and a beacon. Sans-IO.

A binary frame carries what one endpoint sends to another. A beacon exchanges the id of the receiver for the id of the
sender and passes the rest on as it is::

     0      1                     33
    +------+---------------------+- - - - - - - - - - - - - - -
    | kind | endpoint id (32)    | body
    +------+---------------------+- - - - - - - - - - - - - - -

======  ========  ====================================================================================
kind    name      body
======  ========  ====================================================================================
1       DATA      datagrams, each behind its length in two bytes; the oldest is dropped where one must be
2       PATH      the same, for path messages: passed on before data, dropped after it
3       MESSAGE   one sealed message (`tunnels.rendezvous`)
4       ABSENT    from the beacon: one byte, the kind of a frame for that endpoint which is not here
5       MAIL      between two that met by a spoken code: the token of its nameplate (16), and what they say
======  ========  ====================================================================================

A text frame is one JSON object of `FromGateway` or `FromBeacon`, told apart by `type`. Bytes in it are base64, ids text.
"""

from __future__ import annotations

import hashlib
import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from tunnels import limits
from tunnels.errors import ProtocolViolation
from tunnels.identity import ID_CHARACTERS, KEY_BYTES, EndpointId

if TYPE_CHECKING:
    from collections.abc import Iterable

CONNECT_PATH: Final = "/overlay/v1/connect"
"""Where the WebSocket is opened."""

OBSERVED_PATH: Final = "/overlay/v1/observed"
"""Where anybody learns by HTTP which `ip:port` his own TCP connection comes from: `{"address": ...}`."""

HEADER_BYTES: Final = 1 + KEY_BYTES
_LENGTH: Final = struct.Struct(">H")


class FrameKind(IntEnum):
    """The first byte of a binary frame."""

    DATA = 1
    PATH = 2
    MESSAGE = 3
    ABSENT = 4
    MAIL = 5


_KINDS: Final = frozenset(FrameKind)


def encode(kind: FrameKind, endpoint_id: EndpointId, body: bytes) -> bytes:
    """A frame with one body: a message, or what `batches` made."""
    return b"%c%b%b" % (kind, endpoint_id.key, body)


def batches(datagrams: Iterable[bytes]) -> list[bytes]:
    """Datagrams as bodies of frames, in order, each of at most `limits.RELAY_FRAME` bytes; too large ones are left out."""
    bodies: list[bytes] = []
    parts: list[bytes] = []
    size = 0
    for datagram in datagrams:
        needed = _LENGTH.size + len(datagram)
        if needed > limits.RELAY_FRAME:
            continue
        if size + needed > limits.RELAY_FRAME:
            bodies.append(b"".join(parts))
            parts, size = [], 0
        parts += (_LENGTH.pack(len(datagram)), datagram)
        size += needed
    if parts:
        bodies.append(b"".join(parts))
    return bodies


def decode(frame: bytes) -> tuple[FrameKind, EndpointId, bytes]:
    """Kind, id and body; ProtocolViolation for anything else."""
    if len(frame) < HEADER_BYTES or frame[0] not in _KINDS:
        raise ProtocolViolation("a relay frame begins with its kind and an endpoint id")
    return FrameKind(frame[0]), EndpointId(frame[1:HEADER_BYTES]), frame[HEADER_BYTES:]


def datagrams_of(body: bytes) -> list[bytes]:
    """The datagrams of a DATA or PATH frame; ProtocolViolation if a length leads outside it."""
    found, at, end = [], 0, len(body)
    while at < end:
        if at + _LENGTH.size > end:
            raise ProtocolViolation("a relay frame ends inside a length")
        (size,) = _LENGTH.unpack_from(body, at)
        at += _LENGTH.size
        if not size or at + size > end:
            raise ProtocolViolation("a relay frame ends inside a datagram")
        found.append(body[at : at + size])
        at += size
    return found


# --- text frames ----------------------------------------------------------------------------------------------

IdText = Annotated[str, Meta(min_length=ID_CHARACTERS, max_length=ID_CHARACTERS)]
TopicId = Annotated[bytes, Meta(min_length=limits.TOPIC_BYTES, max_length=limits.TOPIC_BYTES)]
Nonce = Annotated[bytes, Meta(min_length=16, max_length=16)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
"""Bytes or seconds: what any JSON reader takes for a whole number, and no sum of ours overflows with."""


class _Said(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """One JSON object; members that this version does not know are ignored."""


class Hello(_Said, frozen=True, kw_only=True, tag="hello"):
    """The gateway says and proves who it is; the first thing on the wire from its side (see `login`)."""

    id: IdText
    nonce: Nonce
    signature: Signature
    authority: Annotated[str, Meta(max_length=300)]
    """The host and port it believes to be connected to."""
    version: Annotated[str, Meta(max_length=40)] = ""
    takes_mail: bool = False
    """Whether it knows MAIL frames; to others none are passed on."""


class Who(_Said, frozen=True, kw_only=True, tag="who"):
    """Which of these endpoints are here? One must know an id to ask for it."""

    ids: Annotated[tuple[IdText, ...], Meta(max_length=limits.RELAY_WHO_IDS)]


class Redeem(_Said, frozen=True, kw_only=True, tag="redeem"):
    """A voucher, as text."""

    voucher: Annotated[str, Meta(max_length=2048)]


class TurnPlease(_Said, frozen=True, kw_only=True, tag="turn"):
    """New TURN credentials: those of the welcome run out."""


class DialBack(_Said, frozen=True, kw_only=True, tag="dial-back"):
    """Send a datagram with this nonce to that UDP port, at the ip that you see this connection come from."""

    port: Annotated[int, Meta(ge=1, le=65535)]
    nonce: Annotated[bytes, Meta(min_length=12, max_length=12)]


class Nameplate(_Said, frozen=True, kw_only=True, tag="nameplate"):
    """Let somebody who has a spoken code find us by its number; who claims it learns our id and this token."""

    token: Nonce


class Claim(_Said, frozen=True, kw_only=True, tag="claim"):
    """Who waits under this number?"""

    number: Annotated[int, Meta(ge=1, le=limits.NAMEPLATES)]
    take: bool
    """Take it, so that nobody else does; else only tell whether it is there."""


class Release(_Said, frozen=True, kw_only=True, tag="release"):
    """We wait under this number no more; there is no answer."""

    number: Annotated[int, Meta(ge=1, le=limits.NAMEPLATES)]


class Topics(_Said, frozen=True, kw_only=True, tag="topics"):
    """The gateway is in these topics and in no others: whoever asks who is in one may be told of it."""

    ids: Annotated[tuple[TopicId, ...], Meta(max_length=limits.RELAY_TOPICS)]


class WhoIsIn(_Said, frozen=True, kw_only=True, tag="who-is-in"):
    """Some of those who say that they are in a topic?"""

    topic: TopicId


class Challenge(_Said, frozen=True, kw_only=True, tag="challenge"):
    """The beacon's first frame."""

    beacon: IdText
    nonce: Nonce


class TurnServer(msgspec.Struct, frozen=True, kw_only=True):
    """A TURN server and what to say to it (RFC 8656, time-limited credentials)."""

    address: str
    """`ip:port`, UDP."""
    username: str
    password: str
    seconds: Count
    """How long they are good for."""


class RelayLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What the relay gives this gateway; 0 means that there is no such limit."""

    bytes_per_second: Count = 0
    quota_bytes: Count = 0
    """Bytes relayed for it in each period."""
    period_seconds: Count = 0
    left_bytes: Count = 0
    """What is left of it now."""
    credit_bytes: Count = 0
    """What vouchers gave beyond the quota, and is not used yet."""


class Welcome(_Said, frozen=True, kw_only=True, tag="welcome"):
    """The gateway is known now, and what it sends is passed on."""

    signature: Signature
    """The beacon's, over the gateway's nonce (see `login`)."""
    observed: str
    """The `ip:port` that the connection came from."""
    stun: tuple[str, ...] = ()
    """`ip:port` of the STUN servers, UDP; the first two differ in both where there are two addresses."""
    turn: TurnServer | None = None
    limits: RelayLimits = RelayLimits()
    policy: str = ""
    """The owner's words, one line."""
    relays: bool = True
    """Whether it relays datagrams, or only passes messages on."""
    dials_back: bool = False
    """Whether it may be asked to `DialBack`."""
    nameplates: bool = False
    """Whether it lets gateways meet by spoken codes."""
    topics: Count = 0
    """How many `Topics` it keeps for one gateway; a beacon that says 0 is not asked about any, and closes whoever does."""


class Online(_Said, frozen=True, kw_only=True, tag="online"):
    """Those of the ids asked for that are here."""

    ids: tuple[IdText, ...]


class Turn(_Said, frozen=True, kw_only=True, tag="turn"):
    """New TURN credentials; None if there are none to be had."""

    turn: TurnServer | None = None


class Dialled(_Said, frozen=True, kw_only=True, tag="dialled"):
    """What became of a `DialBack`."""

    sent: bool


class Plated(_Said, frozen=True, kw_only=True, tag="plated"):
    """The number of a `Nameplate`."""

    number: Annotated[int, Meta(ge=1, le=limits.NAMEPLATES)]
    seconds: Count
    """How long it is kept."""


class Claimed(_Said, frozen=True, kw_only=True, tag="claimed"):
    """What is under a number; id and token only for who takes it."""

    found: bool
    tag: Annotated[bytes, Meta(max_length=16)] = b""
    """For who only asks: the same at every node where it is the same nameplate (`tag_of`)."""
    id: Annotated[str, Meta(max_length=ID_CHARACTERS)] = ""
    token: Annotated[bytes, Meta(max_length=16)] = b""


class TopicsKept(_Said, frozen=True, kw_only=True, tag="topics-kept"):
    """What became of `Topics`: how many of them others are told of; fewer where the beacon has no room for more."""

    kept: Count


class IsIn(_Said, frozen=True, kw_only=True, tag="is-in"):
    """Some of those in a topic, by chance, without the one who asks; they have proved their ids here, and nothing else."""

    topic: TopicId
    ids: Annotated[tuple[IdText, ...], Meta(max_length=limits.RELAY_TOPIC_PEERS)]


class Receipt(_Said, frozen=True, kw_only=True, tag="receipt"):
    """A voucher was taken: what the beacon signs for it (see `vouchers`)."""

    receipt: str
    limits: RelayLimits


class Refused(_Said, frozen=True, kw_only=True, tag="refused"):
    """Something was not done, and why; the connection goes on unless it is closed next."""

    code: Annotated[str, Meta(max_length=40)]
    """login, rate, quota, voucher, access, size, busy"""
    reason: Annotated[str, Meta(max_length=300)]


class Leaving(_Said, frozen=True, kw_only=True, tag="leaving"):
    """The beacon is going away: be elsewhere within so many seconds."""

    seconds: float


def tag_of(token: bytes) -> bytes:
    """What is told of a nameplate's token to those who did not take it."""
    return hashlib.blake2b(token, digest_size=8, person=b"overlay plate 1").digest()


FromGateway = Hello | Who | Redeem | TurnPlease | DialBack | Topics | WhoIsIn | Nameplate | Claim | Release
FromBeacon = (
    Challenge
    | Welcome
    | Online
    | Turn
    | Dialled
    | TopicsKept
    | IsIn
    | Plated
    | Claimed
    | Receipt
    | Refused
    | Leaving
)

_from_gateway: Final[msgspec.json.Decoder[FromGateway]] = msgspec.json.Decoder(FromGateway)
_from_beacon: Final[msgspec.json.Decoder[FromBeacon]] = msgspec.json.Decoder(FromBeacon)


def encode_text(said: FromGateway | FromBeacon) -> str:
    """As a text frame."""
    return msgspec.json.encode(said).decode()


def read_from_gateway(text: str) -> FromGateway:
    """What a gateway says; ProtocolViolation for anything else."""
    try:
        return _from_gateway.decode(text)
    except (ValueError, RecursionError) as error:  # msgspec's are ValueErrors
        raise _violation(error) from None


def read_from_beacon(text: str) -> FromBeacon:
    """What a beacon says; ProtocolViolation for anything else."""
    try:
        return _from_beacon.decode(text)
    except (ValueError, RecursionError) as error:
        raise _violation(error) from None


def _violation(error: Exception) -> ProtocolViolation:
    return ProtocolViolation(f"not a text frame of the relay protocol: {error}")
