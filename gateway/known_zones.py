"""The zones of all endpoints, as far as they are known here: our own, and those of the records that were learnt.

Names are looked up many times for each record that comes, so what the newest record says is kept apart until the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.limits import ZONES_KNOWN

if TYPE_CHECKING:
    from collections.abc import Callable

    from resolver.record_cache import CachedRecord
    from resolver.zone_entries import ZoneEntry
    from tunnels.identity import EndpointId


class KnownZones:
    """Zones by endpoint; bounded, for anybody may ask for names of anybody."""

    def __init__(
        self,
        own: tuple[EndpointId, Callable[[], tuple[ZoneEntry, ...]]],
        record_of: Callable[[EndpointId], CachedRecord | None],
        clock: Callable[[], float],
        *,
        limit: int = ZONES_KNOWN,
    ) -> None:
        """`record_of` gives the newest record that is known without asking anybody; `clock` gives unix seconds."""
        self._own_id, self._own = own
        self._record_of = record_of
        self._clock = clock
        self._limit = limit
        self.on_change: Callable[[EndpointId], None] = lambda _: None
        """Told when a newer record says something else of its owner's zone."""
        self._known: dict[EndpointId, tuple[tuple[ZoneEntry, ...], float]] = {}

    def __repr__(self) -> str:
        return f"<KnownZones of {len(self._known)} endpoints>"

    def of(self, endpoint_id: EndpointId) -> tuple[ZoneEntry, ...]:
        """The zone of an endpoint, empty if none is known or its record has expired."""
        if endpoint_id == self._own_id:
            return self._own()
        known = self._known.get(endpoint_id)
        if known is None or known[1] <= self._clock():
            known = self._read(endpoint_id)
        return known[0]

    def learned(self, endpoint_id: EndpointId) -> None:
        """There is a newer record."""
        known = self._known.pop(endpoint_id, None)
        if known is not None and self._read(endpoint_id)[0] != known[0]:
            self.on_change(endpoint_id)

    def _read(self, endpoint_id: EndpointId) -> tuple[tuple[ZoneEntry, ...], float]:
        cached = self._record_of(endpoint_id)
        if len(self._known) >= self._limit:
            self._known.clear()
        # Who has no record has none until one is learnt.
        known = ((), float("inf")) if cached is None else (cached.record.zone, float(cached.record.expires))
        self._known[endpoint_id] = known
        return known
