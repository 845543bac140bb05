"""Checks: the sealed messages by which the two ends of a connection try paths and tell of their candidates. Sans-IO.

::

     0     1                    9            33
    +-----+--------------------+------------+- - - - - - - - - - - - - - - -
    | 23  | connection id (8)  | nonce (24) | XChaCha20-Poly1305 of the rest
    +-----+--------------------+------------+- - - - - - - - - - - - - - - -

    +------+--------------+- - - -
    | kind | sequence (8) | body
    +------+--------------+- - - -

======  =======  ===================================================================================
kind    name     body, padded with zeros
======  =======  ===================================================================================
1       PING     transaction id (12), flags (1: SUSPECT)
2       PONG     transaction id (12), the source that was seen: port (2), ip (16); zeros by way of a relay
3       OFFER    round (4), flags (1: ANSWER), count (1), candidates
4       CROSS    attempt (4), strategy (1), flags (1), length (2), payload (`tunnels.crossing.course`)
======  =======  ===================================================================================

A candidate is its kind (1), the length of what follows (1), and for 6 and 18 bytes a port and an ip, else a beacon's URL.
One of kind 128 is none: it describes the sender's network (`tunnels.crossing.description`).

The connection id is the receiver's. Each direction has a key of its own, made from the connection's channel binding,
so that a message is good in one connection and one direction only: nothing can be reflected. A message that was taken
once, or is much older than others, is not taken again. A ping and its pong are equally long, offers have one of a few
lengths, so that neither serves to amplify and the length of an offer tells nothing of its candidates.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_ABYTES as TAG_BYTES,
)
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_NPUBBYTES as NONCE_BYTES,
)
from nacl.exceptions import CryptoError

from tunnels import limits
from tunnels.addresses import (
    Address,
    BeaconUrl,
    PathAddress,
    RelayAddress,
    SocketAddress,
    TcpAddress,
    TurnAddress,
)
from tunnels.paths.candidates import Candidate, CandidateKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tunnels.identity import EndpointId

CHECK: Final = 0x23
"""First byte; RFC 9443 gives it to DTLS, which is not spoken here."""

TRANSACTION_ID_BYTES: Final = 12
_PERSON: Final = b"overlay checks 1"
_KEY_BYTES: Final = 32
_ID_END: Final = 1 + limits.CONNECTION_ID_BYTES
_NONCE_END: Final = _ID_END + NONCE_BYTES
OVERHEAD_BYTES: Final = _NONCE_END + TAG_BYTES

_HEAD: Final = struct.Struct(">BQ")
_PING: Final = struct.Struct(f">{TRANSACTION_ID_BYTES}sB")
_PONG: Final = struct.Struct(f">{TRANSACTION_ID_BYTES}sH16s")
_OFFER: Final = struct.Struct(">IBB")
_CROSS: Final = struct.Struct(">IBBH")
_PING_BYTES: Final = _HEAD.size + _PONG.size
_KIND_PING: Final = 1
_KIND_PONG: Final = 2
_KIND_OFFER: Final = 3
_KIND_CROSS: Final = 4
_SUSPECT: Final = 1
_ANSWER: Final = 1
_DESCRIPTION: Final = 128
"""In place of a candidate's kind; older peers pass over it."""

OFFER_SIZES: Final = (256, 576, limits.MIN_PATH_MTU - OVERHEAD_BYTES)
"""Bytes of an offer, or a CROSS, before it is sealed: a few candidates, sixteen, and as many beacons as fit any path."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Does this path carry what I send?"""

    transaction_id: bytes
    is_suspect: bool = False
    """Nothing of yours arrives here: distrust the path you send on."""


@dataclass(frozen=True, slots=True)
class Pong:
    """The path of that ping does."""

    transaction_id: bytes
    observed: Address | None = None
    """Where the ping came from, as its receiver saw it; None by way of a relay."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Where I may be reached now; what an earlier offer said is void."""

    round: int
    """The how-manieth of its sender; an answer repeats the number of what it answers."""
    is_answer: bool
    candidates: tuple[Candidate, ...]
    description: bytes = b""
    """What my network is like; empty if that is not known."""


