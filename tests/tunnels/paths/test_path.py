"""Facts about one path: its states, and what is measured of it."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.paths import at
from tunnels import limits
from tunnels.paths.candidates import Candidate, CandidateKind
from tunnels.paths.path import TRANSITIONS, Path, PathInput, PathState

NOW = 1000.0


def new() -> Path:
    return Path(Candidate(at("192.0.2.1"), CandidateKind.HOST))


def usable(now: float = NOW) -> Path:
    path = new()
    path.open(now - 0.02)
    path.ping_sent(now - 0.02)
    path.answered(now - 0.02, None, now)
    return path


# --- states -----------------------------------------------------------------------------------------------------


def test_every_state_is_reached_and_left():
    assert {state for state, _ in TRANSITIONS} == set(PathState)
    assert set(TRANSITIONS.values()) == set(PathState)


def test_every_input_moves_something():
    assert {given_input for _, given_input in TRANSITIONS} == set(PathInput)


def test_every_open_state_can_be_closed():
    for state in set(PathState) - {PathState.CLOSED}:
        assert TRANSITIONS[state, PathInput.CLOSE] is PathState.CLOSED


def test_a_path_is_opened_by_sending_and_usable_by_an_answer():
    path = new()
    assert path.state is PathState.CLOSED
    path.open(NOW)
    assert path.state is PathState.OPENING
    path.ping_sent(NOW)
    assert path.state is PathState.OPEN
    path.answered(NOW, at("198.51.100.7"), NOW + 0.02)
    assert path.state is PathState.USABLE
    assert path.observed == at("198.51.100.7")
    assert path.since == NOW + 0.02


def test_being_heard_makes_no_path_usable():
    path = new()
    path.open(NOW)
    path.ping_sent(NOW)
    for _ in range(1000):
        path.heard(1200, NOW)
    assert path.state is PathState.OPEN
    assert not path.is_trusted(NOW)
    assert path.bytes_received == 1_200_000


def test_an_open_path_closes_when_what_is_between_has_forgotten_it():
    path = new()
    path.open(NOW)
    path.ping_sent(NOW)
    path.look(NOW + limits.PATH_OPEN_FOR - 1)
    assert path.state is PathState.OPEN
    path.look(NOW + limits.PATH_OPEN_FOR)
    assert path.state is PathState.CLOSED


def test_sending_maintains_a_path():
    path = usable()
    for seconds in range(0, 100, 20):
        path.sent(1200, NOW + seconds)
        path.look(NOW + seconds + 19)
        assert path.state is PathState.USABLE
    assert path.bytes_sent == 6000


def test_a_path_whose_pings_stay_unanswered_is_stale_and_then_closed():
    path = usable()
    for seconds in range(1, 60):
        path.ping_sent(NOW + seconds)
        path.look(NOW + seconds)
        expected = (
            PathState.USABLE
            if seconds < 1 + limits.PATH_DEAD_AFTER
            else PathState.STALE
            if seconds < limits.PATH_CONSENT
            else PathState.CLOSED
        )
        if seconds <= limits.PATH_CONSENT:
            assert path.state is expected, seconds
    assert not path.has_consent(NOW + 60)


@given(
    st.lists(
        st.tuples(st.sampled_from(["open", "ping", "pong", "close", "look"]), st.floats(0, 40)), max_size=50
    )
)
def test_only_an_answer_within_consent_makes_a_path_trusted(steps):
    path, now, answered_at, sent_at = new(), NOW, -inf, None
    for step, pause in steps:
        now += pause
        match step:
            case "open":
                path.open(now)
            case "ping":
                path.ping_sent(now)
                sent_at = now
            case "pong" if sent_at is not None:
                path.answered(sent_at, None, now)
                answered_at = now
            case "close":
                path.close(now)
            case "look":
                path.look(now)
        if path.is_trusted(now):
            assert now - answered_at < limits.PATH_TRUST
            assert path.state is PathState.USABLE


# --- trust --------------------------------------------------------------------------------------------------------


def test_trust_ends_some_seconds_after_the_last_answer():
    path = usable()
    assert path.is_trusted(NOW + limits.PATH_TRUST - 0.01)
    assert not path.is_trusted(NOW + limits.PATH_TRUST)
    assert path.has_consent(NOW + limits.PATH_CONSENT - 0.01)


def test_a_distrusted_path_is_trusted_again_only_for_a_ping_sent_later():
    path = usable()
    path.ping_sent(NOW + 1)
    path.distrust(NOW + 2)
    path.answered(NOW + 1, None, NOW + 3)
    assert not path.is_trusted(NOW + 3)
    assert path.is_doubted
    path.ping_sent(NOW + 4)
    path.answered(NOW + 4, None, NOW + 5)
    assert path.is_trusted(NOW + 5)


def test_a_path_fails_when_several_pings_stay_unanswered_for_a_while():
    path = usable()
    for pings in range(limits.PATH_FAILS_PINGS):
        assert not path.is_failing(NOW + 10)
        path.ping_sent(NOW + 1 + pings / 10)
    assert not path.is_failing(NOW + 1 + limits.PATH_FAILS_AFTER - 0.1)
    assert path.is_failing(NOW + 1 + limits.PATH_FAILS_AFTER)
    path.answered(NOW + 1, None, NOW + 3)  # late, and the others were sent after it
    assert not path.is_failing(NOW + 10)


def test_a_long_path_is_given_the_time_it_takes():
    path = new()
    path.ping_sent(NOW)
    path.answered(NOW, None, NOW + 2.0)
    for pings in range(limits.PATH_FAILS_PINGS):
        path.ping_sent(NOW + 3 + pings / 10)
    assert not path.is_failing(NOW + 8)
    assert path.is_failing(NOW + 10)


# --- what is measured ---------------------------------------------------------------------------------------------


def test_the_round_trip_is_smoothed_and_the_shortest_is_kept():
    path = new()
    assert path.rtt is None
    assert path.min_rtt == inf
    for took in (0.1, 0.02, 0.1):
        path.answered(NOW, None, NOW + took)
    assert path.rtt == pytest.approx(0.875 * (0.875 * 0.1 + 0.125 * 0.02) + 0.0125)
    assert path.min_rtt == pytest.approx(0.02)


def test_a_path_is_lossy_from_two_of_twenty_pings_on():
    path = usable()
    for _ in range(limits.PATH_LOSS_PINGS - 2):
        path.answered(NOW, None, NOW)
    path.lost()
    assert not path.is_lossy
    path.lost()
    assert path.is_lossy
    for _ in range(limits.PATH_LOSS_PINGS - 1):
        path.answered(NOW, None, NOW)
    assert not path.is_lossy


def test_pings_that_only_opened_the_path_are_not_counted_as_lost():
    path = new()
    for _ in range(100):
        path.lost()
    assert not path.is_lossy


def test_a_path_that_dies_again_and_again_is_held_down_for_longer_and_longer():
    path = usable()
    held = []
    for _ in range(20):
        path.died(NOW)
        held.append(path.held_until - NOW)
    assert held[:3] == [limits.PATH_HOLD_DOWN * factor for factor in (1, 2, 4)]
    assert held[-1] == limits.PATH_HOLD_DOWN_MAX
    path.died(NOW + limits.PATH_DEATHS_FORGOTTEN + 1)
    assert path.held_until == NOW + limits.PATH_DEATHS_FORGOTTEN + 1 + limits.PATH_HOLD_DOWN


def test_on_another_network_its_past_says_nothing():
    path = usable()
    path.died(NOW)
    path.lost()
    path.forgive()
    assert path.held_until == -inf
    assert path.min_rtt == inf
    path.died(NOW)
    assert path.held_until == NOW + limits.PATH_HOLD_DOWN
