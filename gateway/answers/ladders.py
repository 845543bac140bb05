"""What would be tried between this network and others, in words for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.control.netcheck import LadderReport, RungReport
from tunnels.crossing.description import Description, NetworkClass, Pair
from tunnels.crossing.history import History
from tunnels.crossing.ladder import ladder
from tunnels.crossing.typical import typical

if TYPE_CHECKING:
    from tunnels.crossing.ladder import Rung


def ladders(mine: Description) -> tuple[LadderReport, ...]:
    """With a usual peer in each kind of network, the easiest first, as if the two met for the first time."""
    return tuple(ladder_with(Pair(mine, typical(kind)), str(kind), History()) for kind in NetworkClass)


def ladder_with(pair: Pair, peer: str, history: History) -> LadderReport:
    """With a peer in that network, as people call it."""
    return LadderReport(peer=peer, rungs=tuple(map(_rung, ladder(pair, history))))


def _rung(rung: Rung) -> RungReport:
    return RungReport(
        strategy=rung.strategy.name,
        why=rung.why,
        is_direct=rung.is_direct,
        success=round(rung.success, 3),
        seconds=rung.cost.seconds,
        datagrams=rung.cost.datagrams,
        sockets=rung.cost.sockets,
    )
