"""Pairs of kinds of home networks: which there are, which physics lets meet directly, and what they are compared by.

Kinds are named as in `tests.lab.kinds`. Nothing here touches a network.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Pair: TypeAlias = tuple[str, str]
"""Two kinds, in the order of the kinds; which side dials is another matter."""

OPEN = frozenset({"open"})
LOOSE = frozenset({"full-cone", "address-restricted"})
"""One mapping for all destinations, and a filter that a whole address passes."""
STRICT = frozenset(
    {"port-restricted", "cgnat", "kernel-masquerade", "ipv6-firewalled", "poisonable", "hairpinning"}
)
"""One mapping for all destinations, and a filter that only an address and port sent to passes (over IPv4)."""
CONES = LOOSE | STRICT
SEQUENTIAL = frozenset({"symmetric-sequential", "symmetric-busy"})
BLOCK = frozenset({"symmetric-block"})
RANDOM = frozenset({"symmetric-random", "kernel-fully-random"})
"""Another port for each destination, anywhere in the whole range."""
MAPPED = frozenset({"mapping"})
BLOCKED = frozenset({"udp-blocked"})
_VARIANTS = ("-guarded", "-small-evicting", "-small")
"""What a router may be besides, which changes nothing about whether a direct path can be had."""

OPEN_SIDE = "an open side or a mapped port"
CONE_CONE = "cone x cone"
SEQUENTIAL_SIDE = "a sequential side"
SYMMETRIC_LOOSE = "random or block x loose cone"
BLOCK_STRICT = "block x port-restricted"
RANDOM_STRICT = "random x port-restricted"
BLOCK_BLOCK = "block x block"
INFEASIBLE = "not feasible"
CLASSES = (
    *(OPEN_SIDE, CONE_CONE, SEQUENTIAL_SIDE, SYMMETRIC_LOOSE),
    *(BLOCK_STRICT, RANDOM_STRICT, BLOCK_BLOCK, INFEASIBLE),
)
AIMS = {CONE_CONE: 0.35, SEQUENTIAL_SIDE: 0.6, RANDOM_STRICT: 3.0}
"""Seconds to the direct path over links of 20 ms, as the median of a class."""


def all_pairs(kinds: Iterable[str]) -> list[Pair]:
    """Each kind with itself and with each that comes later."""
    return list(itertools.combinations_with_replacement(kinds, 2))


def is_feasible(one: str, other: str) -> bool:
    """Whether a direct path between such homes can be had every time.

    Not where UDP is blocked, and not where one side's port can be anywhere while the other's is another one for each
    destination, too: over the full range that takes some 170 000 probes.
    """
    one, other = _plain(one), _plain(other)
    if {one, other} & BLOCKED:
        return False
    hard = RANDOM | BLOCK | SEQUENTIAL
    return not ((one in RANDOM and other in hard) or (other in RANDOM and one in hard))


def class_of(one: str, other: str) -> str:
    """What a pair is counted with: one of CLASSES, the first that fits."""
    sides = {_plain(one), _plain(other)}
    if not is_feasible(one, other):
        return INFEASIBLE
    if sides & (OPEN | MAPPED):
        return OPEN_SIDE
    if sides <= CONES:
        return CONE_CONE
    if sides & SEQUENTIAL:
        return SEQUENTIAL_SIDE
    if sides & LOOSE:
        return SYMMETRIC_LOOSE
    if sides <= BLOCK:
        return BLOCK_BLOCK
    return RANDOM_STRICT if sides & RANDOM else BLOCK_STRICT


def _plain(kind: str) -> str:
    for variant in _VARIANTS:
        kind = kind.removesuffix(variant)
    return kind
