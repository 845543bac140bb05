"""The newest valid records of each endpoint, read and ready: bounded, and forgotten when they expire.

An endpoint signs one record for each `Scope`, so the newest of each counts beside those of the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolver.discovery.base import Scope
from resolver.limits import READY_RECORDS
from resolver.records import EndpointRecord
from resolver.signed_packets import newer_of

if TYPE_CHECKING:
    from resolver.signed_packets import SignedPacket
    from tunnels.identity import EndpointId


@dataclass(frozen=True, slots=True)
class KeptPacket:
    """A packet that was kept, on disk or in the address book, and where it came from."""

    packet: SignedPacket
    source: str
    """The name of the record source that brought it first."""
    learned_at: float
    """Unix seconds."""
    scope: Scope = Scope.PUBLIC


@dataclass(frozen=True, slots=True)
class CachedRecord:
    """A record and where it came from."""

    packet: SignedPacket
    record: EndpointRecord
    source: str
    """The name of the record source that brought it first."""
    learned_at: float
    """Unix seconds."""
    scope: Scope = Scope.PUBLIC

    def age(self, now: float) -> float:
        """Seconds since its owner signed it, by the owner's clock; never negative."""
        return max(0.0, now - self.record.timestamp / 1e6)


class RecordCache:
    """Records by endpoint; the least recently used endpoint goes when it is full."""

    __slots__ = ("_limit", "_records")

    def __init__(self, *, limit: int = READY_RECORDS) -> None:
        """`limit` is a number of endpoints."""
        self._limit = limit
        self._records: dict[EndpointId, dict[Scope, CachedRecord]] = {}

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, endpoint_id: EndpointId) -> bool:
        """Whether there is anything of the endpoint; it does not count as used by that."""
        return endpoint_id in self._records

    def __repr__(self) -> str:
        return f"<RecordCache of {len(self)} endpoints>"

    def offer(
        self, packet: SignedPacket, source: str, now: float, scope: Scope = Scope.PUBLIC
    ) -> CachedRecord:
        """Keep the packet unless a newer one of its scope is known; returns the one that counts there now.

        MalformedRecord, ForeignVersion or RecordExpired says why it cannot be used; what was known stays.
        """
        return self.recall(KeptPacket(packet, source, now, scope), now)

    def recall(self, kept: KeptPacket, now: float) -> CachedRecord:
        """As `offer`, of a packet that was learned earlier."""
        packet, scope = kept.packet, kept.scope
        known = self._fresh(packet.endpoint_id, now).get(scope)
        if known is not None and newer_of(known.packet, packet) is known.packet:
            return known
        record = EndpointRecord.from_packet(packet)
        record.check_fresh(now)
        cached = CachedRecord(packet, record, kept.source, kept.learned_at, scope)
        if packet.endpoint_id not in self._records and len(self._records) >= self._limit:
            del self._records[next(iter(self._records))]
        self._records.setdefault(packet.endpoint_id, {})[scope] = cached
        return cached

    def get(self, endpoint_id: EndpointId, now: float) -> CachedRecord | None:
        """The endpoint's newest record of all scopes, unless it has expired at `now` (unix seconds)."""
        return next(iter(self.all(endpoint_id, now)), None)

    def all(self, endpoint_id: EndpointId, now: float) -> tuple[CachedRecord, ...]:
        """The newest record of each scope that has not expired at `now`, the newest of them first."""
        records = self._fresh(endpoint_id, now).values()
        return tuple(sorted(records, key=lambda cached: cached.record.timestamp, reverse=True))

    def shrink(self) -> None:
        """Keep a fourth, those used last: memory is short. What is dropped is on disk, or comes again."""
        for endpoint_id in list(self._records)[: len(self._records) * 3 // 4]:
            del self._records[endpoint_id]

    def forget(self, endpoint_id: EndpointId) -> None:
        """Drop what is known of the endpoint."""
        self._records.pop(endpoint_id, None)

    def _fresh(self, endpoint_id: EndpointId, now: float) -> dict[Scope, CachedRecord]:
        """What is known of the endpoint and has not expired; it counts as used."""
        known = self._records.pop(endpoint_id, {})
        fresh = {scope: cached for scope, cached in known.items() if cached.record.expires > now}
        if fresh:
            self._records[endpoint_id] = fresh
        return fresh
