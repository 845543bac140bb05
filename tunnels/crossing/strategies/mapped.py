"""Mapped port: the router of one of us leads a port to it, as it was asked to (PCP, NAT-PMP, UPnP) or told to by hand.

It counts once somebody came in by it, so it is as good as a public address, whatever kind of NAT it is.
"""

from __future__ import annotations

from tunnels.crossing.strategies.passive import Passive, meets

STRATEGY = Passive(
    code=7,
    name="mapped port",
    summary="the router of one of us leads a port to it, and the other one dials that",
    fits=lambda pair: (pair.mine.is_mapped or pair.theirs.is_mapped) and meets(pair),
    chance=lambda _: 0.99,
)
