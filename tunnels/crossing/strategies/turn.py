"""TURN: a server beside a beacon relays datagrams as they are, by UDP: nearly as good as direct, and not for nothing."""

from __future__ import annotations

from tunnels.crossing.description import NetworkClass
from tunnels.crossing.strategies.passive import Passive

STRATEGY = Passive(
    code=18,
    name="TURN",
    summary="a TURN server relays datagrams, where a beacon has one",
    fits=lambda pair: NetworkClass.BLOCKED not in pair.classes,
    chance=lambda _: 0.99,
    is_direct=False,
)
