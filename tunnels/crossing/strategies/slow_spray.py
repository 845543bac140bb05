"""The same as a spray, so slowly that no router takes it for a flood, against as many sockets as the other router bears. Sans-IO.

Some routers block who sends more than twenty unasked datagrams in a second; here it is fifteen, for a minute. So more
sockets have to wait for them: up to 512, some at a time, and each time it is asked whether the router still makes new
mappings and keeps the old ones. If not, no more are opened, and those that there was no room for are given up, and
as many again; what is tried in that network from then on takes little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tunnels.crossing import limits
from tunnels.crossing.birthday import Birthday, Terms, waiting_side

if TYPE_CHECKING:
    from tunnels.crossing.description import Pair


def terms_of(pair: Pair) -> Terms:
    """Fewer sockets where the router was seen to have no room for so many; half of them do where only one parity counts."""
    network = waiting_side(pair)
    sockets = limits.SLOW_SOCKETS // (2 if network.behavior.allocation.keeps_parity else 1)
    return Terms(
        sockets=limits.SMALL_SOCKETS if network.is_small else sockets,
        knocks=limits.SLOW_KNOCKS,
        per_second=limits.SLOW_PER_SECOND,
        seconds=limits.SLOW_SECONDS,
        step=limits.SLOW_STEP,
    )


STRATEGY: Final = Birthday(
    name="slow spray of knocks",
    code=16,
    summary="as the spray of knocks, with more ports open and fewer knocks, which no router takes for a flood",
    terms=terms_of,
)
"""Where the fast one was in vain: half of all attempts take ten seconds."""
