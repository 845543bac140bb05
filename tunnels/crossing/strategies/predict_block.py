"""One side has its ports in order and tells them, the other tries them from random ports of its block. Sans-IO.

The *telling* side opens ports in runs, each towards another port of the block: all at once, so that nobody comes between, and
between two questions to a STUN server, which show it if somebody did. Each of these ports lets one port of the block in. They are
few, as no router is to be filled by them: the other side tries each from as many sockets as it needs. A
combination of the other side leaves from that one with 1/P, whatever is done, so it takes 4.6·P of them for 99 %, and 0.69·P
for half of all attempts: each is a mapping that nobody can foretell, opened towards a port at which one of P is awaited.

So it is how fast a router may be asked for new mappings that says how long it takes. The other side begins as soon as the first
run is known, with as many at once as a budget allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from math import ceil, exp, inf
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from tunnels.addresses import Address
from tunnels.crossing import limits
from tunnels.crossing.birthday import HIGHEST, draw, linger, ports_of, sane_ips
from tunnels.crossing.combinations import Combining, cost_of
from tunnels.crossing.description import NetworkClass
from tunnels.crossing.strategy import Attempt, Cost, Ready, Sampling, Shot
from tunnels.errors import ProtocolViolation
from tunnels.nat.behavior import AllocationKind
from tunnels.paths.candidates import OTHERS_PORTS

if TYPE_CHECKING:
    from tunnels.crossing.description import Description, Pair
    from tunnels.crossing.strategy import Setting


@dataclass(frozen=True, slots=True)
class PredictBlock:
    """Half of all attempts in a block of 1024 take one and a half seconds."""

    name: str = "predicted ports and a block"
    code: int = 14
    summary: str = "one side foretells its ports, and the other tries them from the few that it has"

    def suits(self, pair: Pair) -> bool:
        """Whether one has its ports in order, by a step that is known, and the other has them in a block."""
        return (
            pair.has(NetworkClass.SEQUENTIAL, NetworkClass.BLOCK)
            and not pair.is_behind_one_address
            and _telling(pair).behavior.allocation.kind is AllocationKind.DELTA
        )

    def success(self, pair: Pair) -> float:
        """That one of the combinations leaves from the right port."""
        return 1 - exp(-combinations(pair) / _block_ports(pair))

    def cost(self, pair: Pair) -> Cost:
        """Thousands of mappings for the side with the block."""
        count = combinations(pair)
        if not _is_ours_to_tell(pair):
            return cost_of(limits.PREDICT_BLOCK_SOCKETS, count, count, prepares=_PREPARES)
        runs, ports = limits.PREDICT_BLOCK_RUNS, limits.PREDICT_BLOCK_RUNS * limits.PREDICT_BLOCK_RUN
        mappings = ports + 2 * runs
        return Cost(
            datagrams=_ROUNDS * ports + 2 * runs * limits.SAMPLING_SENDS,
            sockets=2 * runs,
            mappings=mappings,
            blind=mappings,
            seconds=cost_of(0, count, 0, prepares=_PREPARES).seconds,
            guesses=True,
        )

    def attempt(self, setting: Setting) -> Attempt | None:
        """Tell or try."""
        return _Telling(setting) if _is_ours_to_tell(setting.pair) else _Trying(setting)


_ROUNDS: Final = 2
"""How often each port is opened: once more before the NAT forgets it."""


def _is_ours_to_tell(pair: Pair) -> bool:
    return pair.mine.network_class is NetworkClass.SEQUENTIAL


def _telling(pair: Pair) -> Description:
    return pair.mine if _is_ours_to_tell(pair) else pair.theirs


def _block(pair: Pair) -> range:
    """The ports that the other side has."""
    network = pair.theirs if _is_ours_to_tell(pair) else pair.mine
    span = network.behavior.allocation.span
    return ports_of(span) if span is not None else range(0)


def _block_ports(pair: Pair) -> int:
    """Of which one is right; each ip of a NAT that has several, of either side, makes it as many times less likely."""
    ips = max(1, len(pair.mine.behavior.external_ips)) * max(1, len(pair.theirs.behavior.external_ips))
    return max(1, len(_block(pair))) * ips


def combinations(pair: Pair) -> int:
    """As many as are enough, or as there is time for."""
    return min(limits.PREDICT_BLOCK_COMBINATIONS, ceil(limits.GUESS_ENOUGH * _block_ports(pair)))


# --- what is told -------------------------------------------------------------------------------------------

_Port = Annotated[int, Meta(ge=1, le=HIGHEST)]


class Run(msgspec.Struct, frozen=True, array_like=True):
    """Ports that were opened."""

    ip: Annotated[bytes, Meta(min_length=4, max_length=4)]
    first: _Port
    step: Annotated[int, Meta(ge=-HIGHEST, le=HIGHEST)]
    count: Annotated[int, Meta(ge=1, le=limits.PREDICT_BLOCK_RUN)]

    def places(self) -> list[Address]:
        """Those of them that can be."""
        ip = ip_address(self.ip)
        ports = [self.first + self.step * number for number in range(self.count)]
        return [
            Address(ip, port)
            for port in ports
            if limits.GUESS_LOWEST <= port <= HIGHEST and port not in OTHERS_PORTS
        ]


class Told(msgspec.Struct, frozen=True, array_like=True):
    """All of them."""

    runs: Annotated[tuple[Run, ...], Meta(max_length=limits.PREDICT_BLOCK_RUNS)] = ()

    def encode(self) -> bytes:
        """As the payload of `Attempt.ready`."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, payload: bytes) -> Told:
        """ProtocolViolation for anything else."""
        try:
            return _decoder.decode(payload)
        except (ValueError, RecursionError):
            raise ProtocolViolation("not what is told of ports that were opened") from None


