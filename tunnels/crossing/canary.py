"""Whether our own router has room for more mappings: told by questions that need one. Sans-IO.

A router that is full either refuses what is new, and then no question from a fresh socket is answered, while one from an
old socket is; or it forgets what was used longest ago, and then a socket that asked at the beginning, and not since, is seen
at another port than before. Where neither is answered, the server has enough of us, or the way is lossy: that says nothing.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from tunnels.crossing import limits
from tunnels.crossing.strategy import Ask, Sampling

if TYPE_CHECKING:
    from tunnels.addresses import Address


_FRESH: Final = 2
"""Fresh sockets that ask at each look: one may have no luck."""


class Canary:
    """The beginning, and then looks one after the other. Its sockets are its own, numbered from `first` on."""

    def __init__(self, server: Address, first: int, looks: int) -> None:
        """For so many looks at most."""
        self._server = server
        self._old = list(range(first, first + looks))
        """Sockets that ask at the beginning, and once more, each at one look."""
        self._fresh = list(range(first + looks, first + self.sockets(looks)))
        self._homes: dict[int, Address] = {}
        """Where the old ones were seen at the beginning."""
        self._asked: list[int] = []
        self._sampling = Sampling()
        self._until = inf
        self.is_full: bool | None = None
        """What the last look said; None while it is under way, and before."""
        self.forgets_old = False
        """Whether it is what was used longest ago that there is no room for."""

    @staticmethod
    def sockets(looks: int) -> int:
        """How many it takes for so many looks."""
        return (1 + _FRESH) * looks

    @staticmethod
    def questions(looks: int) -> int:
        """How many it asks at most."""
        return (2 + _FRESH) * looks * limits.SAMPLING_SENDS

    def begin(self, now: float) -> list[Ask]:
        """Before anything else needs room."""
        return self._ask(self._old, now)

    def look(self, now: float) -> list[Ask]:
        """See whether fresh sockets get a mapping, and an old one still has its own."""
        self.is_full = None
        asked = [socket for socket in self._old if socket in self._homes][:1]
        asked += self._fresh[:_FRESH]
        self._old = [socket for socket in self._old if socket not in asked]
        self._fresh = self._fresh[_FRESH:]
        return self._ask(asked, now)

    @property
    def due(self) -> float:
        """When `again` has something to ask, or to say."""
        return min(self._until, self._sampling.due) if self.is_asking else inf

    @property
    def is_asking(self) -> bool:
        """Whether answers are waited for."""
        return bool(self._asked)

    @property
    def is_looking(self) -> bool:
        """Whether answers are waited for that tell whether there is room."""
        return self.is_asking and bool(self._homes)

    @property
    def is_blind(self) -> bool:
        """Whether the server does not answer even where there is room, or all looks are done."""
        return not self.is_asking and not (self._fresh and any(old in self._homes for old in self._old))

    def seen(self, socket: int, server: Address, address: Address) -> None:
        """An answer."""
        if server == self._server and socket in self._asked:
            self._sampling.seen(socket, server, address)
            if self._sampling.is_complete:
                self._judge()

    def again(self, now: float) -> list[Ask]:
        """What is to be asked again; after the last time, what was not answered counts."""
        if not self.is_asking:
            return []
        if now >= self._until:
            self._judge()
            return []
        return self._sampling.again(now)

    def _ask(self, sockets: list[int], now: float) -> list[Ask]:
        self._asked, self._sampling = list(sockets), Sampling()
        self._until = now + limits.CANARY_WAIT
        return [self._sampling.ask(socket, self._server, now) for socket in sockets]

    def _judge(self) -> None:
        seen = {socket: address for (socket, _), address in self._sampling.answers.items()}
        if self._homes:
            old = [socket for socket in self._asked if socket in self._homes and socket in seen]
            fresh = [socket for socket in self._asked if socket not in self._homes and socket in seen]
            self.forgets_old = any(seen[socket] != self._homes[socket] for socket in old)
            self.is_full = self.forgets_old or (bool(old) and not fresh)
        else:
            self._homes = seen
        self._asked = []


class Looks:
    """When to look, while mappings are made: after KNOCKS_LOOK of them, and again and again; and how far to go before it is known.

    `made` is how many there are, in every call.
    """

    def __init__(self, canary: Canary | None, longest: float = inf) -> None:
        """From one look to the next there are twice as many, but at most `longest` more; None for no looks at all."""
        self._canary = canary
        self._longest = longest
        self._next: float = limits.KNOCKS_LOOK
        self._unseen_most = 0
        """How many may have been made before the look that is under way says something."""
        self.is_full = False
        """Whether a look said that there is no room; it was the last one."""

    @property
    def are_made(self) -> bool:
        """Whether answers are of use."""
        return self._canary is not None

    @property
    def due(self) -> float:
        """When `again` has something to ask, or to say."""
        return inf if self._canary is None else self._canary.due

    def begin(self, now: float) -> list[Ask]:
        """See that questions are answered while there is room."""
        return [] if self._canary is None else self._canary.begin(now)

    def seen(self, socket: int, server: Address, address: Address) -> None:
        """An answer."""
        if self._canary is not None:
            self._canary.seen(socket, server, address)

    def again(self, made: int, now: float, *, last: float = inf) -> list[Ask]:
        """What is to be asked, again or for the next look; there is none beyond `last` mappings."""
        if self._canary is None:
            return []
        asks = self._canary.again(now)
        if self._canary.is_asking:
            return asks
        if self._canary.is_full:
            self.is_full, self._canary = True, None
        elif self._next <= made <= last and not self._canary.is_blind:
            self._next += min(self._next, self._longest)
            self._unseen_most = made + max(limits.KNOCKS_LOOK, made // 2)
            asks += self._canary.look(now)
        return asks

    def may_make(self, made: int) -> bool:
        """Not where it is due to be seen whether there is room for more, and that is not known of those before."""
        return self._canary is None or not self._canary.is_looking or made < self._unseen_most
