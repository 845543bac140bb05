"""Facts about when paths are asked."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from tests.lab.paths import at, relay_to
from tunnels import limits
from tunnels.paths.attention import Attention
from tunnels.paths.candidates import Candidate, CandidateKind, PathPolicy
from tunnels.paths.table import PathTable, source
from tunnels.paths.trace import Trace

if TYPE_CHECKING:
    from tunnels.paths.path import Path

NOW = 1000.0
DIRECT = Candidate(at("203.0.113.2"), CandidateKind.HOST)
OTHER = Candidate(at("203.0.113.3"), CandidateKind.HOST)
RELAY = source(relay_to("bob"))


class Asked:
    """Attention over a relay and two direct paths; pings are answered where it says so."""

    def __init__(
        self, selected: Candidate, *works: Candidate, took: float = 0.05, is_heard: bool = True
    ) -> None:
        self.table = PathTable([DIRECT, OTHER, RELAY], PathPolicy.AUTO, NOW)
        self.attention = Attention(self.table, Trace(), lambda size: b"\x80" * size)
        self.attention.is_heard = is_heard
        self.works = {selected.address, *(candidate.address for candidate in works)}
        self.took = took
        self.asked: list[tuple[float, Path]] = []
        self.table.select(self.table.get(selected.address), NOW)
        self.attention.opened(NOW)
        self.run(NOW, NOW + 10)
        self.asked.clear()

    def run(self, since: float, until: float, *, active: bool = False) -> list[float]:
        """The times of pings of the paths, by the timers."""
        now = since
        while now < until:
            if active:
                self.attention.used(now)
                self.attention.flow_at = now
            self.attention.handle_timer(now)
            for path in self.table:
                if path.round.due <= now:
                    path.ping_sent(now)
                    path.round.sent(now)
                    self.asked.append((now, path))
                    if path.address in self.works:
                        path.answered(now, None, now + self.took)
                        path.round.answered()
            now += 0.1
        return [at for at, _ in self.asked]

    def of(self, candidate: Candidate) -> list[float]:
        return [at for at, path in self.asked if path.candidate == candidate]


def test_an_idle_connection_keeps_the_selected_path_and_the_relay_open_and_no_other():
    asked = Asked(DIRECT, RELAY, took=0.005)
    asked.run(NOW + 10, NOW + 310)
    for kept in (DIRECT, RELAY):
        gaps = [later - earlier for earlier, later in zip(asked.of(kept), asked.of(kept)[1:], strict=False)]
        assert 12 <= min(gaps) <= max(gaps) <= 18.2
    assert asked.of(OTHER) == []


def test_while_data_flows_they_are_asked_every_few_seconds():
    asked = Asked(DIRECT, RELAY, took=0.005)
    asked.run(NOW + 10, NOW + 110, active=True)
    assert 12 <= len(asked.of(DIRECT)) <= 21
    assert 12 <= len(asked.of(RELAY)) <= 21


def test_when_data_stops_the_path_is_asked_out_of_turn_once():
    asked = Asked(DIRECT, took=0.005)
    asked.run(NOW + 10, NOW + 20, active=True)
    asked.asked.clear()
    asked.run(NOW + 20, NOW + 23)
    assert len(asked.of(DIRECT)) == 1


def test_the_first_data_after_a_pause_asks_at_once():
    asked = Asked(DIRECT, RELAY)
    asked.run(NOW + 10, NOW + 100)
    assert asked.attention.used(NOW + 100)
    assert asked.attention.due <= NOW + 100
    assert not asked.attention.used(NOW + 101)


def test_while_only_the_relay_works_the_others_are_asked_less_and_less_often():
    asked = Asked(RELAY)
    asked.run(NOW + 10, NOW + 600, active=True)
    rounds = [at for at in asked.of(DIRECT) if not any(0 < at - other < 4.5 for other in asked.of(DIRECT))]
    gaps = [later - earlier for earlier, later in itertools.pairwise(rounds)]
    assert gaps == sorted(gaps)
    assert 55 < gaps[-1] < 65
    assert len(asked.of(DIRECT)) <= len(rounds) * limits.ROUND_PINGS


def test_a_good_path_is_enough_and_a_long_one_is_compared_now_and_then():
    good, long = Asked(DIRECT, took=0.005), Asked(DIRECT, took=0.05)
    for asked in (good, long):
        asked.run(NOW + 10, NOW + 310, active=True)
    assert good.of(OTHER) == []
    assert 4 * limits.SCAN_PINGS <= len(long.of(OTHER)) <= 6 * limits.SCAN_PINGS


def test_a_peer_that_knows_no_checks_is_left_in_peace():
    asked = Asked(DIRECT, is_heard=False)
    asked.works.clear()
    asked.run(NOW + 10, NOW + 200, active=True)
    asked.asked.clear()
    asked.run(NOW + 200, NOW + 1000, active=True)
    assert asked.asked == []


def test_in_silence_all_are_asked_twice_a_second_until_it_ends():
    asked = Asked(DIRECT)
    asked.works.clear()
    assert asked.attention.suspect(NOW + 10)
    assert not asked.attention.suspect(NOW + 10)
    asked.run(NOW + 10, NOW + 20, active=True)
    assert all(15 <= len(asked.of(candidate)) <= 30 for candidate in (DIRECT, OTHER, RELAY))
    asked.attention.relax()
    assert asked.attention.due > NOW + 20
