"""Who may use the dashboard."""

from __future__ import annotations

import itertools

from gateway.dashboard.limits import (
    DASHBOARD_SESSION_SECONDS,
    DASHBOARD_SESSIONS,
    DASHBOARD_TOKEN_SECONDS,
    DASHBOARD_TOKENS,
)
from gateway.dashboard.sessions import Sessions


def sessions() -> Sessions:
    numbers = itertools.count(1)
    return Sessions(lambda size: next(numbers).to_bytes(size))


def test_a_token_is_good_once():
    room = sessions()
    token = room.issue(0.0)
    assert room.log_in(token, 1.0) is not None
    assert room.log_in(token, 1.0) is None


def test_a_token_is_good_for_a_minute():
    room = sessions()
    token = room.issue(0.0)
    assert room.log_in(token, DASHBOARD_TOKEN_SECONDS) is None
    assert room.log_in(room.issue(0.0), DASHBOARD_TOKEN_SECONDS - 1) is not None


def test_no_other_text_is_a_token():
    room = sessions()
    room.issue(0.0)
    for text in ("", "A", "ü", "\udc80", "x" * 1000):
        assert room.log_in(text, 1.0) is None
        assert not room.is_open(text, text, 1.0)


def test_both_secrets_of_one_session_are_needed():
    room = sessions()
    mine, other = room.log_in(room.issue(0.0), 0.0), room.log_in(room.issue(0.0), 0.0)
    assert mine is not None
    assert other is not None
    assert room.is_open(mine.cookie, mine.key, 1.0)
    for cookie, key in ((mine.cookie, ""), ("", mine.key), (mine.cookie, other.key), (mine.key, mine.cookie)):
        assert not room.is_open(cookie, key, 1.0)


def test_a_session_ends_after_its_time_however_much_it_is_used():
    room = sessions()
    login = room.log_in(room.issue(0.0), 0.0)
    assert login is not None
    assert room.is_open(login.cookie, login.key, DASHBOARD_SESSION_SECONDS - 1)
    assert not room.is_open(login.cookie, login.key, DASHBOARD_SESSION_SECONDS)


def test_a_session_ends_when_one_logs_out():
    room = sessions()
    login = room.log_in(room.issue(0.0), 0.0)
    assert login is not None
    room.log_out("")
    assert room.is_open(login.cookie, login.key, 1.0)
    room.log_out(login.cookie)
    room.log_out(login.cookie)
    assert not room.is_open(login.cookie, login.key, 1.0)


def test_the_oldest_token_gives_way_when_there_are_too_many():
    room = sessions()
    tokens = [room.issue(0.0) for _ in range(DASHBOARD_TOKENS + 1)]
    assert room.log_in(tokens[0], 1.0) is None
    assert all(room.log_in(token, 1.0) is not None for token in tokens[1:])


def test_the_session_that_was_silent_for_longest_gives_way_when_there_are_too_many():
    room = sessions()
    logins = [room.log_in(room.issue(0.0), float(at)) for at in range(DASHBOARD_SESSIONS)]
    assert all(login is not None for login in logins)
    first, second = logins[0], logins[1]
    assert first is not None
    assert second is not None
    assert room.is_open(first.cookie, first.key, 50.0)
    room.log_in(room.issue(51.0), 51.0)
    assert room.is_open(first.cookie, first.key, 52.0)
    assert not room.is_open(second.cookie, second.key, 52.0)
