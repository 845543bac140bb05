"""The counters of a beacon for Prometheus, read when they are asked for: nothing is kept twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client.metrics_core import Metric

    from gateway.beacon.door import Door
    from gateway.beacon.hub import Hub
    from gateway.beacon.record_routes import RecordRoutes
    from gateway.beacon.sessions import Sessions


class Metrics:
    """One beacon's own registry; several beacons in one process do not mix."""

    def __init__(self, hub: Hub, sessions: Sessions, door: Door, records: RecordRoutes | None) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Counters(hub, sessions, door, records))

    def text(self) -> bytes:
        """In Prometheus's text format 0.0.4."""
        return generate_latest(self._registry)


class _Counters(Collector):
    def __init__(self, hub: Hub, sessions: Sessions, door: Door, records: RecordRoutes | None) -> None:
        self._hub, self._sessions, self._door, self._records = hub, sessions, door, records

    def collect(self) -> Iterable[Metric]:
        """Everything as it is now."""
        counters = self._hub.counters
        yield _gauge("sessions", "Gateways connected to this node.", len(self._hub))
        yield _gauge("anonymous_connections", "Connections that have proved no id.", len(self._door))
        yield _gauge("queued_bytes", "Bytes that wait for slow receivers.", self._hub.queued)
        yield _counter("relayed_bytes", "Bytes passed on between gateways.", counters.relayed_bytes)
        yield _counter("logins", "Gateways that proved their id.", counters.logins)
        yield _counter("replaced", "Connections replaced by a newer one of the same id.", counters.replaced)
        yield _counter(
            "turned_away", "Connections refused because there were too many.", self._door.turned_away
        )
        yield _counters("frames", "Frames passed on.", "kind", counters.frames)
        yield _counters("dropped_frames", "Frames dropped.", "reason", counters.dropped)
        yield _counters("failed_logins", "Logins that came to nothing.", "reason", self._sessions.failed)
        if self._records is not None:
            yield _counters("records", "Requests for records.", "result", self._records.counts)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"overlay_beacon_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"overlay_beacon_{name}", text, value=value)


def _counters(name: str, text: str, label: str, values: Mapping[str, float]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"overlay_beacon_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
