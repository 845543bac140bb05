"""Two symmetric NATs that give out ports in order: both ends meet at two ports that each told before it had them. Sans-IO.

Each side asks where a new socket is seen, and tells the peer at which port it is going to be: some further on, as many as
others behind its NAT will probably have taken by then, and half a burst more. Once it knows the peer's port it sends
openers there from a burst of new sockets, one of which is at the port that was told, if the prediction was good.
Two more questions, before and after the burst, tell which one, or whether it was missed; so only that one knocks, and
nothing else comes to the peer unasked. If either side missed, both begin anew, from what they learned meanwhile.

Where few others send, a dozen sockets will do, the last of which is at the port that was told if nobody came between. So few may
all knock in the first round, as soon as the peer says that its openers are under way: that spares the round trip to the server.

Before a round that takes more mappings than any router bears it is seen whether ours has room for them: the question that
the round begins with, from a fresh socket, is answered, and the oldest socket is seen where it was.

Where both ends send to one predicted port from many sockets and repeat that, as EasyTier does, it takes as many sockets,
and each of them knocks; here a miss is known a round trip to the STUN server later.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from tunnels import limits as tunnel_limits
from tunnels.addresses import Address
from tunnels.crossing import limits
from tunnels.crossing.description import NetworkClass
from tunnels.crossing.strategy import Attempt, Cost, Ready, Sampling, Setting, Shot
from tunnels.nat.behavior import AllocationKind

if TYPE_CHECKING:
    from tunnels.crossing.description import Pair

_LOWEST = 1024
_PORTS = 65536 - _LOWEST
_ROUND_SOCKETS = limits.MEETING_SOCKETS + 3
_QUESTIONS = 4 * limits.SAMPLING_SENDS
_KNOCKS = limits.PREDICT_SAFE


@dataclass(frozen=True, slots=True)
class PredictBoth:
    """The row of the registry."""

    name: str = "port prediction at both ends"
    code: int = 11
    summary: str = "two symmetric NATs with ports in order: each end tells a port, and arranges to be there"

    def suits(self, pair: Pair) -> bool:
        """Ports in order at both ends."""
        return pair.classes == (
            NetworkClass.SEQUENTIAL,
            NetworkClass.SEQUENTIAL,
        )

    def success(self, pair: Pair) -> float:
        """By tests/tunnels/crossing/strategies/test_predict_both.py: the busier the worse."""
        noise = max(pair.mine.behavior.noise or 0.0, pair.theirs.behavior.noise or 0.0)
        return 0.95 if noise <= 40 else 0.85 if noise <= 120 else 0.3

    def cost(self, pair: Pair) -> Cost:
        """The same for all; each datagram goes to a port that the peer named."""
        sockets = limits.MEETING_ROUNDS * _ROUND_SOCKETS
        is_busy = (pair.mine.behavior.noise or 0.0) * limits.MEETING_TRIP_MOST > limits.MEETING_OTHERS
        return Cost(
            datagrams=limits.MEETING_ROUNDS * (limits.MEETING_SOCKETS + _QUESTIONS + _KNOCKS),
            sockets=sockets,
            mappings=sockets,
            blind=(limits.MEETING_SOCKETS if is_busy else limits.MEETING_FEW) + 3,
            seconds=limits.MEETING_SECONDS,
        )

    def attempt(self, setting: Setting) -> Attempt:
        """Our side."""
        return _Meeting(setting)


@dataclass(frozen=True, slots=True)
class _Mapping:
    """One that we know."""

    socket: int
    """Each makes one, in the order of their numbers."""
    seen: Address
    at: float
    """When it was made."""


class _Meeting(Attempt):
    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        behavior = setting.pair.mine.behavior
        self._delta = behavior.allocation.delta or 1
        self._is_preserving = behavior.allocation.kind is AllocationKind.PRESERVING
        self._rate = behavior.noise or 0.0
        """Mappings that others make in a second."""
        self._known: _Mapping | None = None
        """The newest one of ours."""
        self._round = 0
        self._is_quiet = False
        """Whether so few others send that a few sockets will do."""
        self._ttls = [tunnel_limits.OPENER_TTL] if self._is_preserving else list(limits.OPENER_TTLS_SEEN)
        """The first one is used; the others if openers do not come as far as our NAT."""
        self._sockets = 0
        """So many have a number."""
        blind = STRATEGY.cost(setting.pair).blind
        self._may_make = blind if setting.room is None else min(blind, setting.room)
        """Mappings in all, before it is seen whether our router has room for more."""
        self._homes: dict[int, Address] = {}
        """Where sockets were seen, the oldest first, of which no look has used any yet."""
        self._ends_at = inf
        self._begin_round(inf)

    def _begin_round(self, now: float) -> None:
        self._sampling = Sampling()
        self._asked_at: dict[int, float] = {}
        """By socket."""
        self._old: tuple[int, Address] | None = None
        """The socket that tells whether our router forgets, and where it was seen; None: none."""
        self._judged_at = inf
        """When it counts that a look was not answered; infinite: there is none under way."""
        self._count = 0
        """Sockets that are to open."""
        self._told: Address | None = None
        """Where we are going to be."""
        self._theirs: Address | None = None
        self._burst: range = range(0)
        """The sockets that opened, between two that ask."""
        self._hits: range | None = None
        """Those that may be where we told; None while that is not known."""
        self._is_peer_open = False
        self._rushed = 0
        """Sockets that knocked without knowing whether they are where we told."""
        self._passes = 0
        self._knock_at = inf
        self._trip = min(self.setting.round_trip, limits.MEETING_TRIP_MOST)
        self._round_ends_at = now + limits.MEETING_ROUND + self._trip

    # --- what happens -------------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """Find out which ports it is giving out now."""
        self._ends_at = now + limits.MEETING_SECONDS
        self._next_round(1, now)

    def seen(self, socket: int, server: Address, address: Address, now: float) -> None:
        """One of our mappings."""
        self._sampling.seen(socket, server, address)
        at = self._asked_at.get(socket)
        if at is None:
            if self._old is not None and socket == self._old[0]:
                self._judge(now)
                self._set_due()
            return
        self._learn(_Mapping(socket, address, at))
        self._homes.setdefault(socket, address)
        if self._judged_at < inf:
            self._judge(now)
        elif self._told is None:
            self._tell_port(now)
            self._open(now)
        elif self._burst and self._hits is None:
            self._look(now)
        self._set_due()

    def peer_ready(self, payload: bytes, now: float) -> None:
        """Where the peer is going to be, then that it is there."""
        ready = Ready.decode(payload)
        if self.is_over or not self._round <= ready.round <= limits.MEETING_ROUNDS:
            return
        places = [place for place in ready.addresses() if place.ip.version == 4]
        if not places:
            return
        if ready.round > self._round:  # one of us missed
            self._next_round(ready.round, now, places[0])
        if self._theirs is None:
            self._theirs = places[0]
        if ready.is_open:
            self._is_peer_open = True
            self._knock_at = now if not self._passes else self._knock_at
        self._open(now)
        self._rush()
        self.handle_timer(now)

    def handle_timer(self, now: float) -> None:
        """Ask again, knock, or begin anew."""
        if now >= self._ends_at:
            self._give_up()
        elif now >= self._round_ends_at:
            self._known = None
            self._next_round(self._round + 1, now)
        if not self.is_over and now >= self._judged_at:
            self._judge(now)
        if self.is_over:
            return
        self.do(*self._sampling.again(now))
        if now >= self._knock_at and self._theirs is not None and self._hits is not None:
            self._knock(self._theirs, self._hits, now)
        self._set_due()

    # --- one round ----------------------------------------------------------------------------------------

    def _next_round(self, number: int, now: float, theirs: Address | None = None) -> None:
        if number > limits.MEETING_ROUNDS or not self.setting.servers:
            self._give_up()
            return
        self._round = number
        self._begin_round(now)
        self._theirs = theirs
        if self._round > 1 and not self._has_room:
            self._look_for_room(now)
        elif self._is_preserving or self._known is None:
            self._ask(now)
        else:
            self._tell_port(now)
        self._set_due()

    # --- whether our router has room ----------------------------------------------------------------------

    @property
    def _has_room(self) -> bool:
        """For one more round, as far as is known."""
        few = 1 if self._is_preserving else limits.MEETING_FEW
        return self._sockets + few + 3 <= self._may_make

    def _look_for_room(self, now: float) -> None:
        self._ask(now)  # first, so that it is the old one that goes if one has to
        if self._homes:
            socket = next(iter(self._homes))
            self._old = socket, self._homes.pop(socket)
            self.do(self._sampling.ask(socket, self.setting.servers[0], now))
        self._judged_at = now + limits.CANARY_WAIT

    def _judge(self, now: float) -> None:
        """Go on if there is room, as soon as that is known; if not, leave our router in peace."""
        answers, server = self._sampling.answers, self.setting.servers[0]
        is_fresh = (self._sockets, server) in answers
        old = None if self._old is None else answers.get((self._old[0], server))
        is_late = now >= self._judged_at
        if (old is not None and self._old is not None and old != self._old[1]) or (
            is_late and old is not None and not is_fresh
        ):
            self.is_cramped = True
            self._give_up()
        elif is_fresh and (old is not None or self._old is None or is_late):
            self._judged_at = inf
            self._may_make = self._sockets + limits.MEETING_SOCKETS + 2
            self._tell_port(now)
            self._may_make = self._sockets + self._count + 2
            self._open(now)
        elif is_late:  # nobody answers, which says nothing: another round may
            self._judged_at = inf

    def _ask(self, now: float) -> None:
        """Where a new socket is seen."""
        self._sockets += 1
        self._asked_at[self._sockets] = now
        self.do(self._sampling.ask(self._sockets, self.setting.servers[0], now))

    def _learn(self, found: _Mapping) -> None:
        """Where our NAT is in giving out ports, and how many others take."""
        known = self._known
        if known is not None and found.socket <= known.socket:
            return
        self._known = found
        if known is not None:
            steps = _steps(known.seen.port, found.seen.port, self._delta)
            others = max(0, steps - (found.socket - known.socket))
            weight = limits.MEETING_NOISE_SECONDS
            self._rate = (self._rate * weight + others) / (weight + found.at - known.at)

    def _tell_port(self, now: float) -> None:
        """Where we are going to be."""
        if self._known is None:
            return
        last = self._known
        if self._is_preserving:
            port = self.setting.local_port(self._sockets + 2)  # the one that is to open: `_open`
            if not port:
                self._give_up()
                return
        else:
            # We open when we know the peer's port: at once if that is known, else when its word comes.
            wait = 0.0 if self._theirs is not None else self.setting.round_trip
            others = round(self._rate * (now + wait - last.at))
            self._is_quiet = others <= limits.MEETING_OTHERS
            most = limits.MEETING_FEW if self._is_quiet else limits.MEETING_SOCKETS
            self._count = max(1, min(most, self._may_make - self._sockets - 2))
            further = self._count if self._is_quiet else self._count // 2 + others
            port = _wrapped(last.seen.port + self._delta * (self._sockets - last.socket + 1 + further))
        self._told = Address(last.seen.ip, port)
        self.ready = Ready.at([self._told], round=self._round).encode()

    def _open(self, now: float) -> None:
        """Openers to where the peer is going to be."""
        if self._theirs is None or self._told is None or self._burst:
            return
        count = 1 if self._is_preserving else self._count
        self._ask(now)
        self._burst = range(self._sockets + 1, self._sockets + 1 + count)
        self._sockets += count
        if not self._rush():
            self.do(*(Shot(socket, self._theirs, self._ttls[0]) for socket in self._burst))
        self._ask(now)
        if self._may_rush:
            self._tell_open()

    def _tell_open(self) -> None:
        if self._told is not None:
            self.ready = Ready.at([self._told], round=self._round, is_open=True).encode()

    @property
    def _may_rush(self) -> bool:
        """Whether our sockets are so few that all of them may knock."""
        return self._is_preserving or (self._is_quiet and self._round == 1)

    def _rush(self) -> bool:
        """Knock from all sockets if the peer is open, without waiting to know which one is where we told; false if not."""
        may_rush = self._may_rush and self._is_peer_open and self._hits is None and not self._rushed
        if may_rush and self._theirs is not None:
            self._rushed = len(self._burst)
            self.do(*(Shot(socket, self._theirs) for socket in self._burst))
        return may_rush

    def _look(self, now: float) -> None:
        """Which of our sockets is where we told, as soon as both answers are there."""
        seen = {socket: address for (socket, _), address in self._sampling.answers.items()}
        first, last = seen.get(self._burst.start - 1), seen.get(self._burst.stop)
        if first is None or last is None or self._told is None:
            return
        self._hits = self._burst if self._is_preserving else self._sockets_at(self._told, first, last)
        if not self._hits or len(self._hits) > limits.MEETING_DOUBTS:
            self._next_round(self._round + 1, now)
            return
        self._tell_open()
        self._knock_at = now if self._is_peer_open else now + limits.OPEN_WAIT

    def _sockets_at(self, told: Address, first: Address, last: Address) -> range:
        """Which of those between two that were seen may be at that port."""
        steps = _steps(first.port, last.port, self._delta)
        if 0 < steps <= len(self._burst) // 2:  # most openers did not come as far as our NAT
            self._ttls = self._ttls[1:] or self._ttls
            return range(0)
        others = max(0, steps - 1 - len(self._burst))
        wanted = self._burst.start + _steps(first.port, told.port, self._delta)
        return range(max(self._burst.start, wanted - 1 - others), min(self._burst.stop, wanted))

    def _knock(self, to: Address, sockets: range, now: float) -> None:
        for socket in sockets:
            self.do(Shot(socket, to))
        self._passes += 1
        if self._passes == 1 and self._is_peer_open:
            self._round_ends_at = min(self._round_ends_at, now + limits.MEETING_KNOCKS + self._trip)
        knocks = self._rushed + (self._passes + 1) * len(sockets)
        is_last = self._passes > len(tunnel_limits.ROUND_GAPS) or knocks > _KNOCKS
        self._knock_at = inf if is_last else now + tunnel_limits.ROUND_GAPS[self._passes - 1]

    def _give_up(self) -> None:
        self.is_over = True
        self.due = inf

    def _set_due(self) -> None:
        knock_at = self._knock_at if self._hits is not None else inf
        dues = self._ends_at, self._round_ends_at, self._sampling.due, knock_at, self._judged_at
        self.due = inf if self.is_over else min(dues)


def _steps(port: int, other: int, delta: int) -> int:
    """How many mappings after one the other is; where ports began anew in between, as if they had not."""
    steps = (other - port) / delta
    around = _PORTS / abs(delta)
    if steps < -around / 2:
        steps += around
    elif steps > around / 2:
        steps -= around
    return round(steps)


def _wrapped(port: int) -> int:
    return (port - _LOWEST) % _PORTS + _LOWEST


STRATEGY = PredictBoth()
