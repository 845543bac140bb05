"""How an endpoint is found, and where our own record is: the values of `overlay resolve --explain` and `status --published`."""

from __future__ import annotations

from gateway.control.base import NameText, Report, Request


class ExplainRequest(Request, frozen=True, kw_only=True):
    """Ask every source for the records of an endpoint, and tell what came of it."""

    name: NameText


class SourceReport(Report, frozen=True, kw_only=True):
    """What came of asking one source."""

    source: str
    finding: str
    """`found`, `nothing`, `refused`, `failed`, `too-slow`, `asking`."""
    detail: str = ""
    """Why it was refused or failed."""
    seconds: float = 0.0
    """How long it took."""
    age: float | None = None
    """Seconds since the record it has was signed, by its owner's clock."""
    in_use: bool = False
    """Whether that is the record in use."""


class RecordReport(Report, frozen=True, kw_only=True):
    """A record that is known: the newest of its scope."""

    scope: str
    """`public`, `local`, `given`."""
    source: str
    """Who brought it first."""
    age: float
    """Seconds since it was signed, by its owner's clock."""
    learned_ago: float
    """Seconds since it was brought."""
    expires_in: float
    in_use: bool = False
    """Whether its relays and services count: it is the newest. Addresses are taken of all."""
    relays: tuple[str, ...] = ()
    services: tuple[str, ...] = ()


class FoundAddressReport(Report, frozen=True, kw_only=True):
    """Where the endpoint may be, and who says so."""

    address: str
    sources: tuple[str, ...]
    """`typed by hand`, or who brought the records that name it."""


class ExplanationReport(Report, frozen=True, kw_only=True):
    """Why an endpoint is looked for where it is."""

    name: str
    endpoint_id: str
    petname: str = ""
    sources: tuple[SourceReport, ...] = ()
    records: tuple[RecordReport, ...] = ()
    """The newest first."""
    addresses: tuple[FoundAddressReport, ...] = ()
    """In the order in which they are used."""


class PlaceReport(Report, frozen=True, kw_only=True):
    """One place that keeps our record."""

    place: str
    published_ago: float | None = None
    """Seconds since our record was put there; None if it never was."""
    good_for: float | None = None
    """Seconds for which what is there may be used."""
    next_in: float | None = None
    """Seconds until it is put there again; None for never."""
    problem: str = ""
    """Why the last attempt failed."""


class PublishedReport(Report, frozen=True, kw_only=True):
    """One of our records: what it tells, and where it is."""

    scope: str
    """`public` for anybody who has our id, `local` for those on the same network."""
    words: tuple[str, ...] = ()
    """What it may tell, as in [publish]."""
    relays: tuple[str, ...] = ()
    """Our home first; the relay that we lend last."""
    services: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    nickname: str = ""
    zone: tuple[str, ...] = ()
    """The records and the profile that `overlay zone` put there, in a line each."""
    bytes: int = 0
    """Of the signed packet; 996 fit."""
    why_not: str = ""
    """Why it is not published at all; empty if it is."""
    places: tuple[PlaceReport, ...] = ()
