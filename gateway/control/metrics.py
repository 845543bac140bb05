"""The figures of a gateway as Prometheus reads them, on the wire of the control socket."""

from __future__ import annotations

from gateway.control.base import Report


class MetricsReport(Report, frozen=True, kw_only=True):
    """All figures."""

    text: str
    """In Prometheus's text format 0.0.4."""
    served_at: str = ""
    """The URL where Prometheus may fetch them; empty when none is served."""
