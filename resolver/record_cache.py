"""The newest valid record of each endpoint, whoever brought it: bounded, and forgotten when it expires."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolver.limits import CACHED_RECORDS
from resolver.records import EndpointRecord
from resolver.signed_packets import newer_of

if TYPE_CHECKING:
    from resolver.signed_packets import SignedPacket
    from tunnels.identity import EndpointId


@dataclass(frozen=True, slots=True)
class CachedRecord:
    """A record and where it came from."""

    packet: SignedPacket
    record: EndpointRecord
    source: str
    """The name of the record source that brought it first."""
    learned_at: float
    """Unix seconds."""

    def age(self, now: float) -> float:
        """Seconds since its owner signed it, by the owner's clock; never negative."""
        return max(0.0, now - self.record.timestamp / 1e6)


class RecordCache:
    """Records by endpoint; the least recently used goes when it is full."""

    __slots__ = ("_limit", "_records")

    def __init__(self, *, limit: int = CACHED_RECORDS) -> None:
        self._limit = limit
        self._records: dict[EndpointId, CachedRecord] = {}

    def __len__(self) -> int:
        return len(self._records)

    def __repr__(self) -> str:
        return f"<RecordCache of {len(self)} records>"

    def offer(self, packet: SignedPacket, source: str, now: float) -> CachedRecord:
        """Keep the packet unless a newer one is known; returns the one that counts now.

        MalformedRecord, ForeignVersion or RecordExpired says why it cannot be used; what was known stays.
        """
        known = self.get(packet.endpoint_id, now)
        if known is not None and newer_of(known.packet, packet) is known.packet:
            return known
        record = EndpointRecord.from_packet(packet)
        record.check_fresh(now)
        cached = CachedRecord(packet, record, source, now)
        self._records.pop(packet.endpoint_id, None)
        if len(self._records) >= self._limit:
            del self._records[next(iter(self._records))]
        self._records[packet.endpoint_id] = cached
        return cached

    def get(self, endpoint_id: EndpointId, now: float) -> CachedRecord | None:
        """The endpoint's record, unless it has expired at `now` (unix seconds)."""
        cached = self._records.pop(endpoint_id, None)
        if cached is None or cached.record.expires <= now:
            return None
        self._records[endpoint_id] = cached
        return cached
