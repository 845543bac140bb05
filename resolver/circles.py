"""Circles: who knows whom among contacts, as far as both sides of each acquaintance let it be told. No I/O.

A contact may *introduce* those of its own contacts who agreed to it: that is its circle, as it is told to us. Who agreed
to be introduced by us, with the record to pass on, is a *consent*. Both go out of date by themselves, so that who takes
them back is believed within a day, whether it can be reached or not.

On the wire, in msgpack: who asks says whether it may be introduced, and by which record, and whether its own circle is another
than it told last; it is answered by a circle.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from resolver.errors import InvalidState, MalformedRecord, RecordError
from resolver.limits import (
    CIRCLE_ASKED_BYTES,
    CIRCLE_MEMBERS,
    CIRCLE_SECONDS,
    CIRCLE_TOLD_BYTES,
    CIRCLES,
    CIRCLES_MEMBERS,
    CONSENT_SECONDS,
    CONSENTS,
)
from resolver.signed_packets import LARGEST, SignedPacket, newer_of
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True, slots=True)
class Member:
    """One endpoint of a circle."""

    endpoint_id: EndpointId
    packet: SignedPacket | None = None
    """The record that it wants to be passed on."""


@dataclass(frozen=True, slots=True)
class _Circle:
    members: dict[EndpointId, Member]
    told_at: float


class Circles:
    """What contacts told of their circles, and who may be told of by us; bounded. Times are unix seconds."""

    __slots__ = ("_circles", "_consents")

    def __init__(self) -> None:
        self._circles: dict[EndpointId, _Circle] = {}
        self._consents: dict[EndpointId, tuple[Member, float]] = {}

    def __repr__(self) -> str:
        return f"<Circles of {len(self._circles)} contacts, {len(self._consents)} consents>"

    # --- circles of others ------------------------------------------------------------------------------

    def told(self, introducer: EndpointId, members: Iterable[Member], now: float) -> bool:
        """A contact told its whole circle; returns whether others are in it than before.

        What is beyond CIRCLE_MEMBERS, or CIRCLES_MEMBERS in all circles, is not kept.
        """
        before = self._circles.pop(introducer, None)
        if len(self._circles) >= CIRCLES:
            del self._circles[next(iter(self._circles))]
        room = CIRCLES_MEMBERS - sum(len(circle.members) for circle in self._circles.values())
        kept: dict[EndpointId, Member] = {}
        for member in members:
            if len(kept) >= min(room, CIRCLE_MEMBERS):
                break
            if member.endpoint_id != introducer:
                kept[member.endpoint_id] = member
        self._circles[introducer] = _Circle(kept, now)
        return before is None or before.members.keys() != kept.keys()

    def has_members(self, introducer: EndpointId) -> bool:
        """Whether a contact introduced anybody."""
        circle = self._circles.get(introducer)
        return circle is not None and bool(circle.members)

    def told_at(self, introducer: EndpointId) -> float | None:
        """When a contact last told its circle."""
        circle = self._circles.get(introducer)
        return circle.told_at if circle is not None else None

    def is_member(self, introducer: EndpointId, endpoint_id: EndpointId, now: float) -> bool:
        """Whether a contact introduced the endpoint, and not too long ago."""
        circle = self._circles.get(introducer)
        return circle is not None and endpoint_id in circle.members and now - circle.told_at < CIRCLE_SECONDS

    def introducers_of(self, endpoint_id: EndpointId, now: float) -> tuple[EndpointId, ...]:
        """The contacts who introduced the endpoint."""
        return tuple(one for one in self._circles if self.is_member(one, endpoint_id, now))

    def packet_of(self, endpoint_id: EndpointId, now: float) -> SignedPacket | None:
        """The newest record of the endpoint that a contact passed on."""
        newest: SignedPacket | None = None
        for introducer in self.introducers_of(endpoint_id, now):
            packet = self._circles[introducer].members[endpoint_id].packet
            if packet is not None:
                newest = packet if newest is None else newer_of(newest, packet)
        return newest

    # --- who may be told of by us -----------------------------------------------------------------------

    def consented(self, member: Member, now: float) -> None:
        """A contact agrees to be introduced, for CONSENT_SECONDS."""
        self._consents.pop(member.endpoint_id, None)
        if len(self._consents) >= CONSENTS:
            del self._consents[next(iter(self._consents))]
        self._consents[member.endpoint_id] = member, now

    def refused(self, endpoint_id: EndpointId) -> None:
        """A contact does not agree, or no more."""
        self._consents.pop(endpoint_id, None)

    def refuse_all(self) -> None:
        """We introduce nobody any more: who agreed is asked again if we ever do."""
        self._consents.clear()

    def agreed(self, now: float) -> frozenset[EndpointId]:
        """All who agreed."""
        return frozenset(who for who, (_, at) in self._consents.items() if now - at < CONSENT_SECONDS)

    def own(self, asker: EndpointId, now: float) -> tuple[Member, ...]:
        """Our circle as `asker` may be told it: all who agreed, but itself, the newest first."""
        agreed = [member for member, at in self._consents.values() if now - at < CONSENT_SECONDS]
        return tuple(member for member in reversed(agreed) if member.endpoint_id != asker)[:CIRCLE_MEMBERS]

    def keep_only(self, is_contact: Callable[[EndpointId], bool]) -> bool:
        """Of who is no contact any more, neither word nor consent counts; whether there was anything of that kind."""
        gone = [who for who in {*self._circles, *self._consents} if not is_contact(who)]
        for who in gone:
            self._circles.pop(who, None)
            self._consents.pop(who, None)
        return bool(gone)

    def expire(self, now: float) -> bool:
        """Forget what is too old to count; whether there was any circle of that age."""
        old = [who for who, circle in self._circles.items() if now - circle.told_at >= CIRCLE_SECONDS]
        for who in old:
            del self._circles[who]
        for who in [who for who, (_, at) in self._consents.items() if now - at >= CONSENT_SECONDS]:
            del self._consents[who]
        return bool(old)

    # --- on disk ----------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return {
            "circles": {
                str(introducer): {
                    "told_at": circle.told_at,
                    "members": [_to_json(member) for member in circle.members.values()],
                }
                for introducer, circle in self._circles.items()
            },
            "consents": [{**_to_json(member), "at": at} for member, at in self._consents.values()],
        }

    @classmethod
    def from_json(cls, saved: object) -> Circles:
        """Read what `to_json` gave; InvalidState if it is damaged."""
        circles = cls()
        try:
            read = msgspec.convert(saved, _Saved)
            for introducer, circle in read.circles.items():
                circles.told(EndpointId.parse(introducer), map(_member, circle.members), circle.told_at)
            for consent in read.consents:
                circles.consented(_member(consent), consent.at)
        except (msgspec.ValidationError, RecordError, ValueError) as error:
            raise InvalidState(f"the saved circles are damaged: {error}") from None
        return circles


# --- on the wire ----------------------------------------------------------------------------------------

_PacketBytes = Annotated[bytes, msgspec.Meta(max_length=LARGEST)]
_IdBytes = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class _Asked(msgspec.Struct, frozen=True, array_like=True):
    introducible: bool
    packet: _PacketBytes = b""
    has_news: bool = False


class _Told(msgspec.Struct, frozen=True, array_like=True):
    endpoint_id: _IdBytes
    packet: _PacketBytes = b""


_encode = msgspec.msgpack.Encoder().encode
_decode_asked = msgspec.msgpack.Decoder(_Asked).decode
_decode_told = msgspec.msgpack.Decoder(Annotated[list[_Told], msgspec.Meta(max_length=CIRCLE_MEMBERS)]).decode


@dataclass(frozen=True, slots=True)
class Question:
    """What who asks for a circle says of itself."""

    asker: Member | None
    """As it may be introduced; None if it may not."""
    has_news: bool
    """Whether its own circle is another than it told us last, so that it is to be asked in its turn."""


def encode_question(*, introducible: bool, packet: SignedPacket | None, has_news: bool = False) -> bytes:
    """Ask for a circle, and say whether we may be introduced, and by which record of ours."""
    told = packet.to_bytes() if introducible and packet is not None else b""
    return _encode(_Asked(introducible, told, has_news))


def decode_question(data: bytes, asker: EndpointId) -> Question:
    """What `asker` says; MalformedRecord or another RecordError."""
    asked: _Asked = _decoded(_decode_asked, data, CIRCLE_ASKED_BYTES)
    member = Member(asker, _packet(asked.packet, asker)) if asked.introducible else None
    return Question(member, asked.has_news)


def encode_circle(members: Iterable[Member]) -> bytes:
    """Our circle, as it is told."""
    return _encode(
        [
            _Told(member.endpoint_id.key, member.packet.to_bytes() if member.packet is not None else b"")
            for member in members
        ]
    )


def decode_circle(data: bytes) -> tuple[Member, ...]:
    """A circle that was told; MalformedRecord or another RecordError if any of it is wrong."""
    told: list[_Told] = _decoded(_decode_told, data, CIRCLE_TOLD_BYTES)
    members = []
    for one in told:
        try:
            endpoint_id = EndpointId(one.endpoint_id)
        except ValueError as error:
            raise MalformedRecord(f"a circle names an endpoint that cannot be: {error}") from None
        members.append(Member(endpoint_id, _packet(one.packet, endpoint_id)))
    return tuple(members)


def _decoded(decode: Any, data: bytes, most: int) -> Any:  # noqa: ANN401 - a decoder of msgspec and its value
    if len(data) > most:
        raise MalformedRecord(f"{len(data)} bytes about a circle; at most {most} are read")
    try:
        return decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedRecord(f"what was said about a circle cannot be read: {error}") from None


def _packet(data: bytes, owner: EndpointId) -> SignedPacket | None:
    """The record of `owner`, verified; None for none."""
    if not data:
        return None
    packet = SignedPacket.parse(data)
    if packet.endpoint_id != owner:
        raise MalformedRecord(f"the record beside {owner.short}… is that of {packet.endpoint_id.short}…")
    return packet


class _SavedMember(msgspec.Struct):
    id: str
    record: str = ""
    at: float = 0.0


class _SavedCircle(msgspec.Struct):
    told_at: float
    members: list[_SavedMember]


class _Saved(msgspec.Struct):
    circles: dict[str, _SavedCircle] = {}
    consents: list[_SavedMember] = []


def _to_json(member: Member) -> dict[str, Any]:
    record = base64.b64encode(member.packet.to_bytes()).decode() if member.packet is not None else ""
    return {"id": str(member.endpoint_id), "record": record}


def _member(saved: _SavedMember) -> Member:
    endpoint_id = EndpointId.parse(saved.id)
    try:
        return Member(endpoint_id, _packet(base64.b64decode(saved.record, validate=True), endpoint_id))
    except binascii.Error:
        raise ValueError(f"the record of {endpoint_id.short}… is not base64") from None
