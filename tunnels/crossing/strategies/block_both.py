"""Both sides have their ports in a block, and try combinations until two of them meet. Sans-IO.

A combination of ours leaves from some port x of our block to a port y of theirs that we choose; one of theirs from some y to
an x that they choose. The two meet with 1/(P·P'), so c of them on each side let c·c'/(P·P') meet: 4 for 2048 and two
blocks of 1024. Which ones are tried, and in which order, does not matter; so each socket has ports of its own, which holds
where a NAT gives a socket one port for all ports of an ip, too.

The later one of a pair gets in, so all are sent all the way at once: half of all attempts take two seconds then. Only a NAT
that puts away what came unasked spoils that, as the later one cannot leave from the port that it should. Therefore a
second set follows in two stages: all of them die on the way first, and come all the way after that.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, exp, sqrt
from typing import TYPE_CHECKING, Final

from tunnels.crossing import limits
from tunnels.crossing.birthday import draw, ports_of, sane_ips, scatter
from tunnels.crossing.combinations import Combining, cost_of
from tunnels.crossing.description import NetworkClass
from tunnels.crossing.strategy import Ready, Shot

if TYPE_CHECKING:
    from tunnels.crossing.description import Description, Pair
    from tunnels.crossing.strategy import Attempt, Cost, Setting


@dataclass(frozen=True, slots=True)
class BlockBoth:
    """Works where both blocks are small."""

    name: str = "combinations of two blocks"
    code: int = 13
    summary: str = "both sides try many combinations of their few ports until two of them meet"

    def suits(self, pair: Pair) -> bool:
        """Whether both have their ports in a block."""
        return pair.has(NetworkClass.BLOCK, NetworkClass.BLOCK) and not pair.is_behind_one_address

    def success(self, pair: Pair) -> float:
        """That two of either set meet."""
        return 1 - exp(-((2 * combinations(pair)) ** 2) / _cells(pair))

    def cost(self, pair: Pair) -> Cost:
        """Thousands of datagrams and of mappings."""
        count = combinations(pair)
        return cost_of(limits.PAIR_SOCKETS, 3 * count, 2 * count)

    def attempt(self, setting: Setting) -> Attempt | None:
        """Both sides do the same."""
        return _Attempt(setting)


class _Attempt(Combining):
    def __init__(self, setting: Setting) -> None:
        self._count = combinations(setting.pair)
        super().__init__(setting, limits.PAIR_SOCKETS, 2 * self._count)

    def begin(self, now: float) -> None:
        """There is nothing to prepare."""
        super().begin(now)
        self.ready = Ready().encode()

    def peer_ready(self, payload: bytes, now: float) -> None:
        """The peer begins as well."""
        Ready.decode(payload)
        if self._pacer is not None or self.is_over:
            return
        first, second = self._sets()
        openers = [Shot(shot.socket, shot.to, self.setting.opener_ttl) for shot in second]
        self.start([*first, *openers, *second], now)

    def _sets(self) -> tuple[list[Shot], list[Shot]]:
        """Two sets of combinations, none twice; the sockets take turns."""
        span = self.setting.pair.theirs.behavior.allocation.span
        ips = sane_ips(self.setting)
        if span is None or not ips:
            return [], []
        ports, random = ports_of(span), self.setting.random
        each = ceil(2 * self._count / limits.PAIR_SOCKETS)
        columns = [scatter(draw(ports, each, random), ips, random) for _ in range(limits.PAIR_SOCKETS)]
        shots = [
            Shot(socket, column[turn])
            for turn in range(each)
            for socket, column in enumerate(columns, 1)
            if turn < len(column)
        ]
        return shots[: self._count], shots[self._count : 2 * self._count]


def combinations(pair: Pair) -> int:
    """Of each side, in one set: no more than needed."""
    return min(limits.PAIR_COMBINATIONS, ceil(sqrt(limits.PAIR_EXPECTED * _cells(pair))))


def _cells(pair: Pair) -> int:
    """Pairs of outside ports; they are one for each pair of ips, too, where a NAT has several."""
    return _ports(pair.mine) * _ports(pair.theirs)


def _ports(network: Description) -> int:
    span = network.behavior.allocation.span
    ports = len(ports_of(span)) if span is not None else 0
    return max(1, ports) * max(1, len(network.behavior.external_ips))


STRATEGY: Final = BlockBoth()
