"""Each reason has a class of its own, and the remedy stays in its text."""

from __future__ import annotations

import pytest

import overlay
from gateway import errors as gateway_errors
from gateway.dialing import DialError, Failure
from gateway.invites.errors import ERRORS
from overlay.errors import told, translated


@pytest.mark.parametrize("failure", Failure)
def test_every_failure_of_dialling_has_its_class(failure):
    error = told(DialError(failure, "why; and what to do"))
    assert type(error) is not overlay.ConnectError
    assert isinstance(error, overlay.ConnectError)
    assert isinstance(error, ConnectionError)
    assert str(error) == "why; and what to do"


@pytest.mark.parametrize("kind", ERRORS)
def test_every_reason_against_an_invite_has_its_code(kind):
    error = told(kind("no"))
    assert isinstance(error, overlay.InviteRefused)
    assert error.code == kind.code


def test_errors_of_the_gateway_are_raised_as_ours():
    with pytest.raises(overlay.NameTaken) as taken, translated():
        raise gateway_errors.ChooseName("alice is taken", "alice2")
    assert taken.value.suggestion == "alice2"
    assert isinstance(taken.value, ValueError)
    with pytest.raises(overlay.NotRunning), translated():
        raise gateway_errors.NotRunning("start it")
    with pytest.raises(overlay.OverlayError), translated():
        raise gateway_errors.StateError("the disk is full")


@pytest.mark.parametrize("failure", [Failure.OFFLINE, Failure.FORBIDDEN, Failure.UNKNOWN_NAME])
async def test_connecting_raises_them(me, desk, failure):
    desk.dialer.failures["talk.me.overlay"] = failure
    with pytest.raises(type(told(DialError(failure, ""))), match="fails"):
        await me.connect("me", "talk")


async def test_what_is_no_name_is_a_mistake_of_the_caller(me):
    with pytest.raises(overlay.InvalidRequest):
        await me.connect("not a name", "talk")
    with pytest.raises(overlay.InvalidRequest, match="which service"):
        await me.connect("alice")


def test_every_error_is_exported():
    kinds = {
        kind for kind in vars(overlay.errors).values()
        if isinstance(kind, type) and issubclass(kind, overlay.OverlayError)
    }  # fmt: skip
    assert {kind.__name__ for kind in kinds} <= set(overlay.__all__)
