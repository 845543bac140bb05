"""What an endpoint tells people of its connections, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunnels.addresses import PathAddress
    from tunnels.dialing import Lane
    from tunnels.events import TunnelState
    from tunnels.identity import EndpointId
    from tunnels.paths.candidates import Candidate
    from tunnels.paths.reports import PathReport
    from tunnels.paths.trace import TraceEntry


@dataclass(frozen=True, slots=True)
class TunnelStatus:
    """One connection, for people."""

    endpoint_id: EndpointId
    state: TunnelState
    is_client: bool
    """Whether we dialled."""
    is_current: bool
    """Whether new streams go on it."""
    address: PathAddress | None
    """The path in use."""
    rtt: float | None
    """Seconds."""
    streams: int
    bytes_received: int
    bytes_sent: int
    age: float | None
    """Seconds since it opened."""
    is_side: bool = False
    """Whether whoever dialled has it beside the main one."""
    lane: Lane | None = None
    """Which of our own lanes it is."""
    trying: str = ""
    """The strategy that is tried for a direct path; empty if none is."""


@dataclass(frozen=True, slots=True)
class PathsReport:
    """The paths of one connection, for people."""

    paths: tuple[PathReport, ...]
    """The selected one first."""
    own_candidates: tuple[Candidate, ...]
    """What the peer was told of us."""
    trace: tuple[TraceEntry, ...]
    """What was decided, and why, the oldest first."""
