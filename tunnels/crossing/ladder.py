"""The ladder: what is tried between two networks, in which order. A pure function of what is known of both.

1. What needs nothing but pings comes first: it is under way whatever is decided here.
2. Then what worked between these two networks before, and after that whatever is likeliest for what it costs, and half as
   likely with each failure there; but what makes a
   path of a lesser kind, over TCP, after what makes a better one.
3. Where pings alone are nearly sure to do it, nothing expensive is tried: no guessing of ports at a home that lets in who it sent to.
4. A network of which nothing is known is taken for a home like most, whose router must not hear from a stranger first; after
   that, if the other one is known, for the hardest kind.
5. Behind one and the same public address only what stays inside is tried: nobody guesses ports at his own router.
6. The relay is last, and always there.

History changes the order only, so both ends find the same rungs; they read *direct* where the other end reads *reverse*.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log
from typing import TYPE_CHECKING

from tunnels.crossing import limits
from tunnels.crossing.description import Description, NetworkClass, Pair
from tunnels.crossing.registry import LATER, STRATEGIES
from tunnels.crossing.strategies.passive import Passive
from tunnels.nat.behavior import Filtering, Mapping

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunnels.crossing.history import History
    from tunnels.crossing.strategy import Cost, Strategy


@dataclass(frozen=True, slots=True)
class Rung:
    """One strategy, where it may be tried."""

    strategy: Strategy
    success: float
    """How likely it succeeds, 0 to 1."""
    cost: Cost
    """At our end."""
    why: str
    """Why it is tried, and here, in a few words for people."""
    pair: Pair
    """What the two networks are taken for: as described, but for what is unknown of them."""

    @property
    def needs_attempt(self) -> bool:
        """Whether something has to be done for it; if not, pings do it."""
        return not isinstance(self.strategy, Passive)

    @property
    def is_direct(self) -> bool:
        """Whether nobody relays between us then."""
        return self.strategy.is_direct if isinstance(self.strategy, Passive) else True


def ladder(pair: Pair, history: History, strategies: Sequence[Strategy] = STRATEGIES) -> tuple[Rung, ...]:
    """What is tried between two such networks, the first first; the relay is the last one."""
    rungs = []
    for strategy in strategies:
        taken = taken_for(strategy, pair)
        if taken is not None:
            rungs.append(_rung(strategy, pair, taken))
    rungs = [rung for rung in rungs if rung.success >= limits.LADDER_LEAST]
    pings = [rung for rung in rungs if not rung.needs_attempt and rung.is_direct]
    relays = [rung for rung in rungs if not rung.is_direct]
    sure = any(rung.success >= limits.LADDER_SURE for rung in pings)
    attempts = [
        rung
        for rung in rungs
        if rung.needs_attempt and not pair.is_behind_one_address and _is_bearable(rung, sure=sure)
    ]
    return (*pings, *_sorted(attempts, pair, history), *relays)


def taken_for(strategy: Strategy, pair: Pair) -> Pair | None:
    """What the two networks are to be taken for, so that a strategy suits them; None if it does not. The same at both ends."""
    return next((taken for taken in _readings(pair) if strategy.suits(taken)), None)


def _readings(pair: Pair) -> list[Pair]:
    """The pair as described, and what it may be if something is unknown of it."""
    unknown = [each.network_class is NetworkClass.UNKNOWN for each in (pair.mine, pair.theirs)]
    if not any(unknown):
        return [pair]
    readings = [pair, Pair(_as_home(pair.mine), _as_home(pair.theirs))]
    if not all(unknown):
        readings.append(Pair(_as_symmetric(pair.mine), _as_symmetric(pair.theirs)))
    return readings


def _as_home(description: Description) -> Description:
    """An unknown network as most are, with the worst manners that are common (a stranger's datagram moves our port)."""
    if description.network_class is not NetworkClass.UNKNOWN:
        return description
    behavior = replace(
        description.behavior,
        mapping=Mapping.ENDPOINT_INDEPENDENT,
        filtering=Filtering.ADDRESS_AND_PORT_DEPENDENT,
        inbound_first_poisons=description.behavior.inbound_first_poisons is not False,
    )
    return replace(description, behavior=behavior)


def _as_symmetric(description: Description) -> Description:
    """An unknown network as the hardest kind there is, as far as its ports were not seen to follow a rule."""
    if description.network_class is not NetworkClass.UNKNOWN:
        return description
    behavior = replace(
        description.behavior,
        mapping=Mapping.ADDRESS_AND_PORT_DEPENDENT,
        filtering=Filtering.ADDRESS_AND_PORT_DEPENDENT,
    )
    return replace(description, behavior=behavior)


def _rung(strategy: Strategy, pair: Pair, taken: Pair) -> Rung:
    success = strategy.success(taken)
    why = strategy.summary
    if taken != pair:
        success *= limits.LADDER_UNKNOWN
        classes = zip(("we are", "the peer is"), pair.classes, taken.classes, strict=True)
        read = [f"{who} {kind}" for who, known, kind in classes if known is NetworkClass.UNKNOWN]
        why += f"; in case {' and '.join(read)}"
    return Rung(strategy, success, strategy.cost(taken), why, taken)


def _is_bearable(rung: Rung, *, sure: bool) -> bool:
    """Whether what it costs both ends may be spent here."""
    for one in (rung.pair, rung.pair.swapped):
        cost = rung.strategy.cost(one)
        if one.mine.is_small and cost.mappings > limits.SMALL_NETWORK_MAPPINGS:
            return False
        if sure and (cost.guesses or cost.datagrams > limits.LADDER_CHEAP_DATAGRAMS):
            return False
    return True


def _sorted(rungs: list[Rung], pair: Pair, history: History) -> list[Rung]:
    """What worked here first, the best of it first; then by chance for cost; what makes a lesser path, or failed often here, last."""
    networks = pair.mine.network, pair.theirs.network
    worked = history.worked(*networks)

    def place(rung: Rung) -> tuple[int, float, int]:
        code = rung.strategy.code
        group = 3 * (code in LATER)
        if code in worked:
            return group, worked.index(code), code
        failures = history.failures(*networks, code)
        promise = (
            rung.success / _expense(rung) * limits.LADDER_FAILED ** min(failures, limits.HISTORY_GIVEN_UP)
        )
        return group + (2 if failures >= limits.HISTORY_GIVEN_UP else 1), -promise, code

    return [
        replace(rung, why="it worked between these networks before") if rung.strategy.code in worked else rung
        for rung in sorted(rungs, key=place)
    ]


def _expense(rung: Rung) -> float:
    """What it costs both ends until it succeeds, on average, in seconds of waiting.

    Most attempts are as likely to succeed at any time of theirs: one that seldom fails is over early.
    """
    costs = rung.cost, rung.strategy.cost(rung.pair.swapped)
    part = min(1.0, -1 / log(max(1 - rung.success, limits.LADDER_LEAST**2)))
    seconds = max(cost.seconds for cost in costs)
    return 0.1 + part * (seconds + sum(cost.datagrams for cost in costs) / limits.LADDER_DATAGRAMS)
