"""NAT64: a machine without IPv4 reaches the peer's IPv4 address behind its network's prefix (RFC 6052, RFC 7050).

Where the peer does not let everybody in, the NAT64 is a NAT like any other: what was measured through it goes into the other
strategies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunnels.crossing.description import NetworkClass
from tunnels.crossing.strategies.passive import Passive, meets

if TYPE_CHECKING:
    from tunnels.crossing.description import Pair


def _fits(pair: Pair) -> bool:
    """Whether one has nothing but a NAT64, and the other lets everybody in."""
    return meets(pair) and any(
        one.mine.through_nat64
        and not one.theirs.through_nat64
        and one.theirs.network_class is NetworkClass.OPEN
        for one in (pair, pair.swapped)
    )


STRATEGY = Passive(
    code=4,
    name="NAT64",
    summary="one of us has no IPv4, and dials the other's IPv4 address by its network's NAT64",
    fits=_fits,
    chance=lambda _: 0.95,
)
