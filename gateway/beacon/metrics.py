"""The counters of a beacon for Prometheus, read when they are asked for: nothing is kept twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway import exposition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.metrics_core import Metric

    from gateway.beacon.door import Door
    from gateway.beacon.hub import Hub
    from gateway.beacon.record_routes import RecordRoutes
    from gateway.beacon.sessions import Sessions

_BEACON: Final = exposition.Families("overlay_beacon_")


class Metrics:
    """One beacon's own; several beacons in one process do not mix."""

    def __init__(self, hub: Hub, sessions: Sessions, door: Door, records: RecordRoutes | None) -> None:
        self._hub, self._sessions, self._door, self._records = hub, sessions, door, records

    def text(self) -> bytes:
        """In Prometheus's text format 0.0.4."""
        return exposition.text(self._collect)

    def _collect(self) -> Iterable[Metric]:
        one, of_each = _BEACON.counter, _BEACON.counters
        counters = self._hub.counters
        yield _BEACON.gauge("sessions", "Gateways connected to this node.", len(self._hub))
        yield _BEACON.gauge("anonymous_connections", "Connections that have proved no id.", len(self._door))
        yield _BEACON.gauge("queued_bytes", "Bytes that wait for slow receivers.", self._hub.queued)
        yield one("relayed_bytes", "Bytes passed on between gateways.", counters.relayed_bytes)
        yield one("logins", "Gateways that proved their id.", counters.logins)
        yield one("replaced", "Connections replaced by a newer one of the same id.", counters.replaced)
        yield one("turned_away", "Connections refused because there were too many.", self._door.turned_away)
        yield of_each("frames", "Frames passed on.", "kind", counters.frames)
        yield of_each("dropped_frames", "Frames dropped.", "reason", counters.dropped)
        yield of_each("failed_logins", "Logins that came to nothing.", "reason", self._sessions.failed)
        if self._records is not None:
            yield of_each("records", "Requests for records.", "result", self._records.counts)
