"""When a beacon is asked for a sign of life, and when it is given up."""

from tunnels import limits
from tunnels.relay.liveness import Liveness


def asked_at(liveness: Liveness) -> float:
    when = liveness.get_timer()
    assert not liveness.ask(when - 0.001)
    assert liveness.ask(when)
    return when


def test_a_quiet_connection_is_asked_now_and_then_and_given_up_without_an_answer():
    liveness = Liveness(0.0)
    assert asked_at(liveness) == limits.BEACON_HEARTBEAT
    dead = liveness.get_timer()
    assert dead == limits.BEACON_HEARTBEAT + limits.BEACON_PONG
    assert not liveness.is_dead(dead - 0.001)
    assert liveness.is_dead(dead)


def test_an_answer_begins_the_wait_anew():
    liveness = Liveness(0.0)
    asked_at(liveness)
    liveness.answered(21.0)
    assert not liveness.is_dead(100.0)
    assert asked_at(liveness) == 21.0 + limits.BEACON_HEARTBEAT


def test_while_we_send_it_is_asked_sooner_and_death_is_known_within_five_seconds():
    liveness = Liveness(0.0)
    liveness.sent(1.0)
    liveness.sent(2.5)
    assert asked_at(liveness) == 1.0 + limits.BEACON_UNANSWERED
    assert liveness.get_timer() <= 1.0 + 5.0


def test_what_is_sent_after_the_question_does_not_put_the_end_off():
    liveness = Liveness(0.0)
    liveness.sent(0.0)
    dead = asked_at(liveness) + limits.BEACON_PONG
    liveness.sent(dead - 1)
    liveness.ask(dead - 1)
    assert liveness.is_dead(dead)


def test_a_suspicion_asks_at_once_and_waits_a_second():
    liveness = Liveness(0.0)
    liveness.suspect(5.0)
    assert asked_at(liveness) == 5.0
    assert liveness.is_dead(5.0 + limits.BEACON_PONG_MOVED)
    liveness.heard(5.5)
    assert liveness.is_dead(5.0 + limits.BEACON_PONG_MOVED), "it may be heard where our link was before"
    liveness.answered(5.6)
    assert not liveness.is_dead(6.0)


def test_a_late_pong_behind_other_frames_is_waited_for_but_not_forever():
    liveness = Liveness(0.0)
    asked = asked_at(liveness)
    liveness.heard(asked + 2.0)
    liveness.heard(asked + 5.0)
    assert not liveness.is_dead(asked + limits.BEACON_PONG)
    assert liveness.is_dead(asked + limits.BEACON_PONG_LATE)
    liveness.answered(asked + 9.0)
    assert not liveness.is_dead(asked + limits.BEACON_PONG_LATE)


def test_what_is_heard_puts_the_question_off():
    liveness = Liveness(0.0)
    liveness.heard(15.0)
    assert asked_at(liveness) == 15.0 + limits.BEACON_HEARTBEAT


def test_a_suspicion_shortens_a_wait_and_never_lengthens_it():
    liveness = Liveness(0.0)
    asked_at(liveness)
    liveness.suspect(22.9)
    assert liveness.is_dead(limits.BEACON_HEARTBEAT + limits.BEACON_PONG)
