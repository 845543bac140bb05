"""A connection without any server: ICMP that gets through a NAT to who waits behind it, as pwnat does. Sans-IO.

Who waits sends an *echo* to an address where nobody is, again and again. Who dials sends a *summons*: an ICMP
"time exceeded" to the waiting one's public address that quotes that echo, as any router on the way there might. The NAT
knows the echo and lets it in; so the waiting side learns who calls, and opens its NAT for that place by UDP.

    echo       type 8 (IPv6: 128) | code 0 | checksum | identifier | 0 | zeros, as many as a summons says
    summons    type 11 (IPv6: 3) | code 0 | checksum | 0 | the IP header of the echo | the first 8 bytes of the echo | note
    note       seconds since 1970, 4 bytes | nonce, 8 | address, 16 | port, 2 | zeros, 32 | proof, 16

(RFC 792, RFC 4443 §3.3.) A NAT reads the quoted IP header and the identifier, and passes on whatever follows: the quote
may be as long as the packet was (below 128 bytes nobody looks for extensions in it, RFC 4884 §5). The
zeros make it no smaller than all that it makes somebody send. The identifier, another one each day, and the proof are
made from the waiting endpoint's id: who does not know it passes the NAT by luck only, and is never heard. Neither tells
the id to anybody.
"""

from __future__ import annotations

import hmac
import struct
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final, TypeVar

from tunnels.addresses import Address
from tunnels.bucket import Bucket
from tunnels.nat import limits
from tunnels.paths.candidates import is_private, is_sane

if TYPE_CHECKING:
    from tunnels.identity import EndpointId

Ip = IPv4Address | IPv6Address
_T = TypeVar("_T")

ECHO: Final = {4: 8, 6: 128}
TIME_EXCEEDED: Final = {4: 11, 6: 3}
PROTOCOL: Final = {4: 1, 6: 58}
"""ICMP's and ICMPv6's, in IP headers."""

_HEADER: Final = 8
_IP_HEADER: Final = {4: 20, 6: 40}
_NOTE: Final = struct.Struct("!I8s16sH32x")
_PROOF: Final = 16
_NOTE_BYTES: Final = _NOTE.size + _PROOF
_DAY: Final = 86_400


def echo(endpoint_id: EndpointId, version: int, clock: float) -> bytes:
    """What keeps our NAT open for summonses, with the time of day in seconds since 1970.

    That of IPv6 has no checksum: it is over addresses, too, and raw sockets put it in.
    """
    message = _echo_head(endpoint_id, version, clock) + bytes(_NOTE_BYTES)
    return _with_checksum(message) if version == 4 else message


def summons(
    endpoint_id: EndpointId, public_ip: Ip, target: Ip, place: Address | int, nonce: bytes, clock: float
) -> bytes:
    """Tell the endpoint at that address, which sends echoes to `target`, that we dial it from `place`.

    A port alone says that our address is the one that the summons comes from.
    """
    version = public_ip.version
    ip, port = (
        (bytes(16), place) if isinstance(place, int) else (place.ip.packed.rjust(16, b"\0"), place.port)
    )
    note = _NOTE.pack(int(clock) & 0xFFFFFFFF, nonce, ip, port)
    note += _proof(endpoint_id, note)
    head = _echo_head(endpoint_id, version, clock)
    if version == 4:
        echoed = _with_checksum(head + bytes(_NOTE_BYTES))[:_HEADER]
    else:
        pseudo = public_ip.packed + target.packed + struct.pack("!II", len(head) + _NOTE_BYTES, PROTOCOL[6])
        echoed = head[:2] + struct.pack("!H", checksum(pseudo + head)) + head[4:]
    quote = _ip_header(public_ip, target, _HEADER + _NOTE_BYTES) + echoed + note
    message = struct.pack("!BBHI", TIME_EXCEEDED[version], 0, 0, 0) + quote
    return _with_checksum(message) if version == 4 else message


def message_in(packet: bytes, version: int) -> bytes:
    """The ICMP message of what a raw socket gives: with the IP header for version 4, without it for 6."""
    return packet[(packet[0] & 0x0F) * 4 :] if version == 4 and packet else packet


