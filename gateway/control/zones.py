"""What `overlay zone` and `overlay whois` ask and are told, on the wire."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

from gateway.control.base import Report, Request

LabelText: TypeAlias = Annotated[str, Meta(max_length=253)]
TypeText: TypeAlias = Annotated[str, Meta(max_length=16)]
Words: TypeAlias = Annotated[tuple[Annotated[str, Meta(max_length=1000)], ...], Meta(max_length=32)]
ProfileText: TypeAlias = Annotated[str, Meta(max_length=1000)]


class ZoneSetRequest(Request, frozen=True, kw_only=True):
    """Put a record into our zone."""

    label: LabelText
    type: TypeText
    value: Words
    add: bool = False
    """Keep those of the same label and type beside it."""


class ZoneUnsetRequest(Request, frozen=True, kw_only=True):
    """Take the records of a label out of our zone."""

    label: LabelText
    type: TypeText = ""
    """Only those of this type."""


class ProfileRequest(Request, frozen=True, kw_only=True):
    """Change our profile: what is null stays, what is empty goes."""

    name: ProfileText | None = None
    description: ProfileText | None = None
    avatar: ProfileText | None = None
    links: Words | None = None


class ZoneImportRequest(Request, frozen=True, kw_only=True):
    """Take the records of a file."""

    text: Annotated[str, Meta(max_length=16384)]
    replace: bool = False
    """Take all others away, instead of only those that have a label and type of the file."""
    preview: bool = False
    """Tell what would change, and change nothing."""


class ZoneRecordReport(Report, frozen=True, kw_only=True):
    """One record of a zone."""

    label: str
    """`@` for the name itself."""
    type: str
    value: tuple[str, ...]
    """In words, as `overlay zone set` takes them."""


class ProfileReport(Report, frozen=True, kw_only=True):
    """What an owner says of itself."""

    name: str = ""
    description: str = ""
    avatar: str = ""
    links: tuple[str, ...] = ()


class ZoneReport(Report, frozen=True, kw_only=True):
    """Our zone."""

    host: str
    """The name that others see it under, with our id in it."""
    records: tuple[ZoneRecordReport, ...] = ()
    profile: ProfileReport = ProfileReport()
    used_bytes: int = 0
    """What it takes of our record."""
    left_bytes: int = 0
    """What is left for it."""
    record_bytes: int = 0
    """The whole record that is published, of at most 996 bytes."""
    left_out: tuple[str, ...] = ()
    """Public services, relays and addresses of ours that the record has no room for."""
    why_not: str = ""
    """Why no record is published; empty if one is, where there is a place."""


class ZoneChangeReport(Report, frozen=True, kw_only=True):
    """What a change did."""

    zone: ZoneReport
    added: tuple[str, ...] = ()
    """Records in a line each; the profile as `profile: …`."""
    removed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    """What a file had that is not ours to have."""
    warnings: tuple[str, ...] = ()
    undo: tuple[tuple[str, ...], ...] = ()
    """The words of each command behind `overlay` that undoes it."""


class WhoisReport(Report, frozen=True, kw_only=True):
    """What is known of an endpoint, and by whose word."""

    endpoint_id: str
    petname: str = ""
    """Our name for it."""
    nickname: str = ""
    """What it calls itself."""
    known_as: str = ""
    """What it called itself when it became a contact, if that was something else."""
    profile: ProfileReport = ProfileReport()
    zone: tuple[ZoneRecordReport, ...] = ()
    services: tuple[str, ...] = ()
    """Public ones."""
    relays: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    source: str = ""
    """Who gave us its record; empty if there is none."""
    age: float | None = None
    """Seconds since its owner signed it."""
    expires: float | None = None
    """Wall-clock seconds since 1970."""
    own: bool = False
    """Whether it is this gateway itself."""
