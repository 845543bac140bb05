"""Errors of the gateway as they cross the control socket: `{"error": text, "code": code}` and an HTTP status."""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.dialing import DialError, Failure
from gateway.errors import ChooseName, ConfigurationError, GatewayError, NotRunning, StateError, UsageError
from gateway.invites.errors import ERRORS as INVITE_ERRORS

_CHOOSE_NAME: Final = "choose-name"
_CLASSES: Final[dict[str, tuple[type[GatewayError], int]]] = {
    _CHOOSE_NAME: (ChooseName, 409),
    "usage": (UsageError, 400),
    "configuration": (ConfigurationError, 409),
    "state": (StateError, 507),
    "not-running": (NotRunning, 503),
    **{kind.code: (kind, 409) for kind in INVITE_ERRORS},
    "failure": (GatewayError, 500),
}
"""Code, class and HTTP status; a class stands before its bases."""

UNKNOWN_PATH: Final = "unknown-path"
"""The code of a daemon that has never heard of the request: it is of another version than the caller."""

_DIAL: Final = "dial-"
_DIAL_STATUS: Final = {
    Failure.UNKNOWN_NAME: 404,
    Failure.NO_SERVICE: 404,
    Failure.FORBIDDEN: 403,
    Failure.POLICY: 403,
    Failure.PROFILE: 403,
    Failure.LIMITED: 429,
}
"""Every other failure is a 502: something beyond us did not do its part."""


class ErrorReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the daemon answers instead of a report."""

    error: str
    """The line for people."""
    code: str
    """The kind, for machines: `usage`, `choose-name`, `configuration`, `state`, `failure`, `unknown-path`, `invite-…` and `code-…`
    (`gateway.invites.errors`), or `dial-` and a Failure."""
    suggestion: str = ""
    """With `choose-name`: a name that is free."""


def reply_of(error: GatewayError) -> tuple[int, ErrorReply]:
    """The HTTP status and the reply that tell of `error`."""
    if isinstance(error, DialError):
        status = _DIAL_STATUS.get(error.failure, 502)
        return status, ErrorReply(error=str(error), code=_DIAL + error.failure.value)
    code = code_of(error)
    suggestion = error.suggestion if isinstance(error, ChooseName) else ""
    return _CLASSES[code][1], ErrorReply(error=str(error), code=code, suggestion=suggestion)


def code_of(error: GatewayError) -> str:
    """The machines' word for `error`."""
    if isinstance(error, DialError):
        return _DIAL + error.failure.value
    return next(code for code, (kind, _) in _CLASSES.items() if isinstance(error, kind))


def error_of(reply: ErrorReply) -> GatewayError:
    """The error that `reply` tells of; one of a newer daemon that we don't know is a plain GatewayError."""
    if reply.code.startswith(_DIAL):
        try:
            return DialError(Failure(reply.code.removeprefix(_DIAL)), reply.error)
        except ValueError:
            return GatewayError(reply.error)
    if reply.code == _CHOOSE_NAME:
        return ChooseName(reply.error, reply.suggestion)
    kind, _ = _CLASSES.get(reply.code, (GatewayError, 500))
    return kind(reply.error)
