"""A spray of knocks at random ports, against sockets that wait behind a NAT of random ports. Sans-IO.

The birthday paradox: up to 56 sockets of one side send an opener each to the one place of the other, so that as many of 64512
ports let that in; it knocks at 560 random ones in a second, and half of all attempts take 800 knocks or fewer. Where ports
keep their parity, all sockets are of one, and half as many do. (hyperdht takes 256 sockets and 50 knocks in a second; a
router with room for a hundred mappings is full then. With what else we had it remember of late, 56 never fill it.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tunnels.crossing import limits
from tunnels.crossing.birthday import Birthday, Terms, waiting_side

if TYPE_CHECKING:
    from tunnels.crossing.description import Pair


def terms_of(pair: Pair) -> Terms:
    """Fewer sockets where the router was seen to have no room for so many."""
    return Terms(
        sockets=limits.SMALL_SOCKETS if waiting_side(pair).is_small else limits.SPRAY_SOCKETS,
        knocks=limits.SPRAY_KNOCKS,
        per_second=limits.SPRAY_PER_SECOND,
        seconds=limits.SPRAY_SECONDS,
        burst=limits.SPRAY_BURST,
        is_early=True,
    )


STRATEGY: Final = Birthday(
    name="spray of knocks",
    code=15,
    summary="the side with one port knocks at random ports of the other, which keeps many open",
    terms=terms_of,
)
"""Fast: half of all attempts take two seconds. Routers that block floods see one."""
