"""Why an invite, or a spoken code, is not taken: one class, exit code and word for machines for each reason.

::

    InviteError
     ├── InviteDamaged        10  its text is cut short or has a wrong character
     ├── InviteTampered       11  who is named in it did not sign it, or a link grants more than the one before
     ├── InviteExpired        12  it was good until some time ago
     ├── InviteUsed           13  others have taken it as often as it is good
     ├── InviteRevoked        14  its issuer took it back
     ├── InviteNotForYou      15  it is for another endpoint
     ├── InviteClockSkew      16  one of the two clocks is wrong
     ├── InviteUnknown        17  its issuer does not know it (any more)
     ├── InviteNewer          18  a later overlay made it
     ├── InviteNotDelegable   19  it may not be passed on, or not so widely
     ├── CodeWrong            20  the words of the code are not those of the other side; the code is used up
     ├── CodeUnknown          21  no code of this number waits at the beacon
     └── CodesUnsupported     22  the beacon is too old for codes, or there is none

Each says what, why and what to do; nothing was changed.
"""

from __future__ import annotations

from typing import ClassVar, Final

from gateway.errors import GatewayError


class InviteError(GatewayError):
    """Base; `code` is the word for machines."""

    code: ClassVar[str] = "invite"


class InviteDamaged(InviteError):
    """Its text is cut short, or a character is wrong, or it is something else."""

    code = "invite-damaged"
    exit_code = 10


class InviteTampered(InviteError):
    """Who is named in it did not sign it, or a link grants more than the one before it."""

    code = "invite-tampered"
    exit_code = 11


class InviteExpired(InviteError):
    """It was good until some time ago."""

    code = "invite-expired"
    exit_code = 12


class InviteUsed(InviteError):
    """It was taken as often as it is good."""

    code = "invite-used"
    exit_code = 13


class InviteRevoked(InviteError):
    """Its issuer took it back."""

    code = "invite-revoked"
    exit_code = 14


class InviteNotForYou(InviteError):
    """It is for another endpoint."""

    code = "invite-not-for-you"
    exit_code = 15


class InviteClockSkew(InviteError):
    """The clocks of issuer and taker differ so much that it cannot be told whether it is good."""

    code = "invite-clock-skew"
    exit_code = 16


class InviteUnknown(InviteError):
    """Its issuer does not know it."""

    code = "invite-unknown"
    exit_code = 17


class InviteNewer(InviteError):
    """A later version of overlay made it."""

    code = "invite-newer"
    exit_code = 18


class InviteNotDelegable(InviteError):
    """It may not be passed on, or not with what was asked for."""

    code = "invite-not-delegable"
    exit_code = 19


class CodeWrong(InviteError):
    """The two sides do not have the same words; the code is used up."""

    code = "code-wrong"
    exit_code = 20


class CodeUnknown(InviteError):
    """No code of this number waits where we asked."""

    code = "code-unknown"
    exit_code = 21


class CodesUnsupported(InviteError):
    """No beacon is connected that passes codes on."""

    code = "code-unsupported"
    exit_code = 22


ERRORS: Final[tuple[type[InviteError], ...]] = (
    InviteDamaged,
    InviteTampered,
    InviteExpired,
    InviteUsed,
    InviteRevoked,
    InviteNotForYou,
    InviteClockSkew,
    InviteUnknown,
    InviteNewer,
    InviteNotDelegable,
    CodeWrong,
    CodeUnknown,
    CodesUnsupported,
    InviteError,
)
"""All of them; a class stands before its bases."""
