"""Every error crosses the control socket and is the same error on the other side."""

from __future__ import annotations

import pytest

from gateway.control.errors import ErrorReply, error_of, reply_of
from gateway.dialing import DialError, Failure
from gateway.errors import ConfigurationError, GatewayError, NotRunning, StateError, UsageError
from gateway.invites.errors import ERRORS as INVITE_ERRORS
from gateway.invites.errors import InviteError


@pytest.mark.parametrize("kind", [GatewayError, UsageError, ConfigurationError, StateError, NotRunning])
def test_an_error_keeps_its_kind_and_its_text(kind: type[GatewayError]) -> None:
    status, reply = reply_of(kind("what: why; remedy"))
    back = error_of(reply)
    assert type(back) is kind
    assert str(back) == "what: why; remedy"
    assert 400 <= status < 600


@pytest.mark.parametrize("kind", INVITE_ERRORS)
def test_each_reason_not_to_take_an_invite_has_its_own_word_and_exit_code(kind: type[InviteError]) -> None:
    status, reply = reply_of(kind("what: why; remedy"))
    assert (status, reply.code) == (409, kind.code)
    assert type(error_of(reply)) is kind
    same = [other for other in INVITE_ERRORS if kind.code == other.code or kind.exit_code == other.exit_code]
    assert same == [kind]


@pytest.mark.parametrize("failure", Failure)
def test_a_failed_dial_keeps_its_reason(failure: Failure) -> None:
    status, reply = reply_of(DialError(failure, "text"))
    back = error_of(reply)
    assert isinstance(back, DialError)
    assert back.failure is failure
    assert status in (403, 404, 429, 502)


def test_an_error_of_a_newer_daemon_is_a_plain_failure() -> None:
    for code in ("dial-of-the-future", "whatever", ""):
        back = error_of(ErrorReply(error="text", code=code))
        assert type(back) is GatewayError
        assert str(back) == "text"


def test_a_more_special_kind_is_told_as_the_one_it_is() -> None:
    class Special(ConfigurationError):
        pass

    assert reply_of(Special("x"))[1].code == "configuration"
