"""What a connection's paths tell: events for the driver, and their state as values, for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tunnels.addresses import Address, PathAddress
    from tunnels.paths.candidates import CandidateKind, Tier
    from tunnels.paths.checks import Cross
    from tunnels.paths.path import PathState


@dataclass(frozen=True, slots=True)
class Switched:
    """Another path is the selected one."""

    old: PathAddress | None
    new: PathAddress
    why: str


@dataclass(frozen=True, slots=True)
class Healed:
    """QUIC heard nothing, and now a ping was answered: it need not wait for its backed-off timer."""

    address: PathAddress


@dataclass(frozen=True, slots=True)
class Doubted:
    """The selected path is not trusted any more: a NAT may have forgotten it, and show us at another address now."""

    address: PathAddress


@dataclass(frozen=True, slots=True)
class Offered:
    """The peer says that it may be reached at other places than before, or that its network is another one."""


@dataclass(frozen=True, slots=True)
class Crossed:
    """The peer says how an attempt to cross our NATs stands at its end."""

    cross: Cross


@dataclass(frozen=True, slots=True)
class Woken:
    """Data flows again: a better path is worth an effort."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes on the wire, of a connection's datagrams; the pings of paths are not counted."""

    sent: int = 0
    received: int = 0

    def __add__(self, other: Moved) -> Moved:
        return Moved(self.sent + other.sent, self.received + other.received)


def all_moved(parts: Iterable[Mapping[Tier, Moved]]) -> dict[Tier, Moved]:
    """The sums by kind of path."""
    sums: dict[Tier, Moved] = {}
    for part in parts:
        for tier, moved in part.items():
            sums[tier] = sums.get(tier, Moved()) + moved
    return sums


PathEvent = Switched | Healed | Doubted | Offered | Crossed | Woken


@dataclass(frozen=True, slots=True)
class PathReport:
    """One path as it is now. Times are in seconds; None where something never happened."""

    address: PathAddress
    kind: CandidateKind
    tier: Tier
    state: PathState
    """Of the direction in which we send."""
    is_selected: bool
    is_trusted: bool
    rtt: float | None
    """Smoothed."""
    min_rtt: float | None
    """The shortest of late."""
    is_lossy: bool
    observed: Address | None
    """What the peer saw our pings come from."""
    bytes_sent: int
    bytes_received: int
    in_state_for: float | None
    selected_for: float | None
    """How long it has been the selected one; None if it is not."""
    answered_ago: float | None
    heard_ago: float | None
    """Of the peer's direction: when something of the connection last came from there."""