@dataclass(frozen=True, slots=True)
class Cross:
    """How an attempt to find a way through our NATs stands at my end."""

    attempt: int
    """Counted by the connection's client, who begins attempts."""
    strategy: int
    flags: int
    payload: bytes = b""


Check = Ping | Pong | Offer | Cross


class Sealer:
    """Seals our checks and opens the peer's, for one connection."""

    __slots__ = ("_chance", "_newest", "_peer_id", "_receive_key", "_seen", "_send_key", "_sequence")

    def __init__(
        self, channel_binding: bytes, *, is_client: bool, peer_id: EndpointId, chance: Callable[[int], bytes]
    ) -> None:
        """`channel_binding` is what both ends of the connection share and nobody else knows."""
        keys = blake2b(channel_binding, digest_size=2 * _KEY_BYTES, person=_PERSON).digest()
        clients, servers = keys[:_KEY_BYTES], keys[_KEY_BYTES:]
        self._send_key, self._receive_key = (clients, servers) if is_client else (servers, clients)
        self._peer_id = peer_id
        self._chance = chance
        self._sequence = 0
        self._newest = 0  # the largest sequence number that was taken
        self._seen = 0  # a bit for each of the numbers up to it, the newest lowest

    def seal(self, check: Check, connection_id: bytes) -> bytes:
        """A datagram to the peer's connection id."""
        self._sequence += 1
        header = b"%c%b" % (CHECK, connection_id)
        nonce = self._chance(NONCE_BYTES)
        plain = _encode(check, self._sequence)
        return (
            header + nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(plain, header, nonce, self._send_key)
        )

    def open(self, datagram: bytes) -> tuple[Check, int] | None:
        """A check of the peer's and its sequence number; None for anything forged, replayed or not understood."""
        nonce = datagram[_ID_END:_NONCE_END]
        if len(datagram) < OVERHEAD_BYTES + _HEAD.size:
            return None
        try:
            plain = crypto_aead_xchacha20poly1305_ietf_decrypt(
                datagram[_NONCE_END:], datagram[:_ID_END], nonce, self._receive_key
            )
        except CryptoError:
            return None
        kind, sequence = _HEAD.unpack_from(plain)
        if not self._is_new(sequence):
            return None
        check = _decode(kind, plain[_HEAD.size :], self._peer_id)
        return None if check is None else (check, sequence)

    def _is_new(self, sequence: int) -> bool:
        """Take a sequence number; False if it was taken before, or is so old that nobody knows (RFC 4303 §3.4.3)."""
        ahead = sequence - self._newest
        if ahead > 0:
            kept = (1 << limits.REPLAY_WINDOW) - 1
            self._seen = ((self._seen << ahead if ahead < limits.REPLAY_WINDOW else 0) | 1) & kept
            self._newest = sequence
            return True
        if ahead <= -limits.REPLAY_WINDOW or self._seen >> -ahead & 1:
            return False
        self._seen |= 1 << -ahead
        return True


# --- the messages in bytes ----------------------------------------------------------------------------------


def _encode(check: Check, sequence: int) -> bytes:
    match check:
        case Ping():
            body = _HEAD.pack(_KIND_PING, sequence) + _PING.pack(
                check.transaction_id, _SUSPECT if check.is_suspect else 0
            )
            return body.ljust(_PING_BYTES, b"\0")
        case Pong():
            port, ip = (0, b"") if check.observed is None else (check.observed.port, check.observed.ip.packed)
            return _HEAD.pack(_KIND_PONG, sequence) + _PONG.pack(check.transaction_id, port, _as_v6(ip))
        case Offer():
            return _encode_offer(check, sequence)
        case Cross():
            head = _CROSS.pack(check.attempt, check.strategy, check.flags, len(check.payload))
            return _padded(_HEAD.pack(_KIND_CROSS, sequence) + head + check.payload)


