"""What is asked and told of contacts and their groups, on the wire."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from gateway.control.base import AddressTexts, NameText, Report, Request, TicketText
from gateway.limits import GROUP_CONTACTS, IMPORT_CONTACTS
from resolver.limits import CONTACT_GROUPS, LABEL_CHARACTERS

GroupTexts: TypeAlias = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=LABEL_CHARACTERS)], ...],
    Meta(max_length=CONTACT_GROUPS),
]
"""Groups of one contact."""

Outcome: TypeAlias = Literal["added", "changed", "same", "replaced", "conflict"]


class ContactReport(Report, frozen=True, kw_only=True):
    """One endpoint we know by a name of our own."""

    petname: str
    endpoint_id: str
    addresses: tuple[str, ...] = ()
    """Where it may be reached, from its record and from the configuration."""
    relays: tuple[str, ...] = ()
    """Beacons by which it may be reached, its home first."""
    services: tuple[str, ...] = ()
    """Services it told us of."""
    connected: bool | None = None
    """Whether a tunnel is up; None when it was never tried."""
    origin: Literal["configuration", "command"] = "command"
    path_policy: str = ""
    """Which paths may be used to it; empty when that was not said for it alone."""
    granted: tuple[str, ...] = ()
    """Services of ours that it may use by an invite now."""
    nickname: str = ""
    """What it calls itself, by its newest record."""
    nickname_before: str = ""
    """What it called itself when its petname was chosen, if that was something else."""
    typed: tuple[str, ...] = ()
    """Those of the addresses that were typed by hand."""
    groups: tuple[str, ...] = ()
    """The groups it is in."""
    warnings: tuple[str, ...] = ()
    """Such as that its petname looks like another one."""


class AddContactRequest(Request, frozen=True, kw_only=True):
    """Give an endpoint a petname."""

    petname: NameText
    id_or_ticket: TicketText
    addresses: AddressTexts = ()


class RenameContactRequest(Request, frozen=True, kw_only=True):
    """Give a contact another petname."""

    petname: NameText


class PathPolicyRequest(Request, frozen=True, kw_only=True):
    """Choose which paths may be used to a contact."""

    policy: Literal["", "auto", "direct-only", "relay-only", "no-lan"]
    """Empty: what [tunnels] path_policy says."""


class ImportedContact(Request, frozen=True, kw_only=True):
    """One contact of a file."""

    petname: NameText
    id: NameText
    addresses: AddressTexts = ()
    path: Literal["", "auto", "direct-only", "relay-only", "no-lan"] = ""
    groups: GroupTexts = ()


class ImportRequest(Request, frozen=True, kw_only=True):
    """Take contacts, each of which is taken or not whatever becomes of the others."""

    contacts: Annotated[tuple[ImportedContact, ...], Meta(max_length=IMPORT_CONTACTS)]
    replace: bool = False
    """Let them win over contacts of the same petname or id."""
    preview: bool = False
    """Tell what would happen, and change nothing."""


class ImportedReport(Report, frozen=True, kw_only=True):
    """What became of one of them."""

    petname: str
    outcome: Outcome
    detail: str = ""
    """What it contradicts, what it replaced, or what it looks like."""
    undo: tuple[tuple[str, ...], ...] = ()
    """The words of the commands behind `overlay` that undo it."""


class ImportReport(Report, frozen=True, kw_only=True):
    """What became of all."""

    contacts: tuple[ImportedReport, ...]


class GroupRequest(Request, frozen=True, kw_only=True):
    """Put contacts into a group, or take them out; all of them or none."""

    group: NameText
    petnames: Annotated[tuple[NameText, ...], Meta(min_length=1, max_length=GROUP_CONTACTS)]
    remove: bool = False


class GroupReport(Report, frozen=True, kw_only=True):
    """A group of contacts."""

    group: str
    members: tuple[str, ...] = ()
    """Petnames."""
    services: tuple[str, ...] = ()
    """Those that it may use as a group."""
    changed: tuple[str, ...] = ()
    """Who came in, or went, by what was asked for."""
