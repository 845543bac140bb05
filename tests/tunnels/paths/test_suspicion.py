"""Facts about what is said and believed of a path that may be dead in one direction."""

from __future__ import annotations

from tunnels import limits
from tunnels.paths.suspicion import Suspicion

NOW = 1000.0


def test_only_more_timeouts_than_before_are_news():
    suspicion = Suspicion()
    assert [suspicion.counted(timeouts) for timeouts in (1, 1, 2, 0, 1)] == [True, False, True, False, True]


def test_it_is_told_until_a_ping_that_told_is_answered():
    suspicion = Suspicion()
    suspicion.tell(NOW)
    suspicion.answered(NOW - 1)  # by a ping from before
    assert suspicion.tells
    suspicion.answered(NOW)
    assert not suspicion.tells


def test_it_is_told_no_more_when_quic_hears_again():
    suspicion = Suspicion()
    suspicion.counted(2)
    suspicion.tell(NOW)
    suspicion.counted(0)
    assert not suspicion.tells


def test_a_complaint_from_before_the_last_proof_is_no_news():
    suspicion = Suspicion()
    assert suspicion.is_news(0)
    suspicion.proved(5)
    assert not suspicion.is_news(4)
    assert suspicion.is_news(6)


def test_a_healed_path_is_told_once_for_each_timeout_and_not_for_a_single_one():
    suspicion = Suspicion()
    suspicion.counted(1)
    assert not suspicion.heals()
    suspicion.counted(2)
    assert [suspicion.heals(), suspicion.heals()] == [True, False]
    suspicion.counted(3)
    assert suspicion.heals()


def test_after_a_sleep_a_path_that_answers_is_told_though_quic_had_no_time_for_timeouts():
    suspicion = Suspicion()
    suspicion.tell(NOW)
    assert [suspicion.heals(), suspicion.heals()] == [True, False]


def test_trust_that_is_disappointed_again_and_again_is_a_deceit_for_a_while_and_longer_each_time():
    suspicion, now = Suspicion(), 100.0

    def disappoint(gap: float) -> float:
        nonlocal now
        for _ in range(limits.DECEIVED_TIMES - 1):
            assert not suspicion.disappointed(now)
            now += gap
        assert suspicion.disappointed(now)
        return round(suspicion.deceived_until - now, 3)

    assert disappoint(1.0) == limits.PATH_HOLD_DOWN
    assert not suspicion.disappointed(now + 1)  # it is known
    for _ in range(10):
        now = suspicion.deceived_until + limits.DECEIVED_WITHIN
        wait = disappoint(0.1)
    assert wait == limits.PATH_HOLD_DOWN_MAX
    now = suspicion.deceived_until + limits.PATH_DEATHS_FORGOTTEN + 1
    assert disappoint(1.0) == limits.PATH_HOLD_DOWN


def test_trust_that_is_disappointed_now_and_then_is_no_deceit():
    suspicion = Suspicion()
    gap = limits.DECEIVED_WITHIN / (limits.DECEIVED_TIMES - 1) + 0.1
    assert not any(suspicion.disappointed(number * gap) for number in range(100))
    assert suspicion.deceived_until < 0
