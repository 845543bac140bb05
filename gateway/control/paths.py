"""Why datagrams to an endpoint go where they go, on the wire."""

from __future__ import annotations

from gateway.control.base import PathWord, Report


class CandidateReport(Report, frozen=True, kw_only=True):
    """One place where an endpoint might be reached."""

    address: str
    kind: str
    """How it is known: `host`, `server-reflexive`, `peer-reflexive`, `configured`, `relayed`, `relay`."""
    path: PathWord


class PathReport(Report, frozen=True, kw_only=True):
    """One path to a peer: the direction in which we send, and beside it what comes from there."""

    address: str
    kind: str
    path: PathWord
    state: str
    """`closed`, `opening`, `open`, `usable`, `stale`."""
    selected: bool = False
    """Whether our data goes this way."""
    trusted: bool = False
    """Whether it was answered so lately that nothing is sent twice."""
    lossy: bool = False
    rtt_ms: float | None = None
    min_rtt_ms: float | None = None
    observed: str = ""
    """Where the peer saw us on it."""
    bytes_in: int = 0
    bytes_out: int = 0
    state_seconds: float | None = None
    selected_seconds: float | None = None
    answered_ago: float | None = None
    """Seconds since a ping on it was answered."""
    heard_ago: float | None = None
    """Seconds since anything came from there."""


class DecisionReport(Report, frozen=True, kw_only=True):
    """Something that was decided about paths."""

    at: float
    """A clock of the daemon, only to be compared with others of these."""
    ago: float
    what: str
    why: str = ""
    times: int = 1


class PathsReport(Report, frozen=True, kw_only=True):
    """Why datagrams to an endpoint go where they go."""

    endpoint_id: str
    petname: str = ""
    policy: str = "auto"
    """Which paths may be used."""
    own_candidates: tuple[CandidateReport, ...] = ()
    """Where we told the peer that we are."""
    paths: tuple[PathReport, ...] = ()
    """To each place that is known of the peer."""
    decisions: tuple[DecisionReport, ...] = ()
    """Oldest first."""
