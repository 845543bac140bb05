"""What `overlay invite`, `invites` and `join` ask and are told of invites and spoken codes, on the wire."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from gateway.control.base import Report, Request
from gateway.control.contacts import ContactReport
from gateway.control.services import LoopbackReport
from gateway.invites.limits import INVITE_CHARACTERS, INVITE_LINKS, INVITE_SERVICES, INVITE_USES

InviteText: TypeAlias = Annotated[str, Meta(min_length=1, max_length=INVITE_CHARACTERS)]

_Seconds: TypeAlias = Annotated[float, Meta(ge=1, le=366 * 86400)]

_Name: TypeAlias = Annotated[str, Meta(max_length=63)]


class InviteRequest(Request, frozen=True, kw_only=True):
    """Make an invite, or pass on one that we took."""

    services: Annotated[tuple[_Name, ...], Meta(max_length=INVITE_SERVICES)] = ()
    """None: to be a contact only; of an invite that is passed on, all that it grants."""
    expires_in: _Seconds | None = None
    """Seconds in which it is to be taken; None: a week, or as long as what is passed on."""
    lasts: _Seconds | Literal["forever"] | None = None
    """Seconds from now that what it grants lasts; None: as long as the invite."""
    uses: Annotated[int, Meta(ge=1, le=INVITE_USES)] = 1
    name: _Name = ""
    """What its issuer is to call whoever takes it."""
    holder: Annotated[str, Meta(max_length=64)] = ""
    """A contact or an id: who alone may take it."""
    depth: Annotated[int, Meta(ge=0, lt=INVITE_LINKS)] = 0
    """How many times it may be passed on."""
    source: Annotated[str, Meta(max_length=INVITE_CHARACTERS)] = ""
    """The invite to pass on: as text, or the contact who gave it; empty: one of our own."""


class InviteReport(Report, frozen=True, kw_only=True):
    """An invite as whoever gave or got it sees it."""

    invite: str = ""
    """As text, if it was just made; it is a secret then."""
    serial: str
    issuer_id: str
    issuer: str = ""
    """What the issuer calls itself."""
    services: tuple[str, ...] = ()
    issued: float
    """This and the next two in unix seconds."""
    expires: float
    until: float | None = None
    """When what it grants ends; None: when it is revoked."""
    uses: int = 1
    depth: int = 0
    petname: str = ""
    """What the issuer is to call whoever takes it."""
    holder: str = ""
    """The id of who alone may take it."""
    delegators: tuple[str, ...] = ()
    """By whom it came, if not by its issuer: petnames or ids."""
    command: str = ""
    """What the other side runs."""
    undo: str = ""


class TakenReport(Report, frozen=True, kw_only=True):
    """Who took an invite of ours, and what that gives."""

    endpoint_id: str
    petname: str = ""
    """Its contact's; empty if there is none (any more)."""
    wanted: str = ""
    """What it was to be called, where that name was taken."""
    serial: str
    """Of the link that it took: to be revoked alone."""
    services: tuple[str, ...] = ()
    until: float | None = None
    taken: float
    in_force: bool
    delegators: tuple[str, ...] = ()


class IssuedReport(Report, frozen=True, kw_only=True):
    """An invite of ours."""

    invite: InviteReport
    state: Literal["open", "used", "expired", "revoked"]
    used: int = 0
    taken: tuple[TakenReport, ...] = ()


class HeldReport(Report, frozen=True, kw_only=True):
    """An invite of somebody else that we took."""

    invite: InviteReport
    contact: str = ""
    """What we call its issuer."""
    state: str
    """`waiting` for its issuer to be there, `redeemed`, or the code of the error that its issuer answered with."""
    reason: str = ""
    services: tuple[str, ...] = ()
    """Granted, once it is redeemed."""
    until: float | None = None
    known_as: str = ""
    """What its issuer calls us."""
    passed_on: tuple[str, ...] = ()
    """Serials of what we made of it."""


class InvitesReport(Report, frozen=True, kw_only=True):
    """All invites: of ours, and of others."""

    issued: tuple[IssuedReport, ...] = ()
    held: tuple[HeldReport, ...] = ()


class RevokeReport(Report, frozen=True, kw_only=True):
    """An invite was taken back."""

    serial: str
    whole: bool
    """Whether it is the whole invite, and not one that others made of it."""
    ended: tuple[TakenReport, ...] = ()
    """Whose grants that ended."""


class TakeInviteRequest(Request, frozen=True, kw_only=True):
    """Take an invite: its issuer becomes a contact, and is shown it."""

    invite: InviteText
    petname: _Name = ""
    """Empty for what the issuer calls itself."""
    preview: bool = False
    """Tell what would happen and change nothing."""


class TakeInviteReport(Report, frozen=True, kw_only=True):
    """What an invite says, and what became of it."""

    invite: InviteReport
    contact: ContactReport
    known: bool = False
    """Whether its issuer was a contact already."""
    learns: tuple[str, ...] = ()
    """What the issuer learns of us when we redeem it."""
    state: Literal["preview", "waiting", "redeemed"] = "preview"
    reason: str = ""
    """Why it waits."""
    known_as: str = ""
    urls: tuple[str, ...] = ()
    loopback: tuple[LoopbackReport, ...] = ()
    undo: str = ""


class CodeRequest(Request, frozen=True, kw_only=True):
    """Wait at our home beacon with a spoken code, and pass an invite to who says it."""

    invite: InviteRequest


class CodeReport(Report, frozen=True, kw_only=True):
    """A spoken code."""

    code: str
    state: Literal["waiting", "talking", "passed", "guessed", "expired", "failed"]
    beacon: str
    """The URL where both meet."""
    expires: float
    """Unix seconds."""
    reason: str = ""
    """Why it is over, for people."""
    taker: str = ""
    """The id of whoever said it; that endpoint alone can take the invite."""
    serial: str = ""
    """Of the invite that was passed."""


class SayCodeRequest(Request, frozen=True, kw_only=True):
    """Say a code at a beacon and get the invite that waits there."""

    code: Annotated[str, Meta(min_length=1, max_length=100)]
    beacon: Annotated[str, Meta(max_length=400)] = ""
    """Which; empty: the one of ours that has it."""


class SaidCodeReport(Report, frozen=True, kw_only=True):
    """The invite that a code stood for."""

    invite: str
