"""Waiting for what a server sends later, through NATs that forget, on a virtual clock."""

from __future__ import annotations

import heapq
import itertools
from ipaddress import IPv4Address
from math import inf
from random import Random

import pytest

from tunnels.addresses import Address
from tunnels.nat import limits, stun
from tunnels.nat.lifetime import Lifetime
from tunnels.nat.reflector import Reflector, Site, Sites
from tunnels.nat.stun import Class, Method
from tunnels.nat.waiting import LifetimeProbe

SERVER = Address.parse("198.51.100.1:3478")
OUTSIDE = IPv4Address("203.0.113.9")


class World:
    """A NAT that forgets a mapping so long after the last datagram from inside, and a server 10 ms away."""

    def __init__(self, forgets: float, *, loss: float = 0.0, seed: int = 1, deaf_from: float = inf) -> None:
        self.forgets, self.loss, self.deaf_from = forgets, loss, deaf_from
        self.now = 1000.0
        self.sent = 0
        self._random = Random(seed)
        self._used: dict[int, float] = {}
        self._events: list[tuple[float, int, int, bytes]] = []
        self._order = itertools.count()
        self.reflector = Reflector(Sites((SERVER.ip,), (SERVER.port,)), bytes(32))
        self.probe = LifetimeProbe(SERVER, chance=Random(seed).randbytes)

    def run(self) -> float:
        """Until it is over; the seconds that took."""
        began, probe = self.now, self.probe
        probe.start(self.now)
        while not probe.is_over:
            for sent in probe.datagrams_to_send(self.now):
                self.sent += 1
                self._used[sent.socket] = self.now
                if self._is_lost():
                    continue
                source = Address(OUTSIDE, 40000 + sent.socket)
                answer = self.reflector.receive(sent.datagram, source, Site(0, 0), self.now)
                if answer is not None:
                    self._deliver(source, answer.datagram)
            for echo in self.reflector.echoes_to_send(self.now):
                self._deliver(echo.to, echo.datagram)
            timers = (
                probe.get_timer(),
                self.reflector.get_timer(),
                *(event[0] for event in self._events[:1]),
            )
            due = min((timer for timer in timers if timer is not None), default=None)
            if due is None:
                break
            self.now = max(self.now, due)
            while self._events and self._events[0][0] <= self.now:
                _, _, socket, datagram = heapq.heappop(self._events)
                probe.receive(socket, datagram, SERVER, self.now)
        return self.now - began

    def _is_lost(self) -> bool:
        return self._random.random() < self.loss or self.now > self.deaf_from

    def _deliver(self, to: Address, datagram: bytes) -> None:
        socket = to.port - 40000
        if self.now - self._used[socket] <= self.forgets and not self._is_lost():
            heapq.heappush(self._events, (self.now + 0.01, next(self._order), socket, datagram))


@pytest.mark.parametrize(
    ("forgets", "expected"),
    [
        (20, Lifetime(None, 25)),
        (30, Lifetime(25, 55)),
        (60, Lifetime(55, 115)),
        (120, Lifetime(115, 175)),
        (600, Lifetime(175, None)),
    ],
)
def test_a_nat_s_patience_is_found_out(forgets, expected):
    world = World(forgets)
    seconds = world.run()
    assert world.probe.lifetime == expected
    assert seconds < (expected.most or 175) + 2 * limits.LIFETIME_LATE, "no longer than it takes to know"


@pytest.mark.parametrize("seed", range(20))
def test_losses_do_not_make_it_wrong(seed):
    world = World(60, loss=0.05, seed=seed)
    world.run()
    assert world.probe.lifetime.least in (None, 25, 55)
    assert world.probe.lifetime.most in (55, 115, None)
    if world.probe.lifetime.most == 55:  # both of one time were lost
        assert world.probe.lifetime.least == 25


def test_a_server_that_falls_silent_says_nothing_of_the_nat():
    world = World(30, deaf_from=1040.0)
    world.run()
    assert world.probe.lifetime == Lifetime(25, None)


def test_few_datagrams_are_sent_and_what_the_server_keeps_fits_its_bounds():
    world = World(600)
    world.run()
    sockets = len(limits.LIFETIME_WAITS) * limits.LIFETIME_SOCKETS
    assert sockets <= limits.REFLECTOR_ECHOES_OF_SOURCE
    assert max(limits.LIFETIME_WAITS) <= limits.REFLECTOR_ECHO_MOST
    assert world.sent == 2 * sockets


def test_a_server_that_is_none_of_ours_is_left_alone():
    probe = LifetimeProbe(SERVER, chance=Random(1).randbytes)
    probe.start(0.0)
    for sent in probe.datagrams_to_send(0.0):
        answer = stun.encode(
            Method.BINDING, Class.RESPONSE, sent.datagram[8:20], {"XOR-MAPPED-ADDRESS": Address(OUTSIDE, 5)}
        )
        assert not probe.receive(sent.socket, answer, Address(SERVER.ip, 5), 0.1)
        assert not probe.receive(77, answer, SERVER, 0.1)
        assert not probe.receive(sent.socket, b"junk", SERVER, 0.1)
        assert probe.receive(sent.socket, answer, SERVER, 0.1)
    assert probe.is_over
    assert probe.lifetime == Lifetime()


def test_a_beacon_that_has_too_much_to_do_leaves_it_unknown(monkeypatch):
    monkeypatch.setattr(limits, "REFLECTOR_ECHOES", 0)
    world = World(600)
    assert world.run() < 10
    assert world.probe.lifetime == Lifetime()


def test_nobody_to_ask_is_over_at_once():
    assert LifetimeProbe(None, chance=Random(1).randbytes).is_over
