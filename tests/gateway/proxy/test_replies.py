"""Every failure has its answer in every protocol."""

from __future__ import annotations

import pytest

from gateway.dialing import DialError, Failure
from gateway.proxy.replies import ANSWERS, http_problem, socks4_reply, socks5_reply

EXPECTED = {
    Failure.UNKNOWN_NAME: (4, 404),
    Failure.NO_SERVICE: (5, 404),
    Failure.FORBIDDEN: (2, 403),
    Failure.OFFLINE: (4, 502),
    Failure.TARGET_REFUSED: (5, 502),
    Failure.TARGET_UNREACHABLE: (3, 504),
    Failure.POLICY: (2, 403),
    Failure.PROFILE: (2, 403),
    Failure.OVERLOADED: (1, 503),
    Failure.LIMITED: (2, 429),
}


def test_no_failure_is_without_an_answer() -> None:
    assert set(ANSWERS) == set(EXPECTED) == set(Failure)


@pytest.mark.parametrize("failure", Failure)
def test_each_failure_has_its_codes_and_a_remedy(failure: Failure) -> None:
    error = DialError(failure, "the reason")
    code, status = EXPECTED[failure]
    assert socks5_reply(error) == bytes((5, code, 0, 1, 0, 0, 0, 0, 0, 0))
    assert socks4_reply(error) == b"\0\x5b\0\0\0\0\0\0"
    problem = http_problem(error, "web.alice.overlay")
    assert (problem.status, problem.why) == (status, "the reason")
    assert problem.what
    assert problem.remedy
    assert "{" not in problem.remedy


def test_remedies_name_the_endpoint_and_the_service() -> None:
    error = DialError(Failure.FORBIDDEN, "no")
    assert "overlay expose web … --allow" in http_problem(error, "WEB.alice.overlay.").remedy
    assert "Send alice your id" in http_problem(error, "alice.overlay").remedy
    assert "overlay expose NAME" in http_problem(error, "alice.overlay").remedy
    assert http_problem(error, "{x}.overlay").remedy


def test_only_what_is_worth_another_try_says_when() -> None:
    assert http_problem(DialError(Failure.OVERLOADED, "x"), "a.overlay").fields == (("Retry-After", "5"),)
    assert http_problem(DialError(Failure.OFFLINE, "x"), "a.overlay").fields == ()
