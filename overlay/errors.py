"""Every error that a program may meet: each message is one line that says what, why and the remedy.

::

    OverlayError
     ├── NotRunning           no gateway runs on this home
     ├── InvalidRequest       what was asked for makes no sense (also a ValueError)
     │    └── NameTaken       a name is to be chosen; `suggestion` is one that is free
     ├── InviteRefused        why an invite is not taken; `code` for machines
     ├── ConnectError         why there is no stream (also a ConnectionError)
     │    ├── UnknownName     nobody is called that here
     │    ├── NoService       nothing is offered there under this name, or not to us
     │    ├── Forbidden       it is there, and not for us; or our own configuration refuses
     │    ├── Offline         the endpoint does not answer
     │    ├── TargetDown      it answers, and what is behind its service does not
     │    └── LimitReached    as much is open as may be, here or there: try again later
     ├── StreamCut            the stream was cut off: there would have been more (also a ConnectionResetError)
     └── Closed               nothing comes any more: we closed it, or the gateway ended (also a ConnectionError)
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from gateway import errors as gateway_errors
from gateway.dialing import DialError, Failure
from gateway.invites.errors import InviteError
from gateway.programs.client import HungUp
from tunnels.errors import TunnelError

if TYPE_CHECKING:
    from collections.abc import Iterator


class OverlayError(Exception):
    """Base of all errors of this package."""


class NotRunning(OverlayError):
    """No gateway runs on this home directory."""


class InvalidRequest(OverlayError, ValueError):
    """What was asked for makes no sense; nothing was changed."""


class NameTaken(InvalidRequest):
    """A contact must be given another name; `suggestion` is one that is free."""

    def __init__(self, message: str, suggestion: str) -> None:
        super().__init__(message)
        self.suggestion = suggestion


class InviteRefused(OverlayError):
    """An invite is not taken; `code` is one of those of `overlay join --json`, such as `invite-expired`."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class ConnectError(OverlayError, ConnectionError):
    """Why there is no stream."""


class UnknownName(ConnectError):
    """Nobody is called that here."""


class NoService(ConnectError):
    """Nothing is offered there under this name, or not to us."""


class Forbidden(ConnectError):
    """Its owner does not let us use it, or our own configuration refuses."""


class Offline(ConnectError):
    """The endpoint does not answer."""


class TargetDown(ConnectError):
    """The endpoint answers, and what is behind its service does not."""


class LimitReached(ConnectError):
    """As much is open as may be, here or there; try again later."""


class StreamCut(OverlayError, ConnectionResetError):
    """The stream was cut off: there would have been more."""


class Closed(OverlayError, ConnectionError):
    """Nothing comes any more: it was closed here, or the gateway ended."""


_FAILURES: Final = {
    Failure.UNKNOWN_NAME: UnknownName,
    Failure.NO_SERVICE: NoService,
    Failure.FORBIDDEN: Forbidden,
    Failure.POLICY: Forbidden,
    Failure.PROFILE: Forbidden,
    Failure.OFFLINE: Offline,
    Failure.TARGET_REFUSED: TargetDown,
    Failure.TARGET_UNREACHABLE: TargetDown,
    Failure.OVERLOADED: LimitReached,
    Failure.LIMITED: LimitReached,
}


def told(error: gateway_errors.GatewayError | TunnelError) -> OverlayError:
    """An error of the packages below as one of ours."""
    match error:
        case DialError(failure=failure):
            return _FAILURES.get(failure, ConnectError)(str(error))
        case InviteError():
            return InviteRefused(str(error), error.code)
        case gateway_errors.ChooseName():
            return NameTaken(str(error), error.suggestion)
        case gateway_errors.UsageError():
            return InvalidRequest(str(error))
        case gateway_errors.NotRunning():
            return NotRunning(str(error))
        case HungUp():
            return Closed(str(error))
        case _:
            return OverlayError(str(error))


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Within, errors of the packages below are raised as ours."""
    try:
        yield
    except (gateway_errors.GatewayError, TunnelError) as error:
        raise told(error) from None