def checksum(message: bytes) -> int:
    """RFC 1071."""
    padded = message + bytes(len(message) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


class Waiting:
    """Hears summonses: whom to open our NAT for, within bounds."""

    def __init__(self, endpoint_id: EndpointId) -> None:
        self.endpoint_id = endpoint_id
        self.heard = 0
        """Summonses that were answered."""
        self.ignored = 0
        """Messages that were none for us, or one too many."""
        self._strangers = Bucket(limits.PWNAT_ANSWERED_PER_MINUTE / 60, limits.PWNAT_ANSWERED_PER_MINUTE)
        self._answered: dict[Address, float] = {}
        self._proofs: dict[bytes, float] = {}

    def received(self, message: bytes, source: Ip, target: Ip, now: float, clock: float) -> Address | None:
        """Where openers are to go, for an ICMP message from `source`, if it is a summons and there were not too many.

        Each is answered once. Nothing rests on checksums: the proof covers what is used.
        """
        place = self._place(message, source, target, clock)
        if place is None or not self._is_new(message[-_PROOF:], place, now) or not self._strangers.take(now):
            self.ignored += 1
            return None
        self._remember(message[-_PROOF:], place, now)
        self.heard += 1
        return place

    def _place(self, message: bytes, source: Ip, target: Ip, clock: float) -> Address | None:
        version = source.version
        start = _HEADER + _IP_HEADER[version]
        if (
            len(message) != start + _HEADER + _NOTE_BYTES
            or message[0] != TIME_EXCEEDED[version]
            or message[1]
        ):
            return None
        if message[start - len(target.packed) : start] != target.packed or message[start] != ECHO[version]:
            return None
        note, proof = message[start + _HEADER : -_PROOF], message[-_PROOF:]
        if not hmac.compare_digest(proof, _proof(self.endpoint_id, note)):
            return None
        said_at, _, packed, port = _NOTE.unpack(note)
        if abs(said_at - clock) > limits.PWNAT_CLOCK_SKEW or not port:
            return None
        place = Address(source, port)
        if version == 4 and is_private(place) and any(packed):
            # A NAT that does not know what is quoted may let it out as it is, with a source that means nothing here.
            place = Address(IPv4Address(packed[-4:]), port)
        return place if is_sane(place, with_loopback=False) and not is_private(place) else None

    def _is_new(self, proof: bytes, place: Address, now: float) -> bool:
        _forget(self._proofs, now - 2 * limits.PWNAT_CLOCK_SKEW)
        _forget(self._answered, now - limits.PWNAT_OPEN_FOR)
        return proof not in self._proofs and place not in self._answered

    def _remember(self, proof: bytes, place: Address, now: float) -> None:
        self._answered[place] = self._proofs[proof] = now


def _forget(kept: dict[_T, float], before: float) -> None:
    """What was put in earlier; the oldest is the first."""
    while kept and kept[first := next(iter(kept))] < before:
        del kept[first]


def _key(endpoint_id: EndpointId) -> bytes:
    return blake2b(endpoint_id.key, digest_size=32, person=b"overlay pwnat").digest()


def _proof(endpoint_id: EndpointId, note: bytes) -> bytes:
    return blake2b(note, key=_key(endpoint_id), digest_size=_PROOF).digest()


def _echo_head(endpoint_id: EndpointId, version: int, clock: float) -> bytes:
    """With a checksum of zero."""
    day = struct.pack("!Q", int(clock // _DAY))
    identifier = blake2b(day, key=_key(endpoint_id), digest_size=2, person=b"identifier").digest()
    return struct.pack("!BBH", ECHO[version], 0, 0) + identifier + bytes(2)


def _with_checksum(message: bytes) -> bytes:
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def _ip_header(source: Ip, to: Ip, payload: int) -> bytes:
    """As it is where the packet can go no farther: with one hop left (RFC 791 §3.1, RFC 8200 §3)."""
    if source.version == 6:
        return struct.pack("!IHBB", 6 << 28, payload, PROTOCOL[6], 1) + source.packed + to.packed
    header = struct.pack("!BBHHHBBH", 0x45, 0, _IP_HEADER[4] + payload, 0, 0, 1, PROTOCOL[4], 0)
    header += source.packed + to.packed
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:]
