"""How others are reached, as the endpoint below tells it: paths, beacons and decisions, made into reports for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from gateway.control import paths, status
from tunnels.addresses import Address, RelayAddress, SocketAddress, TcpAddress, TurnAddress
from tunnels.paths.candidates import Tier, tier_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.control.base import PathWord
    from tunnels.addresses import PathAddress
    from tunnels.identity import EndpointId
    from tunnels.mapped_port import MappingStatus
    from tunnels.paths.candidates import Candidate, CandidateKind, PathPolicy
    from tunnels.paths.reports import PathReport
    from tunnels.paths.trace import TraceEntry
    from tunnels.transports.relayed import RelayStatus


class PathsReport(Protocol):
    """Everything about the paths of the connection with one endpoint."""

    @property
    def paths(self) -> Sequence[PathReport]:
        """Every path, with the peer's candidate that it goes to."""

    @property
    def own_candidates(self) -> Sequence[Candidate]:
        """What the peer was told of us."""

    @property
    def trace(self) -> Sequence[TraceEntry]:
        """What was decided, oldest first."""


class Reach(Protocol):
    """What is asked of the endpoint here."""

    def paths(self, endpoint_id: EndpointId) -> PathsReport | None:
        """The paths of the connection in use; None if there is none."""

    def set_policy(self, endpoint_id: EndpointId, policy: PathPolicy) -> None:
        """Use only such paths to this endpoint from now on."""

    def relays(self) -> tuple[RelayStatus, ...]:
        """Our beacons, the home first, and others we are connected to."""


_WORDS: Final[dict[Tier, PathWord]] = {
    Tier.LAN: "LAN",
    Tier.DIRECT: "direct",
    Tier.TCP: "TCP",
    Tier.TURN: "TURN",
    Tier.RELAY: "relay",
}


def _nobody(_: RelayAddress) -> bool:
    return False


def path_word(
    address: PathAddress | None,
    report: PathsReport | None = None,
    *,
    is_lent: Callable[[RelayAddress], bool] = _nobody,
) -> PathWord:
    """What kind of path goes to this address; the report knows more than the address tells.

    `is_lent` tells whether a relay is a gateway's, lent to its contacts.
    """
    if address is None:
        return "direct"
    known = next((path for path in (report.paths if report else ()) if path.address == address), None)
    return _word(address, known.tier if known is not None else tier_of(address), is_lent)


def _word(address: PathAddress, tier: Tier, is_lent: Callable[[RelayAddress], bool]) -> PathWord:
    return "peer relay" if isinstance(address, RelayAddress) and is_lent(address) else _WORDS[tier]


def word_of(
    report: PathsReport | None, *, is_lent: Callable[[RelayAddress], bool] = _nobody
) -> PathWord | None:
    """The kind of path that data takes; None if there is none."""
    used = selected(report)
    return None if used is None else _word(used.address, used.tier, is_lent)


def tier_word(tier: Tier) -> PathWord:
    """A kind of path, where nothing is known of who lends a relay."""
    return _WORDS[tier]


def via(address: PathAddress | None, word: str) -> str:
    """A path for people: `relay eu1.example`, `peer relay 192.0.2.7:7443`, `203.0.113.9:41641 (direct)`, `192.0.2.9:7 (TURN)`."""
    match address:
        case None:
            return "no known path"
        case RelayAddress():
            return f"{word} {address.beacon.authority}"
        case TurnAddress() | SocketAddress() | TcpAddress():
            return f"{address.peer} ({word})"
        case Address():
            return f"{address} ({word})"


def selected(report: PathsReport | None) -> PathReport | None:
    """The path that data takes."""
    return next((path for path in (report.paths if report else ()) if path.is_selected), None)


def path_report(path: PathReport, *, is_lent: Callable[[RelayAddress], bool] = _nobody) -> paths.PathReport:
    """One path."""
    return paths.PathReport(
        address=str(path.address),
        kind=_kind(path.kind),
        path=_word(path.address, path.tier, is_lent),
        state=path.state.value,
        selected=path.is_selected,
        trusted=path.is_trusted,
        lossy=path.is_lossy,
        rtt_ms=_ms(path.rtt),
        min_rtt_ms=_ms(path.min_rtt),
        observed=str(path.observed or ""),
        bytes_in=path.bytes_received,
        bytes_out=path.bytes_sent,
        state_seconds=path.in_state_for,
        selected_seconds=path.selected_for,
        answered_ago=path.answered_ago,
        heard_ago=path.heard_ago,
    )


def candidate_report(
    candidate: Candidate, *, is_lent: Callable[[RelayAddress], bool] = _nobody
) -> paths.CandidateReport:
    """One place where we told a peer that we are."""
    return paths.CandidateReport(
        address=str(candidate.address),
        kind=_kind(candidate.kind),
        path=_word(candidate.address, candidate.tier, is_lent),
    )


def trace_report(entry: TraceEntry, now: float) -> paths.DecisionReport:
    """One decision; `now` is the event loop's clock."""
    return paths.DecisionReport(
        at=entry.at, ago=max(0.0, now - entry.at), what=entry.what, why=entry.why, times=entry.times
    )


def beacon_report(relay: RelayStatus) -> status.BeaconReport:
    """One beacon."""
    welcome = relay.welcome
    limits = welcome.limits if welcome is not None else None
    return status.BeaconReport(
        url=str(relay.url),
        state=relay.state.value,
        home=relay.is_home,
        seconds=relay.connected_seconds,
        observed=welcome.observed if welcome is not None else "",
        relays=welcome.relays if welcome is not None else True,
        policy=welcome.policy if welcome is not None else "",
        left_bytes=limits.left_bytes if limits is not None and limits.quota_bytes else None,
        credit_bytes=limits.credit_bytes if limits is not None else 0,
        bytes_in=relay.bytes_received,
        bytes_out=relay.bytes_sent,
        error=relay.error,
    )


def port_mapping_report(mapping: MappingStatus) -> status.PortMappingReport:
    """Our port at the router."""
    return status.PortMappingReport(
        external=str(mapping.external or ""),
        protocol=mapping.protocol,
        router=mapping.router,
        state=mapping.verdict.value if mapping.external is not None else "",
        problem=mapping.problem,
    )


def _kind(kind: CandidateKind) -> str:
    return kind.name.lower().replace("_", "-")


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
