"""Who was heard on the local network: verified within bounds, kept within bounds, forgotten in time. Sans-IO.

Whoever is on the network can say anything as often as he likes, in anybody's name. So a packet that is known already
costs nothing; others are looked at so many a second, those of contacts and of whom we look for on an account of their own;
and only strangers push strangers out. A goodbye is a record that has expired when it is signed: it is kept as long as an older
record of its owner would be good, so that nobody can bring that back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from resolver.discovery.lan_messages import claimed_id
from resolver.errors import RecordError
from resolver.limits import (
    LAN_HEARD_SECONDS,
    LAN_SOURCES,
    LAN_STRANGERS,
    LAN_VERIFIED_BURST,
    LAN_VERIFIED_PER_SECOND,
    LAN_VERIFIED_PER_SOURCE,
    LAN_WANTED_PER_SECOND,
)
from resolver.records import EndpointRecord
from resolver.signed_packets import LOCAL, SignedPacket, newer_of
from tunnels.bucket import Bucket
from tunnels.destinations import Destinations

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address, IPv6Address

    from tunnels.identity import EndpointId


class Hearing(Enum):
    """What came of a packet."""

    NEW = "new"
    """Of an endpoint that was not here."""
    NEWER = "newer"
    """Of one that was, and it says something else, or the same again later."""
    KNOWN = "known"
    """It was heard already."""
    OLDER = "older"
    """There is a newer one of this endpoint."""
    GONE = "gone"
    """It is a goodbye."""
    REFUSED = "refused"
    """It is no record, or forged, or has expired."""
    DROPPED = "dropped"
    """There were too many; it was not looked at."""
    OWN = "own"
    """It is of ourselves: networks give back what is sent to all."""


class _Presence(Enum):
    HERE = "here"
    LEFT = "left"
    """Somebody says that it left, perhaps not itself: whatever it says brings it back."""
    GONE = "gone"
    """It said goodbye itself: nothing older than that brings it back."""


@dataclass(slots=True)
class _Heard:
    packet: SignedPacket
    data: bytes
    at: float
    """When it was heard last, by the monotonic clock."""
    expires: float
    """Unix seconds."""
    presence: _Presence = _Presence.HERE


class Heard:
    """The endpoints that were heard. `now` is of a monotonic clock, `unix` is the time of day."""

    def __init__(self, own: EndpointId, is_known: Callable[[EndpointId], bool]) -> None:
        """`is_known` tells who is a contact of ours."""
        self._own = own
        self._is_known = is_known
        self._contacts: dict[EndpointId, _Heard] = {}
        self._others: dict[EndpointId, _Heard] = {}
        """Strangers, by how recently they were heard."""
        self._stranger_bucket = Bucket(LAN_VERIFIED_PER_SECOND, LAN_VERIFIED_BURST)
        self._wanted_bucket = Bucket(LAN_WANTED_PER_SECOND)
        self._sources = Destinations(
            LAN_VERIFIED_PER_SOURCE, LAN_VERIFIED_PER_SOURCE, LAN_SOURCES, makes_room=True
        )
        self.refused = 0
        """Packets that were forged, or no records."""
        self.dropped = 0
        """Packets that were not looked at, because there were too many."""

    def __len__(self) -> int:
        entries = (*self._contacts.values(), *self._others.values())
        return sum(entry.presence is _Presence.HERE for entry in entries)

    def __repr__(self) -> str:
        return f"<Heard {len(self)} endpoints>"

    def hear(
        self,
        data: bytes,
        source: IPv4Address | IPv6Address | None,
        now: float,
        unix: float,
        *,
        is_wanted: bool = False,
    ) -> Hearing:
        """Take a packet from `source`, None if that is not known; `is_wanted` if its endpoint is looked for."""
        endpoint_id = claimed_id(data)
        if endpoint_id == self._own:
            return Hearing.OWN
        entry = self._find(endpoint_id)
        if entry is not None and entry.data == data:
            return self._again(endpoint_id, entry, now, unix)
        if not self._may_verify(endpoint_id, source, now, is_wanted=is_wanted):
            self.dropped += 1
            return Hearing.DROPPED
        try:
            packet = SignedPacket.parse(data, salt=LOCAL)
            record = EndpointRecord.from_packet(packet)
        except RecordError:
            self.refused += 1
            return Hearing.REFUSED
        return self._take(packet, data, record, entry, now, unix)

    def get(self, endpoint_id: EndpointId, now: float, unix: float) -> SignedPacket | None:
        """What was heard of the endpoint, unless it is too old, or it said goodbye."""
        entry = self._find(endpoint_id)
        if entry is None or entry.presence is not _Presence.HERE or self._is_over(entry, now, unix):
            return None
        return entry.packet

    def heard_at(self, endpoint_id: EndpointId) -> float | None:
        """When it was heard last; None if it was not."""
        entry = self._find(endpoint_id)
        return None if entry is None else entry.at

    def left(self, endpoint_id: EndpointId) -> bool:
        """Somebody says that it left; whether it was here. If that is not true, it is asked for when it is wanted."""
        entry = self._find(endpoint_id)
        if entry is None or entry.presence is not _Presence.HERE:
            return False
        entry.presence = _Presence.LEFT
        return True

    def packets(self, now: float, unix: float) -> tuple[SignedPacket, ...]:
        """Of everybody who is here, the one heard last at the end; what is over is forgotten."""
        for table in (self._contacts, self._others):
            for endpoint_id in [each for each, entry in table.items() if self._is_over(entry, now, unix)]:
                del table[endpoint_id]
        everybody = sorted((*self._contacts.values(), *self._others.values()), key=lambda entry: entry.at)
        return tuple(entry.packet for entry in everybody if entry.presence is _Presence.HERE)

    def _again(self, endpoint_id: EndpointId, entry: _Heard, now: float, unix: float) -> Hearing:
        """The same as before."""
        if entry.expires <= unix:
            return Hearing.REFUSED
        if entry.presence is _Presence.GONE:
            return Hearing.KNOWN
        was_here = entry.presence is _Presence.HERE
        entry.presence = _Presence.HERE
        self._touch(endpoint_id, entry, now)
        return Hearing.KNOWN if was_here else Hearing.NEW

    def _take(
        self,
        packet: SignedPacket,
        data: bytes,
        record: EndpointRecord,
        entry: _Heard | None,
        now: float,
        unix: float,
    ) -> Hearing:
        if entry is not None and self._is_over(entry, now, unix):
            self._remove(packet.endpoint_id)
            entry = None
        if entry is not None and newer_of(entry.packet, packet) is entry.packet:
            return Hearing.OLDER
        if record.expires <= unix:
            if entry is None or entry.presence is _Presence.GONE:
                self.refused += 1
                return Hearing.REFUSED  # nothing that it could end
            entry.packet, entry.data, entry.presence = packet, data, _Presence.GONE
            return Hearing.GONE
        was_here = entry is not None and entry.presence is _Presence.HERE
        heard = _Heard(packet, data, now, float(record.expires))
        self._touch(packet.endpoint_id, heard, now)
        return Hearing.NEWER if was_here else Hearing.NEW

    def _find(self, endpoint_id: EndpointId) -> _Heard | None:
        return self._contacts.get(endpoint_id) or self._others.get(endpoint_id)

    def _remove(self, endpoint_id: EndpointId) -> None:
        self._contacts.pop(endpoint_id, None)
        self._others.pop(endpoint_id, None)

    def _touch(self, endpoint_id: EndpointId, entry: _Heard, now: float) -> None:
        entry.at = now
        self._remove(endpoint_id)
        if self._is_known(endpoint_id):
            self._contacts[endpoint_id] = entry
            return
        if len(self._others) >= LAN_STRANGERS:
            oldest, forgotten = next(iter(self._others.items()))
            del self._others[oldest]
            if self._is_known(oldest):  # by now
                self._contacts[oldest] = forgotten
        self._others[endpoint_id] = entry

    def _may_verify(
        self,
        endpoint_id: EndpointId,
        source: IPv4Address | IPv6Address | None,
        now: float,
        *,
        is_wanted: bool,
    ) -> bool:
        if source is not None and not self._sources.take(source, now):
            return False
        bucket = self._wanted_bucket if is_wanted or self._is_known(endpoint_id) else self._stranger_bucket
        return bucket.take(now)

    def _is_over(self, entry: _Heard, now: float, unix: float) -> bool:
        """What said goodbye is kept for as long as what it said before would be good."""
        return entry.expires <= unix or (
            entry.presence is not _Presence.GONE and entry.at + LAN_HEARD_SECONDS <= now
        )
