"""How much all attempts of a process may do together: no attempt hurts our network, and none harms somebody else's. Sans-IO.

An attempt asks for what it costs before it begins and gets a *lease*, or is told to come again later. By the lease each
of its datagrams and sockets is allowed or not. What the leases hold is counted against bounds of the whole process
(`CROSSING_…` in tunnels.limits), so neither many peers at once nor one that lies gets more out of us.
"""

from __future__ import annotations

from collections import Counter
from math import ceil, inf
from typing import TYPE_CHECKING, Protocol

from tunnels.bucket import Bucket
from tunnels.crossing import limits
from tunnels.destinations import Destinations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tunnels.addresses import Address
    from tunnels.crossing.strategy import Cost


_MAPPINGS_PARTS = 8
"""In as many steps it is reckoned how mappings grow in number while an attempt makes them."""


class Budget:
    """One for a process. Times are the event loop's."""

    def __init__(self, measured: Callable[[], tuple[float, int]] = lambda: (-inf, 0)) -> None:
        """`measured`: when our network was measured last, and how many mappings that made."""
        self._measured = measured
        self._datagrams = Bucket(limits.CROSSING_PER_SECOND, limits.CROSSING_BURST)
        most = limits.CROSSING_DESTINATIONS
        self._proven = Destinations(
            limits.CROSSING_DESTINATION_PER_SECOND, limits.CROSSING_DESTINATION_BURST, most
        )
        self._unproven = Destinations(
            limits.CROSSING_UNPROVEN_PER_SECOND, limits.CROSSING_UNPROVEN_BURST, most
        )
        self._leases: list[Lease] = []
        self._mappings: list[tuple[float, int]] = []
        """Of attempts that have ended, by the second in which they were made: until when our NAT keeps them, and how many."""
        self._sockets: list[tuple[float, int]] = []
        """Of attempts that have ended: until when they are kept, and how many."""
        self._blind: list[tuple[float, int]] = []
        """Mappings of attempts that have ended which nobody saw room for: until when our NAT keeps them, and how many."""
        self._next_guess = -inf

    def __repr__(self) -> str:
        return f"<Budget with {len(self._leases)} leases>"

    def begin(self, cost: Cost, now: float) -> Lease | None:
        """What an attempt of that cost needs; None: not now, see `wait`."""
        if self.wait(cost, now) > 0:
            return None
        room = min(cost.blind, self._room(now))
        lease = Lease(cost, now, allow=self.may_send, ended=self._ended, room=room)
        self._leases.append(lease)
        return lease

    def wait(self, cost: Cost, now: float) -> float:
        """Seconds until an attempt of that cost may begin, if no other comes before it; infinite if it is beyond all bounds."""
        self._forget(now)
        leases = self._leases
        at = max(
            _when(((lease.until, 1) for lease in leases), limits.CROSSING_ATTEMPTS - 1),
            _when(
                (
                    *((lease.until + limits.CROSS_LINGER, lease.cost.sockets) for lease in leases),
                    *self._sockets,
                ),
                limits.CROSSING_SOCKETS - cost.sockets,
            ),
            self._mappings_at(cost.mappings),
            self._guess_at() if cost.guesses else -inf,
            self._blind_at(cost.blind) if cost.blind else -inf,
        )
        return max(0.0, at - now)

    def _blind_at(self, count: int) -> float:
        """When our router has room for some of these mappings, whatever else it has to remember."""
        return _when(self._blind_held(), limits.CROSSING_BLIND - min(count, limits.CROSSING_BLIND_LEAST))

    def _blind_held(self) -> Iterator[tuple[float, int]]:
        """Until when our router keeps mappings that nobody saw room for, and how many."""
        measured_at, flows = self._measured()
        yield measured_at + limits.CROSSING_MAPPING_SECONDS, flows
        yield from self._blind
        for lease in self._leases:
            yield lease.sent_at + limits.CROSSING_MAPPING_SECONDS, lease.blind

    def _room(self, now: float) -> int:
        """How many may be made now."""
        return max(
            0, limits.CROSSING_BLIND - sum(count for until, count in self._blind_held() if until > now)
        )

    def _mappings_at(self, count: int) -> float:
        """When so many may begin to be made: no faster than datagrams may be sent, while others are forgotten."""
        running = (
            (lease.until + limits.CROSSING_MAPPING_SECONDS, lease.cost.mappings) for lease in self._leases
        )
        held = (*running, *self._mappings)
        seconds = count / limits.CROSSING_PER_SECOND
        return max(
            _when(
                held,
                limits.CROSSING_MAPPINGS
                - min(count, limits.CROSSING_BURST + ceil(count * (part + 1) / _MAPPINGS_PARTS)),
            )
            - seconds * part / _MAPPINGS_PARTS
            for part in range(_MAPPINGS_PARTS)
        )

    def _guess_at(self) -> float:
        """When the next attempt that guesses may begin."""
        ends = [
            lease.until + rest_after(lease.cost.datagrams) for lease in self._leases if lease.cost.guesses
        ]
        return max(self._next_guess, *ends) if ends else self._next_guess

    def _forget(self, now: float) -> None:
        """End what should have ended long ago, and forget mappings that are gone."""
        for lease in [lease for lease in self._leases if lease.until <= now]:
            lease.end(lease.until)
        self._mappings = [held for held in self._mappings if held[0] > now]
        self._sockets = [held for held in self._sockets if held[0] > now]
        self._blind = [held for held in self._blind if held[0] > now]

    def _ended(self, lease: Lease, now: float, has_guessed: bool) -> None:
        self._leases.remove(lease)
        self._mappings += [
            (second + 1 + limits.CROSSING_MAPPING_SECONDS, count) for second, count in lease.made.items()
        ]
        if count := lease.blind:
            self._blind.append((lease.sent_at + limits.CROSSING_MAPPING_SECONDS, count))
        if lease.opened:
            self._sockets.append((now + limits.CROSS_LINGER, lease.opened))
        if lease.cost.guesses and has_guessed:
            self._next_guess = max(self._next_guess, now + rest_after(lease.sent))

    def may_send(self, to: Address, now: float, *, is_proven: bool) -> bool:
        """Whether the process may send one datagram there; counted if so. `is_proven`: the peer is attested to be there,
        or it is a server of ours."""
        places = self._proven if is_proven else self._unproven
        return places.take(to.ip, now) and self._datagrams.take(now)