def _encode_offer(offer: Offer, sequence: int) -> bytes:
    """As many of its candidates as fit, in order."""
    parts, size = [], _HEAD.size + _OFFER.size
    if offer.description:
        parts.append(b"%c%c%b" % (_DESCRIPTION, len(offer.description), offer.description))
        size += len(parts[0])
    for candidate in offer.candidates[: limits.MAX_CANDIDATES]:
        place = _encode_place(candidate.address)
        if len(place) > 255 or size + 2 + len(place) > OFFER_SIZES[-1]:
            continue
        parts.append(b"%c%c%b" % (candidate.kind, len(place), place))
        size += 2 + len(place)
    head = _OFFER.pack(offer.round & 0xFFFFFFFF, _ANSWER if offer.is_answer else 0, len(parts))
    return _padded(b"".join((_HEAD.pack(_KIND_OFFER, sequence), head, *parts)))


def _padded(message: bytes) -> bytes:
    return message.ljust(next(fixed for fixed in OFFER_SIZES if fixed >= len(message)), b"\0")


def _encode_place(address: PathAddress) -> bytes:
    match address:
        case Address():
            return address.port.to_bytes(2) + address.ip.packed
        case RelayAddress():
            return str(address.beacon).encode()
        case TurnAddress():  # our allocation is what a peer may know of it, and that is an address
            return _encode_place(address.server)
        case SocketAddress() | TcpAddress():  # where the peer is, never where we are; it is not told
            return _encode_place(address.peer)


def _decode(kind: int, body: bytes, peer_id: EndpointId) -> Check | None:
    """What an authentic peer says; None for kinds of later versions and what is cut short."""
    if kind == _KIND_PING and len(body) >= _PONG.size:  # as long as its answer, or it gets none
        transaction_id, flags = _PING.unpack_from(body)
        return Ping(transaction_id, bool(flags & _SUSPECT))
    if kind == _KIND_PONG and len(body) >= _PONG.size:
        transaction_id, port, ip = _PONG.unpack_from(body)
        return Pong(transaction_id, _address(port, ip))
    if kind == _KIND_OFFER and len(body) >= _OFFER.size:
        number, flags, count = _OFFER.unpack_from(body)
        entries = list(_entries(body[_OFFER.size :], count))
        description = next((place for kind, place in entries if kind == _DESCRIPTION), b"")
        candidates = tuple(_candidates(entries, peer_id))[: limits.MAX_CANDIDATES]
        return Offer(number, bool(flags & _ANSWER), candidates, description)
    if kind == _KIND_CROSS and len(body) >= _CROSS.size:
        attempt, strategy, flags, size = _CROSS.unpack_from(body)
        payload = body[_CROSS.size : _CROSS.size + size]
        return Cross(attempt, strategy, flags, payload) if len(payload) == size else None
    return None


def _candidates(entries: Iterable[tuple[int, bytes]], peer_id: EndpointId) -> Iterable[Candidate]:
    """Those that are understood."""
    for kind, place in entries:
        address = _decode_place(kind, place, peer_id) if kind in _KINDS else None
        if address is not None:
            yield Candidate(address, CandidateKind(kind))


def _entries(body: bytes, count: int) -> Iterable[tuple[int, bytes]]:
    """Kinds and what follows each; no more than its own bytes."""
    at = 0
    for _ in range(min(count, limits.MAX_CANDIDATES + 1)):
        if at + 2 > len(body):
            return
        kind, size = body[at], body[at + 1]
        place = body[at + 2 : at + 2 + size]
        at += 2 + size
        if len(place) < size:
            return
        yield kind, place


_KINDS: Final = frozenset(CandidateKind)


def _decode_place(kind: int, place: bytes, peer_id: EndpointId) -> PathAddress | None:
    if kind != CandidateKind.RELAY:
        return _address(int.from_bytes(place[:2]), place[2:]) if len(place) in (6, 18) else None
    try:
        return RelayAddress(BeaconUrl.parse(place.decode()), peer_id)
    except ValueError:
        return None


def _as_v6(ip: bytes) -> bytes:
    """Sixteen bytes: IPv4 as RFC 4291 §2.5.5.2 maps it, and zeros for none."""
    return bytes(10) + b"\xff\xff" + ip if len(ip) == 4 else ip.ljust(16, b"\0")


def _address(port: int, ip: bytes) -> Address | None:
    if not port:
        return None
    if len(ip) == 4:
        return Address(IPv4Address(ip), port)
    address = IPv6Address(ip)
    return Address(address.ipv4_mapped or address, port)
