"""Many combinations of a socket of ours and a port of the peer's NAT, tried one after the other at a bounded rate. Sans-IO.

Where a NAT gives each of them a port of its own, one such combination is one chance to be what the peer lets in.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from tunnels.crossing import limits
from tunnels.crossing.birthday import linger
from tunnels.crossing.canary import Canary, Looks
from tunnels.crossing.strategy import Attempt, Cost, Pacer, Setting, Shot

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tunnels.addresses import Address


class Combining(Attempt):
    """Tries what `plan` says, from `start` on, and sees now and then whether our router has room for more."""

    def __init__(self, setting: Setting, sockets: int, mappings: int) -> None:
        """Sockets from 1 to `sockets` are for combinations, of which `mappings` are new to our NAT."""
        super().__init__(setting)
        self._plan: list[Shot] = []
        """The next one last."""
        self._made = 0
        self._mappings = mappings
        self._pacer: Pacer | None = None
        self._ends_at = inf
        looks = looks_of(mappings)
        servers = setting.servers
        canary = Canary(servers[0], sockets + 1, looks) if servers and looks else None
        self._looks = Looks(canary, limits.COMBINATIONS_LOOK)

    def begin(self, now: float) -> None:
        """See that questions are answered while there is room."""
        self.do(*self._looks.begin(now))
        self.handle_timer(now)

    def start(self, plan: Iterable[Shot], now: float, *, to_come: int = 0) -> None:
        """From now on, in that order, or after what is left of an earlier plan; so many more are waited for."""
        self._plan = list(plan)[::-1] + self._plan
        if self._pacer is None:
            self._pacer = Pacer(limits.COMBINATIONS_FIRST_PER_SECOND, limits.COMBINATIONS_BURST, now)
        left = len(self._plan) + to_come
        self._ends_at = now + left / limits.COMBINATIONS_PER_SECOND + linger(self.setting)
        self.handle_timer(now)

    def seen(self, socket: int, server: Address, address: Address, now: float) -> None:
        """An answer to what was asked to see whether there is room."""
        if self._looks.are_made:
            self._looks.seen(socket, server, address)
            self.handle_timer(now)

    def handle_timer(self, now: float) -> None:
        """Try as many as are due."""
        if self.is_over:
            return
        if now >= self._ends_at:
            self.is_over, self.due = True, inf
            return
        if self._pacer is not None and self._plan and self._may_try:
            was_first = self._made < limits.COMBINATIONS_FIRST
            for _ in range(min(self._pacer.take(now), len(self._plan))):
                self.do(self._plan.pop())
                self._made += 1
            if was_first and self._made >= limits.COMBINATIONS_FIRST:
                gap = 1 / limits.COMBINATIONS_PER_SECOND
                self._pacer = Pacer(limits.COMBINATIONS_PER_SECOND, limits.COMBINATIONS_BURST, now + gap)
        if self._looks.are_made:
            self._look(now)
        self.due = min(
            self._ends_at,
            self._pacer.due if self._pacer is not None and self._plan and self._may_try else inf,
            self._looks.due,
        )

    @property
    def _may_try(self) -> bool:
        return self._looks.may_make(self._made)

    def _look(self, now: float) -> None:
        """Once our router is full, leave it in peace; what was sent may still arrive."""
        self.do(*self._looks.again(self._made, now, last=self._mappings))
        if self._looks.is_full:
            self.is_cramped = True
            self._plan = []
            self._ends_at = min(self._ends_at, now + linger(self.setting))


def looks_of(mappings: int) -> int:
    """How often it is seen whether there is room, for so many mappings: soon at first, then each time for as many as there are."""
    few = min(mappings, limits.COMBINATIONS_LOOK) // limits.KNOCKS_LOOK
    return few.bit_length() + max(0, mappings - limits.COMBINATIONS_LOOK) // limits.COMBINATIONS_LOOK


def cost_of(sockets: int, datagrams: int, mappings: int, *, prepares: float = 0.0) -> Cost:
    """What it takes, after so many seconds in which one side prepares."""
    looks = looks_of(mappings)
    return Cost(
        datagrams=datagrams + Canary.questions(looks),
        sockets=sockets + Canary.sockets(looks),
        mappings=mappings + Canary.sockets(looks),
        seconds=prepares + datagrams / limits.COMBINATIONS_PER_SECOND + limits.GUESS_LINGER,
        guesses=True,
    )
