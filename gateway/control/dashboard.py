"""What `overlay dash` is told, on the wire."""

from __future__ import annotations

from gateway.control.base import Report


class LoginReport(Report, frozen=True, kw_only=True):
    """A way into the dashboard, for one browser."""

    url: str
    """A secret until it was used: it holds the token."""
    seconds: float
    """How long it is good."""
    note: str = ""
    """Who else may get at that port, where that is more than our own user; empty if nobody may."""
