"""Counters in Prometheus's text format, read when they are asked for: nothing is kept twice.

Each who has some names a prefix and makes families with it; `text` writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client.metrics_core import Metric


CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Of what `text` gives."""


class Families:
    """Makes metrics whose names begin alike."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def gauge(self, name: str, text: str, value: float) -> GaugeMetricFamily:
        """A number that goes up and down."""
        return GaugeMetricFamily(self._prefix + name, text, value=value)

    def counter(self, name: str, text: str, value: float) -> CounterMetricFamily:
        """A number that only grows, while the process lives; `_total` is added to its name."""
        return CounterMetricFamily(self._prefix + name, text, value=value)

    def gauges(self, name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
        """A gauge for each value of a label."""
        family = GaugeMetricFamily(self._prefix + name, text, labels=[label])
        for key, value in values.items():
            family.add_metric([key], value)
        return family

    def counters(self, name: str, text: str, label: str, values: Mapping[str, float]) -> CounterMetricFamily:
        """A counter for each value of a label."""
        family = CounterMetricFamily(self._prefix + name, text, labels=[label])
        for key, value in values.items():
            family.add_metric([key], value)
        return family


def text(collect: Callable[[], Iterable[Metric]]) -> bytes:
    """What `collect` gives, in Prometheus's text format 0.0.4."""
    registry = CollectorRegistry()
    registry.register(_Collected(collect))
    return generate_latest(registry)


class _Collected(Collector):
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def describe(self) -> Iterable[Metric]:
        """Nothing: the registry need not look for names that are there twice."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Everything as it is now."""
        return self._collect()
