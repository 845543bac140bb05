"""What `overlay reload` is told, on the wire."""

from __future__ import annotations

from gateway.control.base import Report


class ReloadReport(Report, frozen=True, kw_only=True):
    """What a changed configuration did."""

    applied: tuple[str, ...] = ()
    """Dotted keys now in force."""
    restart: tuple[str, ...] = ()
    """Dotted keys that changed and wait for the next start."""
