"""All strategies there are. A new technique is a room beside the others and a row here; nothing else has to know of it.

Of those that need nothing done the order is that of the ladder; the others are sorted by what they cost and how likely they succeed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tunnels.crossing.strategies import (
    block,
    block_both,
    direct,
    hairpin,
    ipv6,
    lan,
    mapped,
    nat64,
    predict,
    predict_block,
    predict_both,
    punch,
    pwnat,
    relay,
    reverse,
    slow_spray,
    spray,
    tcp_open,
    turn,
    two_stage,
)

if TYPE_CHECKING:
    from tunnels.crossing.strategy import Strategy

STRATEGIES: Final[tuple[Strategy, ...]] = (
    lan.STRATEGY,
    ipv6.STRATEGY,
    direct.STRATEGY,
    reverse.STRATEGY,
    mapped.STRATEGY,
    nat64.STRATEGY,
    hairpin.STRATEGY,
    punch.STRATEGY,
    two_stage.STRATEGY,
    predict.STRATEGY,
    predict_both.STRATEGY,
    block.STRATEGY,
    block_both.STRATEGY,
    predict_block.STRATEGY,
    spray.STRATEGY,
    slow_spray.STRATEGY,
    tcp_open.STRATEGY,
    turn.STRATEGY,
    relay.STRATEGY,
    pwnat.STRATEGY,
)

LATER: Final = frozenset({tcp_open.STRATEGY.code})
"""Codes of those that make a path of a lesser kind, which is taken where nothing better is found."""

_BY_CODE: Final = {strategy.code: strategy for strategy in STRATEGIES}


def by_code(code: int) -> Strategy | None:
    """The strategy that a peer means by it; None for one that we do not know yet."""
    return _BY_CODE.get(code)
