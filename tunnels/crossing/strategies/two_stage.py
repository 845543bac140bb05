"""Openers first, knocks once both ends have sent theirs: for NATs that take it amiss when something comes unasked. Sans-IO.

Some routers let what comes first from outside occupy the port it came to: our own datagram then leaves from another one,
and the peer waits where we are not. Others block whoever sends unasked. Here nothing full-lived is sent before the peer
said that it opened its NAT, so neither sees anything but answers; and each round has a new socket, because a port that
was spoilt stays so while anyone sends. Plain pings to all candidates do without the wait, and mostly suffice: they come
first. (The order of the messages is n2n's and DCUtR's, with a confirmation in place of a clock.)
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from tunnels import limits as tunnel_limits
from tunnels.crossing import limits
from tunnels.crossing.description import NetworkClass
from tunnels.crossing.strategy import Attempt, Cost, Ready, Sampling, Setting, Shot

if TYPE_CHECKING:
    from tunnels.addresses import Address
    from tunnels.crossing.description import Pair

_SUITABLE = (NetworkClass.ADDRESS_RESTRICTED, NetworkClass.PORT_RESTRICTED)
_ROUNDS = len(limits.OPENER_TTLS)
_SERVERS = 2
_QUESTIONS = _SERVERS * limits.SAMPLING_SENDS
_ROUND_MOST = limits.TWO_STAGE_ROUND + limits.TWO_STAGE_TRIPS * limits.TWO_STAGE_TRIP_MOST


@dataclass(frozen=True, slots=True)
class TwoStage:
    """The row of the registry."""

    name: str = "two-stage punch"
    code: int = 9
    summary: str = "both ends open their NATs with datagrams that die on the way, and knock once both have"

    def suits(self, pair: Pair) -> bool:
        """Each end has one place, and neither lets strangers in."""
        return all(network in _SUITABLE for network in pair.classes)

    def success(self, pair: Pair) -> float:
        """By tests/tunnels/crossing/strategies/test_two_stage.py, for networks that are what they seem."""
        return 0.97

    def cost(self, pair: Pair) -> Cost:
        """The same for all."""
        return Cost(
            datagrams=_ROUNDS * (_QUESTIONS + limits.OPENERS + tunnel_limits.ROUND_PINGS),
            sockets=_ROUNDS,
            mappings=_ROUNDS * (_SERVERS + 1),
            seconds=_ROUNDS * _ROUND_MOST,
        )

    def attempt(self, setting: Setting) -> Attempt:
        """Our side."""
        return _TwoStageAttempt(setting)


class _TwoStageAttempt(Attempt):
    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        trips = limits.TWO_STAGE_TRIPS * min(setting.round_trip, limits.TWO_STAGE_TRIP_MOST)
        self._round_seconds = limits.TWO_STAGE_ROUND + trips
        self._round = 0
        """From 1 on, which is also the number of its socket."""
        self._begin_round(inf)

    def _begin_round(self, now: float) -> None:
        self._sampling = Sampling()
        self._place: Address | None = None
        """Where our socket is seen."""
        self._theirs: Address | None = None
        self._openers = self._knocks = 0
        """Sent so far."""
        self._open_at = self._knock_at = inf
        self._ends_at = now + self._round_seconds

    @property
    def _is_open(self) -> bool:
        return self._openers == limits.OPENERS

    def begin(self, now: float) -> None:
        """Find out where a new socket is seen."""
        self._next_round(1, now)

    def seen(self, socket: int, server: Address, address: Address, now: float) -> None:
        """That is where the peer may knock."""
        if self._place is None and socket == self._round:
            self._place = address
            self._sampling = Sampling()  # one answer is enough
            self._tell()
        self._set_due()

    def peer_ready(self, payload: bytes, now: float) -> None:
        """Where the peer is seen, then that it is open."""
        ready = Ready.decode(payload)
        if self.is_over or not self._round <= ready.round <= _ROUNDS:
            return
        if ready.round > self._round:  # it gave the last one up a little earlier
            self._next_round(ready.round, now)
        places = ready.addresses()
        if self._theirs is None and places:
            self._theirs = places[0]
            self._open_at = now
        if ready.is_open and not self._knocks:
            self._knock_at = now
        self.handle_timer(now)

    def handle_timer(self, now: float) -> None:
        """Openers, then knocks; a new round if they are in vain."""
        if now >= self._ends_at:
            self._next_round(self._round + 1, now)
        if self.is_over:
            return
        self.do(*self._sampling.again(now))
        if self._theirs is not None and now >= self._open_at:
            self._open(self._theirs, now)
        if self._theirs is not None and now >= self._knock_at and self._is_open:
            self._knock(self._theirs, now)
        self._set_due()

    def _next_round(self, number: int, now: float) -> None:
        servers = self.setting.servers[:_SERVERS]
        if number > _ROUNDS or not servers:
            self.is_over = True
            self.due = inf
            return
        self._round = number
        self._begin_round(now)
        self.do(*(self._sampling.ask(number, server, now) for server in servers))
        self._set_due()

    def _open(self, to: Address, now: float) -> None:
        ttl = self.setting.opener_ttl if self._round == 1 else limits.OPENER_TTLS[self._round - 1]
        self.do(Shot(self._round, to, ttl))
        self._openers += 1
        self._open_at = inf if self._is_open else now + limits.OPENER_GAP
        if self._is_open:
            self._knock_at = min(self._knock_at, now + limits.OPEN_WAIT)
            self._tell()

    def _knock(self, to: Address, now: float) -> None:
        self.do(Shot(self._round, to))
        is_last = self._knocks == len(tunnel_limits.ROUND_GAPS)
        self._knock_at = inf if is_last else now + tunnel_limits.ROUND_GAPS[self._knocks]
        self._knocks += 1

    def _tell(self) -> None:
        if self._place is not None:
            self.ready = Ready.at([self._place], round=self._round, is_open=self._is_open).encode()

    def _set_due(self) -> None:
        knock_at = self._knock_at if self._is_open else inf
        self.due = min(self._ends_at, self._sampling.due, self._open_at, knock_at)


STRATEGY = TwoStage()
