"""Knocks at the ports of a block, against sockets that wait behind a provider's NAT that gives its customer no others. Sans-IO.

As a spray, but with 64 sockets in 1024 ports one knock in sixteen is expected to get in, so fifteen in a second are fast.
The block is what a few mappings were seen in: if as many knocks as should be enough were in vain, half a block on either
side is knocked at, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final

from tunnels.crossing import limits
from tunnels.crossing.birthday import (
    Terms,
    attempt_of,
    chance,
    cost_of,
    draw,
    is_ours_to_wait,
    ports_of,
    waiting_side,
)

if TYPE_CHECKING:
    from tunnels.crossing.description import Pair
    from tunnels.crossing.strategy import Attempt, Cost, Setting


@dataclass(frozen=True, slots=True)
class Block:
    """So few knocks that no router takes them for a flood: half of all attempts take less than a second."""

    name: str = "knocks at a block"
    code: int = 12
    summary: str = "the side with one port knocks at the few ports that the other's provider lets it have"

    def suits(self, pair: Pair) -> bool:
        """Whether one of them has its ports in a block, and the other has one."""
        return is_ours_to_wait(pair) is not None and len(_ports(pair)) > 0

    def success(self, pair: Pair) -> float:
        """By the formula, if the block is what it was seen to be."""
        terms, ports = terms_of(pair), len(_ports(pair))
        ips = max(1, len(waiting_side(pair).behavior.external_ips))
        return chance(terms.sockets, min(terms.knocks, ports), ports * ips)

    def cost(self, pair: Pair) -> Cost:
        """Some hundred datagrams."""
        return cost_of(pair, terms_of(pair))

    def attempt(self, setting: Setting) -> Attempt | None:
        """Wait or knock."""
        return attempt_of(setting, terms_of(setting.pair), guess)


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


STRATEGY: Final = Block()
