"""How fast things move, made of two looks at what has moved: `LiveReport`s in, rows for people out. Without a clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.control.live import LiveReport, PeerLiveReport


@dataclass(frozen=True, slots=True)
class PeerRate:
    """One endpoint that is connected, and what moved since the last look."""

    peer: PeerLiveReport
    up: float
    """Bytes in a second that we sent; 0 at the first look."""
    down: float

    @property
    def name(self) -> str:
        """Its petname, or the beginning of its id."""
        return self.peer.petname or self.peer.endpoint_id[:8]


@dataclass(frozen=True, slots=True)
class Rates:
    """All of them at one moment."""

    peers: tuple[PeerRate, ...]
    up: float
    down: float
    cpu: float | None
    """Share of one processor, 1.0 for all of it; None at the first look."""


SORTS: Final[dict[str, Callable[[PeerRate], object]]] = {
    "rate": lambda row: (-(row.up + row.down), row.name),
    "name": lambda row: row.name,
    "rtt": lambda row: (row.peer.rtt is None, row.peer.rtt or 0.0, row.name),
    "bytes": lambda row: (-(row.peer.sent + row.peer.received), row.name),
    "streams": lambda row: (-(row.peer.streams + row.peer.flows), row.name),
}
"""What rows may be sorted by; the busiest, fastest or first comes first."""


def rates(before: LiveReport | None, after: LiveReport, sort: str = "rate") -> Rates:
    """What moved between two looks at one run of a gateway; between two runs, or without a look before, nothing did."""
    if before is not None and (before.started != after.started or after.moment <= before.moment):
        before = None
    seconds = after.moment - before.moment if before is not None else 1.0
    known = {peer.endpoint_id: peer for peer in before.peers} if before is not None else {}

    def of(peer: PeerLiveReport) -> PeerRate:
        then = known.get(peer.endpoint_id, peer)
        up, down = peer.sent - then.sent, peer.received - then.received
        return PeerRate(peer, max(0, up) / seconds, max(0, down) / seconds)

    then = before or after
    return Rates(
        peers=tuple(sorted(map(of, after.peers), key=SORTS[sort])),  # type: ignore[arg-type]
        up=(after.sent - then.sent) / seconds,
        down=(after.received - then.received) / seconds,
        cpu=(after.process.cpu_seconds - then.process.cpu_seconds) / seconds if before is not None else None,
    )
