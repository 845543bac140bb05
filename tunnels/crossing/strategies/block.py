"""Knocks at the ports of a block, against sockets that wait behind a provider's NAT that gives its customer no others. Sans-IO.

As a spray, but with 56 sockets in 1024 ports one knock in eighteen is expected to get in, so fifteen in a second are fast.
The block is what a few mappings were seen in: if as many knocks as should be enough were in vain, half a block on either
side is knocked at, too.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from tunnels.crossing import limits
from tunnels.crossing.birthday import Birthday, Terms, draw, ports_of, waiting_side

if TYPE_CHECKING:
    from tunnels.crossing.description import Pair
    from tunnels.crossing.strategy import Setting


def _ports(pair: Pair) -> range:
    """The block; none if nobody has one."""
    span = waiting_side(pair).behavior.allocation.span
    return ports_of(span) if span is not None else range(0)


def guess(setting: Setting, terms: Terms, parity: int | None) -> list[int]:
    """First as many ports of the block as should be enough; then the rest of it, with what is half a block off.

    The block is what a few mappings were seen in, so it may be larger.
    """
    block = _ports(setting.pair)
    enough = ceil(limits.GUESS_ENOUGH * len(block) / terms.sockets)
    near = ports_of((block.start - len(block) // 2, block.stop - 1 + len(block) // 2))
    first = draw(_of_parity(block, parity), enough, setting.random)
    tried = set(first)
    return first + [
        port for port in draw(_of_parity(near, parity), len(near), setting.random) if port not in tried
    ]


def _of_parity(ports: range, parity: int | None) -> range:
    return ports if parity is None else ports[(ports.start ^ parity) & 1 :: 2]


def terms_of(pair: Pair) -> Terms:
    """No more than a share of the block, and fewer where the router was seen to have little room."""
    most = limits.SMALL_SOCKETS if waiting_side(pair).is_small else limits.BLOCK_SOCKETS
    return Terms(
        sockets=max(1, min(most, len(_ports(pair)) // limits.BLOCK_SHARE)),
        knocks=limits.BLOCK_KNOCKS,
        per_second=limits.SLOW_PER_SECOND,
        seconds=limits.BLOCK_KNOCKS / limits.SLOW_PER_SECOND,
        at_once=limits.BLOCK_AT_ONCE,
    )


STRATEGY: Final = Birthday(
    name="knocks at a block",
    code=12,
    summary="the side with one port knocks at the few ports that the other's provider lets it have",
    terms=terms_of,
    guess=guess,
    ports=lambda pair: len(_ports(pair)),
)
"""So few knocks that no router takes them for a flood: half of all attempts take less than a second."""
