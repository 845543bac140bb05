"""What moves now, on the wire: asked for each second by whoever draws it, so it is cheap to make and made of plain numbers.

All bytes are counts since the gateway started, as UDP or a relay's connection carried them; rates are differences that
the reader makes, of `moment`.
"""

from __future__ import annotations

from gateway.control.base import PathWord, Report


class ProcessReport(Report, frozen=True, kw_only=True):
    """What the gateway's process uses; None where this system does not tell."""

    rss: int | None = None
    """Resident bytes."""
    descriptors: int | None = None
    descriptors_most: int | None = None
    """How many it may have open."""
    cpu_seconds: float = 0.0
    """Since it started, of all its threads, in user and system mode."""
    threads: int = 0
    tasks: int = 0
    """Asyncio tasks."""


class MovedReport(Report, frozen=True, kw_only=True):
    """Bytes that went by one kind of path."""

    path: PathWord
    """A relay that a gateway lends counts as `relay` here."""
    sent: int = 0
    received: int = 0


class LaneReport(Report, frozen=True, kw_only=True):
    """A connection of ours beside the main one, for profiles that need one."""

    profile: str = ""
    """The one that has it for itself; empty for all that want such paths."""
    policy: str = "auto"
    """Which paths it may use."""
    path: PathWord = "direct"
    where: str = ""
    rtt: float | None = None
    streams: int = 0
    sent: int = 0
    """Bytes of its streams."""
    received: int = 0


class PeerLiveReport(Report, frozen=True, kw_only=True):
    """An endpoint that a connection is up with."""

    endpoint_id: str
    petname: str = ""
    """Empty when it is no contact."""
    path: PathWord = "direct"
    where: str = ""
    """The address its datagrams go to, or the relay's, in words: `203.0.113.9:41641 (direct)`, `relay eu1.example`."""
    path_seconds: float | None = None
    """How long they have gone there."""
    rtt: float | None = None
    """Smoothed round trip in seconds; None before the first measurement."""
    sent: int = 0
    """Bytes since the gateway started, over all connections with the endpoint and all their paths."""
    received: int = 0
    moved: tuple[MovedReport, ...] = ()
    """The same by kind of path, the best first."""
    streams: int = 0
    flows: int = 0
    """UDP flows, of either side."""
    seconds: float = 0.0
    """How long the connection has been up."""
    trying: str = ""
    """The strategy that is tried for a direct path now."""
    lanes: tuple[LaneReport, ...] = ()
    """Connections beside the one that is told of here; if there is no main one, the first of them is told of above, too."""


class LiveReport(Report, frozen=True, kw_only=True):
    """Everything that moves."""

    moment: float
    """Seconds of the gateway's monotonic clock: only differences mean something."""
    started: float
    """When the gateway started, by the same clock."""
    process: ProcessReport
    peers: tuple[PeerLiveReport, ...] = ()
    sent: int = 0
    """Bytes since the start with everybody, those included that are gone."""
    received: int = 0
    moved: tuple[MovedReport, ...] = ()
    streams: int = 0
    flows: int = 0
