"""Combinations are tried at a bounded rate, and no more once our router is full."""

from __future__ import annotations

from random import Random

import pytest

from tests.lab.crossings import SERVERS, Home
from tests.lab.tries import LEFT, RIGHT, block, pair_of
from tunnels.addresses import Address
from tunnels.bucket import Bucket
from tunnels.crossing import limits
from tunnels.crossing.canary import Canary
from tunnels.crossing.combinations import Combining, cost_of, looks_of
from tunnels.crossing.strategy import Setting, Shot

COUNT = 1200
PLAN = [Shot(1 + number % 8, Address.parse(f"{RIGHT}:{2000 + number}")) for number in range(COUNT)]


class Server:
    """Answers the attempt's questions until there is no room."""

    def __init__(self, *, answers: bool = True, room: int = 1 << 20) -> None:
        self.answers, self.room = answers, room
        self.made: set[object] = set()
        self.shots: list[tuple[float, Shot]] = []
        self.asks = 0

    def run(self, attempt: Combining) -> None:
        now = 0.0
        attempt.begin(now)
        attempt.start(PLAN, now)
        while not attempt.is_over:
            for action in attempt.take():
                has_room = len(self.made) < self.room or action in self.made
                if has_room:
                    self.made.add(action)
                if isinstance(action, Shot):
                    self.shots.append((now, action))
                    continue
                self.asks += 1
                if self.answers and has_room:
                    attempt.seen(
                        action.socket, action.server, Address.parse(f"{LEFT}:{action.socket + 2000}"), now
                    )
            now = max(now, attempt.due) if attempt.due < 1e9 else now
            attempt.handle_timer(now)


def attempt_with(servers: tuple[Address, ...] = SERVERS) -> Combining:
    pair = pair_of(Home(block(1024), LEFT), Home(block(1024), RIGHT))
    setting = Setting(pair, (Address.parse(f"{RIGHT}:5000"),), servers, 0.1, Random(1), is_client=True)
    return Combining(setting, 8, COUNT)


@pytest.mark.parametrize("answers", [True, False])
def test_all_are_tried_in_order_at_the_rate_the_first_ones_faster(answers):
    server = Server(answers=answers)
    attempt = attempt_with()
    server.run(attempt)
    assert [shot for _, shot in server.shots] == PLAN
    times = [at for at, _ in server.shots]
    first = limits.COMBINATIONS_FIRST
    quick = first / limits.COMBINATIONS_FIRST_PER_SECOND
    assert times[first - 1] == pytest.approx(quick, abs=0.02)
    assert times[-1] == pytest.approx(quick + (COUNT - first) / limits.COMBINATIONS_PER_SECOND, abs=0.05)
    assert server.asks <= cost_of(8, COUNT, COUNT).datagrams - COUNT
    assert not attempt.is_cramped


def test_what_they_do_is_within_what_a_budget_allows():
    server = Server()
    server.run(attempt_with())
    bucket = Bucket(limits.CROSSING_PER_SECOND, limits.CROSSING_BURST)
    assert all(bucket.take(at) for at, _ in server.shots)


def test_more_is_tried_after_what_is_planned():
    attempt = attempt_with(())
    attempt.begin(0.0)
    attempt.start(PLAN[:300], 0.0)
    attempt.start(PLAN[300:], 0.1)
    found = attempt.take()
    while not attempt.is_over:
        attempt.handle_timer(attempt.due)
        found += attempt.take()
    assert found == PLAN


def test_without_servers_all_are_tried_as_well():
    server = Server()
    server.run(attempt_with(()))
    assert len(server.shots) == COUNT
    assert server.asks == 0


def test_it_stops_when_the_router_is_full():
    server = Server(room=600)
    attempt = attempt_with()
    server.run(attempt)
    assert attempt.is_cramped
    assert (
        len(server.shots)
        < 2 * limits.COMBINATIONS_LOOK + limits.CANARY_WAIT * limits.COMBINATIONS_PER_SECOND + 10
    )


@pytest.mark.parametrize("room", [100, 150])
def test_a_router_with_little_room_is_hardly_asked_for_more(room):
    server = Server(room=room)
    attempt = attempt_with()
    server.run(attempt)
    assert attempt.is_cramped
    looked_at = 128 if room == 100 else 256
    assert len(server.shots) <= 1.5 * (looked_at + limits.COMBINATIONS_BURST) + limits.COMBINATIONS_BURST


def test_a_late_clock_makes_no_burst():
    attempt = attempt_with(())
    attempt.begin(0.0)
    attempt.start(PLAN, 0.0)
    attempt.take()
    attempt.handle_timer(1.0)
    assert len(attempt.take()) == limits.COMBINATIONS_BURST


def test_looks_are_counted_in_what_it_costs():
    cost = cost_of(8, 3 * 2048, 2048, prepares=0.5)
    looks = looks_of(2048)
    assert looks == 8
    assert cost.mappings == 2048 + Canary.sockets(looks)
    assert cost.sockets == 8 + Canary.sockets(looks)
    assert cost.seconds == pytest.approx(
        0.5 + 3 * 2048 / limits.COMBINATIONS_PER_SECOND + limits.GUESS_LINGER
    )
