"""Which of several paths is the best, and when to leave the one in use for it. Sans-IO, and without memory but a count.

1. Only a path whose ping was answered of late is chosen; one that died in use is not, for a while, if there is another.
2. Tier first: LAN, direct, TURN, relay. More than 5 % of lost pings cost a path one tier.
3. Inside a tier the shorter round trip, less 3 ms for IPv6 (no NAT between) and a fifth for private addresses.
4. A better tier takes over at once; a shorter round trip only if it is shorter by 5 ms and by 10 %, three times in a
   row, and not within 10 s of the last change: the difference is not worth the flapping.
5. A path that is not trusted any more is left at once for one that is no worse, and for a worse one only if several of
   its pings stayed unanswered: meanwhile data goes both ways anyway (`PathSet.destinations`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.addresses import Address
from tunnels.paths.candidates import is_private
from tunnels.paths.path import PathState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tunnels.paths.path import Path


@dataclass(frozen=True, slots=True)
class Choice:
    """A path to change to."""

    path: Path
    why: str
    """For people."""
    is_urgent: bool
    """Whether to change now, rather than once it has been the better one several times."""


def rank(path: Path) -> tuple[int, float]:
    """What paths are sorted by, the best first: the tier, and seconds."""
    return (path.candidate.tier + path.is_lossy, effective_rtt(path))


def effective_rtt(path: Path) -> float:
    """The shortest round trip of late in seconds, made comparable."""
    rtt, address = path.min_rtt, path.address
    if isinstance(address, Address):
        if is_private(address):
            rtt *= 1 - limits.PATH_PRIVATE_BONUS
        if address.ip.version == 6:
            rtt -= limits.PATH_IPV6_BONUS
    return rtt


def choose(paths: Iterable[Path], current: Path | None, now: float) -> Choice | None:
    """The path to change to from `current`; None to stay."""
    trusted = [path for path in paths if path.is_trusted(now)]
    best = min((path for path in trusted if path.held_until <= now), key=rank, default=None)
    if best is None:
        best = min(trusted, key=lambda path: path.held_until, default=None)
    if best is None or best is current:
        return None
    if current is None:
        return Choice(best, "the first that was answered", is_urgent=True)
    (tier, rtt), (current_tier, current_rtt) = rank(best), rank(current)
    if current.is_trusted(now):
        if tier < current_tier:
            return Choice(best, f"{best.candidate.tier.words} is better", is_urgent=True)
        gain = max(limits.PATH_BETTER_BY, limits.PATH_BETTER_PART * abs(current_rtt))
        if tier == current_tier and current_rtt - rtt > gain:
            why = f"{best.min_rtt * 1000:.0f} ms instead of {current.min_rtt * 1000:.0f} ms"
            return Choice(best, why, is_urgent=False)
        return None
    if current.state is PathState.CLOSED:
        return Choice(best, "the other one is closed", is_urgent=True)
    if current.is_failing(now):
        return Choice(best, "the other one does not answer", is_urgent=True)
    if tier <= current_tier:
        return Choice(best, "the other one is not trusted now", is_urgent=True)
    return None


class Selector:
    """Carries out what `choose` says, with its patience."""

    __slots__ = ("_changed_at", "_favourite", "_times")

    def __init__(self) -> None:
        self._changed_at = -inf
        self._favourite: Path | None = None
        self._times = 0

    def answered(self, paths: Iterable[Path], current: Path | None, now: float) -> Choice | None:
        """A pong came for one of the paths: the change to make now, if any."""
        choice = choose(paths, current, now)
        if choice is not None and not choice.is_urgent:
            self._times = self._times + 1 if choice.path is self._favourite else 1
            self._favourite = choice.path
            if self._times < limits.PATH_BETTER_TIMES or now - self._changed_at < limits.PATH_HOLD_DOWN:
                return None
        elif choice is None:
            self._favourite = None
        return choice

    def looked(self, paths: Iterable[Path], current: Path | None, now: float) -> Choice | None:
        """Time passed: the change to make now, if one cannot wait."""
        choice = choose(paths, current, now)
        return choice if choice is not None and choice.is_urgent else None

    def changed(self, now: float) -> None:
        """A change was made."""
        self._changed_at = now
        self._favourite = None
        self._times = 0
