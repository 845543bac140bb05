"""Facts about rounds of pings and their bounds."""

from __future__ import annotations

from math import inf

import pytest

from tests.lab.paths import at
from tunnels import limits
from tunnels.paths.candidates import Candidate, CandidateKind
from tunnels.paths.path import Path
from tunnels.paths.probing import Outstanding, Round

NOW = 1000.0


def times(round_: Round, answered_after: int | None = None) -> list[float]:
    """When the pings of a round go out."""
    found: list[float] = []
    while round_.is_under_way:
        found.append(round_.due - NOW)
        round_.sent(round_.due)
        if len(found) == answered_after:
            round_.answered()
    return found


def test_a_round_is_dense_at_first_and_ends():
    round_ = Round()
    assert not round_.is_under_way
    round_.begin(NOW)
    assert times(round_) == pytest.approx([0, 0.033, 0.066, 0.133, 0.266, 0.533, 1.066, 2.133, 4.133])
    assert round_.due == inf


def test_once_it_is_answered_a_few_more_pings_follow():
    round_ = Round()
    round_.begin(NOW)
    assert len(times(round_, answered_after=1)) == 1 + limits.ROUND_PINGS_MORE
    round_.begin(NOW)
    assert len(times(round_, answered_after=8)) == limits.ROUND_PINGS


def test_a_single_ping_does_not_cut_a_round_short():
    round_ = Round()
    round_.once(NOW)
    assert times(round_) == [0]
    round_.begin(NOW)
    round_.sent(NOW)
    round_.once(NOW)
    assert len(times(round_)) == limits.ROUND_PINGS - 1


def test_a_round_may_be_limited_while_it_is_under_way():
    round_ = Round()
    round_.begin(NOW)
    round_.sent(NOW)
    round_.limit(3)
    assert len(times(round_)) == 2
    round_.begin(NOW)
    round_.sent(NOW)
    round_.limit(1)
    assert not round_.is_under_way
    round_.begin(NOW, 0)
    assert not round_.is_under_way


def test_a_round_may_be_put_off_and_ended():
    round_ = Round()
    round_.begin(NOW)
    round_.put_off(NOW)
    assert round_.due > NOW
    round_.end()
    assert not round_.is_under_way


def test_a_ping_is_answered_once():
    outstanding, path = Outstanding(), Path(Candidate(at("192.0.2.1"), CandidateKind.HOST))
    outstanding.add(b"one", path, NOW)
    assert outstanding.take(b"other") is None
    assert outstanding.take(b"one") == (path, NOW)
    assert outstanding.take(b"one") is None


def test_what_nobody_will_answer_any_more_is_counted_as_lost():
    outstanding, path = Outstanding(), Path(Candidate(at("192.0.2.1"), CandidateKind.HOST))
    for _ in range(limits.PATH_LOSS_PINGS):
        path.answered(NOW, None, NOW)
    for number in range(4):
        outstanding.add(bytes([number]), path, NOW + number)
    outstanding.expire(NOW + limits.PING_LOST_AFTER - 0.1)
    assert len(outstanding) == 4
    outstanding.expire(NOW + limits.PING_LOST_AFTER + 1)
    assert len(outstanding) == 2
    assert path.is_lossy


def test_pings_remembered_are_bounded():
    outstanding, path = Outstanding(), Path(Candidate(at("192.0.2.1"), CandidateKind.HOST))
    for number in range(2 * limits.MAX_OUTSTANDING_PINGS):
        outstanding.add(number.to_bytes(4), path, NOW)
    assert len(outstanding) == limits.MAX_OUTSTANDING_PINGS
    assert outstanding.take((0).to_bytes(4)) is None