_decoder: Final = msgspec.msgpack.Decoder(Told)


def run_between(before: Address, after: Address, delta: int, count: int) -> Run | None:
    """The ports of so many datagrams, between two that were seen; None if a stranger got one among them.

    A NAT that goes by ip only gave all of them the same one.
    """
    passed = after.port - before.port
    if before.ip != after.ip or before.ip.version != 4:
        return None
    if passed == delta * (count + 1):
        step, count = delta, count
    elif passed == 2 * delta:
        step, count = 0, 1
    else:
        return None
    return Run(before.ip.packed, before.port + delta, step, count)


# --- the two sides ------------------------------------------------------------------------------------------


def _runs_within(room: int | None) -> int:
    """How many there is room for, as far as is known; all of them if nothing is known."""
    runs = limits.PREDICT_BLOCK_RUNS
    return runs if room is None else min(runs, room // (limits.PREDICT_BLOCK_RUN + 2))


class _Telling(Attempt):
    """Each run has a socket of its own, and another one for the question after it."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._sampling = Sampling()
        self._next = 0
        self._next_at = self._ends_at = self._gives_up_at = inf
        self._runs: list[list[Shot]] = []
        self._again_at: list[float] = []
        """When each run is to be opened once more."""
        self._has_told = False
        """Of all runs."""
        self._has_peer = False
        self._takes = _PREPARES + combinations(setting.pair) / limits.COMBINATIONS_PER_SECOND

    def begin(self, now: float) -> None:
        """Open the first run; the others follow when the peer says that it is there."""
        ips, ports = sane_ips(self.setting), _block(self.setting.pair)
        if not ips or not self.setting.servers or not ports:
            self.is_over = True
            return
        size = limits.PREDICT_BLOCK_RUN
        ttl = self.setting.opener_ttl
        towards = draw(ports, limits.PREDICT_BLOCK_RUNS * size, self.setting.random)
        for number in range(_runs_within(self.setting.room)):
            ip = ips[number % len(ips)]
            chosen = towards[number * size : (number + 1) * size] or towards[:size]
            self._runs.append([Shot(2 * number + 1, Address(ip, port), ttl) for port in chosen])
        self._next_at = now
        self._ends_at = now + linger(self.setting) + self._takes
        self.handle_timer(now)

    def seen(self, socket: int, server: Address, address: Address, now: float) -> None:
        """Where a run begins or ends."""
        self._sampling.seen(socket, server, address)
        self.handle_timer(now)

    def peer_ready(self, payload: bytes, now: float) -> None:
        """The peer is there, and attested to be if it ever will be: more may be sent to it than the first run."""
        Ready.decode(payload)
        if self._has_peer or self.is_over:
            return
        self._has_peer = True
        self._next_at = now
        self._gives_up_at = now + _PREPARES
        self._ends_at = now + linger(self.setting) + self._takes
        self.handle_timer(now)

    def handle_timer(self, now: float) -> None:
        """Open what is due."""
        if self.is_over:
            return
        while self._next < len(self._runs) and self._next_at <= now:
            self._open(self._runs[self._next], now)
            self._next += 1
            self._next_at = max(self._next_at, now - _GAP) + _GAP if self._has_peer else inf
        if not self._has_told:
            self.do(*self._sampling.again(now))
            self._tell(now)
        for number, at in enumerate(self._again_at):
            if at <= now:
                self.do(*self._runs[number])
                self._again_at[number] = inf
        if now >= self._ends_at:
            self.is_over = True
        self._set_due()

    def _open(self, run: list[Shot], now: float) -> None:
        server = self.setting.servers[0]
        socket = run[0].socket
        self.do(self._sampling.ask(socket, server, now), *run, self._sampling.ask(socket + 1, server, now))
        self._again_at.append(now + limits.GUESS_OPENERS_EVERY)

    def _tell(self, now: float) -> None:
        """Of the first run as soon as it is known, so that the peer begins; then of all, once all answers are there or should be."""
        is_all = self._next == len(self._runs) and (now >= self._gives_up_at or self._sampling.is_complete)
        if self.ready is not None and not is_all:
            return
        server, answers = self.setting.servers[0], self._sampling.answers
        delta = self.setting.pair.mine.behavior.allocation.delta or 1
        found = []
        for run in self._runs:
            before = answers.get((run[0].socket, server))
            after = answers.get((run[0].socket + 1, server))
            if before is not None and after is not None:
                found.append(run_between(before, after, delta, len(run)))
        told = tuple(run for run in found if run is not None)
        if told:
            self.ready = Told(told).encode()
        self._has_told = is_all
        self.is_over = is_all and not told

    def _set_due(self) -> None:
        if self.is_over:
            self.due = inf
            return
        asks = min(self._sampling.due, self._gives_up_at) if not self._has_told else inf
        opens = self._next_at if self._next < len(self._runs) else inf
        self.due = min(self._ends_at, asks, opens, *self._again_at)


_GAP: Final = (limits.PREDICT_BLOCK_RUN + 2) / limits.COMBINATIONS_PER_SECOND
"""Seconds from one run to the next."""

_PREPARES: Final = limits.PREDICT_BLOCK_RUNS * _GAP + limits.CANARY_WAIT
"""Seconds until all questions were answered, or will not be."""


class _Trying(Combining):
    """Each of the ports from the first socket, then from the second, and so on; begins with those of the first run."""

    def __init__(self, setting: Setting) -> None:
        self._left = combinations(setting.pair)
        self._planned: set[Address] = set()
        super().__init__(setting, limits.PREDICT_BLOCK_SOCKETS, self._left)

    def begin(self, now: float) -> None:
        """There is nothing to prepare."""
        super().begin(now)
        self.ready = Ready().encode()

    def peer_ready(self, payload: bytes, now: float) -> None:
        """Ports are open, of the first run or of all."""
        runs = Told.decode(payload).runs
        if self.is_over:
            return
        known = set(sane_ips(self.setting))
        named = dict.fromkeys(place for run in runs for place in run.places() if place.ip in known)
        places = [place for place in named if place not in self._planned]
        self._planned.update(places)
        sockets = range(1, limits.PREDICT_BLOCK_SOCKETS + 1)
        plan = [Shot(socket, place) for socket in sockets for place in places][: self._left]
        self._left -= len(plan)
        if plan:
            self.start(plan, now, to_come=self._left)  # a relay may hold up what follows


STRATEGY: Final = PredictBlock()
