"""IPv6: nothing translates addresses there, and pings from both sides open the firewalls."""

from __future__ import annotations

from tunnels.crossing.strategies.passive import Passive

STRATEGY = Passive(
    code=3,
    name="IPv6",
    summary="both have IPv6, and pings from both sides open its firewalls",
    fits=lambda pair: pair.mine.has_ipv6 and pair.theirs.has_ipv6,
    chance=lambda _: 0.9,
)
