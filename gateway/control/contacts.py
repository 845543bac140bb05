"""What `overlay contacts import` asks and is told, on the wire."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from gateway.control.api import AddressTexts, NameText, Report, Request
from gateway.limits import IMPORT_CONTACTS

Outcome: TypeAlias = Literal["added", "changed", "same", "replaced", "conflict"]


class ImportedContact(Request, frozen=True, kw_only=True):
    """One contact of a file."""

    petname: NameText
    id: NameText
    addresses: AddressTexts = ()
    path: Literal["", "auto", "direct-only", "relay-only", "no-lan"] = ""


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
