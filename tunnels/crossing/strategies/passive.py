"""What the rooms of strategies share that need nothing done: pings to all candidates are all it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tunnels.crossing.description import NetworkClass
from tunnels.crossing.strategy import Cost

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunnels.crossing.description import Pair
    from tunnels.crossing.strategy import Attempt, Setting


@dataclass(frozen=True, slots=True)
class Passive:
    """A row for which no attempt is made; see `tunnels.crossing.strategy.Strategy`."""

    code: int
    name: str
    summary: str
    fits: Callable[[Pair], bool]
    chance: Callable[[Pair], float]
    is_direct: bool = True
    """Whether nobody relays what is sent."""

    def suits(self, pair: Pair) -> bool:
        return self.fits(pair)

    def success(self, pair: Pair) -> float:
        return self.chance(pair)

    def cost(self, pair: Pair) -> Cost:
        return _NOTHING

    def attempt(self, setting: Setting) -> Attempt | None:
        return None


_NOTHING: Final = Cost()


def meets(pair: Pair) -> bool:
    """Whether datagrams of both get into the world, and what comes from there is not sent back to where it came from."""
    return NetworkClass.BLOCKED not in pair.classes and not pair.is_behind_one_address


def is_dialled(pair: Pair) -> bool:
    """Whether the peer lets us in: anybody, or us because it sent to our ip, whatever port we come from."""
    mine, theirs = pair.classes
    if theirs is NetworkClass.OPEN:
        return not pair.theirs.is_mapped and meets(pair)
    return theirs is NetworkClass.ADDRESS_RESTRICTED and mine.is_symmetric and meets(pair)


def dial_chance(pair: Pair) -> float:
    """How likely the peer does so: a little less where it depends on what it sent."""
    return 0.99 if pair.theirs.network_class is NetworkClass.OPEN else 0.98
