"""Reverse dial: we let the peer in, so it dials us; it learns our address by the path that works.

We have a public address or a full cone, or our NAT lets in whoever we sent to: then we send to the peer's ip first, and it may
come from any port. From the other end the same pair of networks is `direct`.
"""

from __future__ import annotations

from tunnels.crossing.strategies.passive import Passive, dial_chance, is_dialled

STRATEGY = Passive(
    code=2,
    name="reverse dial",
    summary="we let the peer in, so it dials us",
    fits=lambda pair: is_dialled(pair.swapped),
    chance=lambda pair: dial_chance(pair.swapped),
)