class _Allow(Protocol):
    def __call__(self, to: Address, now: float, *, is_proven: bool) -> bool: ...


class Lease:
    """What one attempt was granted. It ends when it is told, or by itself some time after it should have."""

    __slots__ = (
        "_allow",
        "_ended",
        "_flows",
        "_is_over",
        "cost",
        "made",
        "opened",
        "room",
        "sent",
        "sent_at",
        "until",
    )

    def __init__(
        self,
        cost: Cost,
        now: float,
        *,
        allow: _Allow,
        ended: Callable[[Lease, float, bool], None],
        room: int = 0,
    ) -> None:
        """`allow` says whether the process may send one more there; `ended` is told when this one is over; `room` is how many
        of its mappings it may make before it sees whether there is room for them."""
        self._allow = allow
        self._ended = ended
        self._is_over = False
        self._flows: set[tuple[int, Address]] = set()
        """From which socket to where: no more mappings than these."""
        self.cost = cost
        self.room = room
        self.sent = 0
        """Datagrams."""
        self.sent_at = now
        """When the last one was."""
        self.opened = 0
        """Sockets."""
        self.made: Counter[int] = Counter()
        """Mappings, as far as is known, by the second in which they were made."""
        self.until = now + cost.seconds + limits.CROSSING_GRACE

    def __repr__(self) -> str:
        return f"<Lease: {self.sent} of {self.cost.datagrams} datagrams, {self.opened} of {self.cost.sockets} sockets>"

    def may_send(self, to: Address, now: float, *, socket: int = 0, is_proven: bool = True) -> bool:
        """Whether one datagram may be sent there from that socket; counted if so. False: not now, or no more at all.

        `is_proven`: the peer is attested to be there, or it is a server of ours."""
        if now >= self.until:
            self.end(self.until)
        if self._is_over or self.sent >= self.cost.datagrams or not self._allow(to, now, is_proven=is_proven):
            return False
        self.sent += 1
        self.sent_at = now
        self._flows.add((socket, to))
        if self.sent <= self.cost.mappings:
            self.made[int(now)] += 1
        return True

    @property
    def blind(self) -> int:
        """Mappings that leave less room for what is made without a look: what guesses looks, beyond what it was granted.

        While it runs nobody else gets what it was granted."""
        made = len(self._flows)
        if not self._is_over:
            made = max(made, self.room)
        return min(made, self.room if self.cost.guesses else self.cost.mappings)

    def may_open(self) -> bool:
        """Whether one more socket may be opened; counted if so."""
        if self._is_over or self.opened >= self.cost.sockets:
            return False
        self.opened += 1
        return True

    def end(self, now: float, *, has_guessed: bool = True) -> None:
        """Its sockets are closed, or one of them serves as a path now. More than once does no harm.

        Not `has_guessed`: nothing was sent to the peer, so the next one that guesses need not rest."""
        if not self._is_over:
            self._is_over = True
            self._ended(self, now, has_guessed)


def rest_after(datagrams: int) -> float:
    """Seconds from the end of an attempt that guesses, and sent so many, to the next one: the more it sent, the longer."""
    return max(limits.CROSSING_GUESS_REST_LEAST, datagrams / limits.CROSSING_GUESS_REST_PER_SECOND)


def _when(held: Iterable[tuple[float, int]], room: int) -> float:
    """From when on no more than `room` is held, of what is held until then; infinite if that can never be."""
    if room < 0:
        return inf
    at, total = -inf, 0
    for until, count in sorted(held, reverse=True):
        total += count
        if total > room:
            return until
    return at
