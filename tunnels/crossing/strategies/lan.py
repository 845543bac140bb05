"""The same network: private addresses of both are tried, which never leave it.

Two machines seen at one public address are in one home as a rule, and else behind the NAT of one provider.
"""

from __future__ import annotations

from tunnels.crossing.strategies.passive import Passive

STRATEGY = Passive(
    code=5,
    name="local network",
    summary="both are seen at one address, and find each other inside",
    fits=lambda pair: pair.is_behind_one_address,
    chance=lambda _: 0.8,
)
