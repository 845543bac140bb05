"""What `overlay contacts import` and `group` ask and are told, on the wire."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from gateway.control.api import AddressTexts, NameText, Report, Request
from gateway.limits import GROUP_CONTACTS, IMPORT_CONTACTS
from resolver.limits import CONTACT_GROUPS, LABEL_CHARACTERS

GroupTexts: TypeAlias = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=LABEL_CHARACTERS)], ...],
    Meta(max_length=CONTACT_GROUPS),
]
"""Groups of one contact."""

Outcome: TypeAlias = Literal["added", "changed", "same", "replaced", "conflict"]


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
