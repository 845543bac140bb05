"""What `overlay usage` and `overlay limits` ask and are told, on the wire."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from gateway.control.base import NameText, PathWord, Report, Request

SideWord: TypeAlias = Literal["served", "used"]
"""Whose service it is: ours, which the other side uses, or theirs, which we use."""


class UsageRowReport(Report, frozen=True, kw_only=True):
    """What moved in a month with one endpoint, by one service and one kind of path; octets of users' data, as seen from here."""

    endpoint_id: str = ""
    """Empty for all strangers together who have no row of their own."""
    petname: str = ""
    """Empty when it is no contact."""
    service: str
    side: SideWord = "served"
    path: PathWord | Literal[""] = ""
    """Empty where no path was seen, because the connection opened and closed within a second."""
    sent: int = 0
    received: int = 0


class DayUsageReport(Report, frozen=True, kw_only=True):
    """What moved on one day by one kind of path, with everybody."""

    day: str
    path: PathWord | Literal[""] = ""
    sent: int = 0
    received: int = 0


class UsageReport(Report, frozen=True, kw_only=True):
    """The account of one month. Months and days are those of UTC."""

    month: str
    months: tuple[str, ...] = ()
    """Those that there are accounts of, the newest first."""
    rows: tuple[UsageRowReport, ...] = ()
    days: tuple[DayUsageReport, ...] = ()
    problem: str = ""
    """Why it is not written to disk now; empty if it is."""


LimitValue: TypeAlias = Annotated[int, Meta(ge=0, le=2**62)] | None


class TermsReport(Report, frozen=True, kw_only=True):
    """The limits of one scope, and how much of each is in use. Null where there is no limit, or nothing is known."""

    scope: str
    """`default`, `strangers`, `contacts.NAME`, `groups.NAME` or `services.NAME`, as in gateway.toml."""
    set_by: Literal["gateway.toml", "command", "both", ""] = ""
    rate: LimitValue = None
    """Bytes a second, in each direction."""
    quota: LimitValue = None
    """Bytes a month, both directions together."""
    connections: LimitValue = None
    weight: LimitValue = None
    used: LimitValue = None
    """Bytes of this month, where the scope is one contact, one service, or all strangers."""
    open: LimitValue = None
    """Connections and UDP flows that are open now, where the scope is such."""


class ResourceReport(Report, frozen=True, kw_only=True):
    """What the whole gateway may use of one thing, and does."""

    name: Literal["memory", "descriptors", "disk"]
    used: LimitValue = None
    most: LimitValue = None
    left: LimitValue = None
    """Of the disk there is only this: bytes that are free where the home directory is."""
    short: bool = False
    """Whether there is too little left, so that new connections, or for the disk what is saved, must wait."""


class LimitsReport(Report, frozen=True, kw_only=True):
    """Every limit that is in force."""

    month: str
    terms: tuple[TermsReport, ...] = ()
    resources: tuple[ResourceReport, ...] = ()


LimitWord: TypeAlias = Literal["rate", "quota", "connections", "weight"]

Amount: TypeAlias = Annotated[int, Meta(ge=1, le=2**62)]


class SetLimitsRequest(Request, frozen=True, kw_only=True):
    """Limit a contact, a group, a service, all strangers or everybody from now on; what is null stays as it is."""

    kind: Literal["contact", "group", "service", "strangers", "default"]
    name: NameText | None = None
    """The petname or id, the group or the service; null for strangers and default."""
    rate: Amount | None = None
    """Bytes a second; 2**62 lifts what something less specific says."""
    quota: Amount | None = None
    """Bytes a month."""
    connections: Amount | None = None
    weight: Annotated[int, Meta(ge=1, le=1000)] | None = None
    unset: Annotated[tuple[LimitWord, ...], Meta(max_length=4)] = ()
    """About these commands say nothing from now on; gateway.toml may."""


class ChangedLimitsReport(Report, frozen=True, kw_only=True):
    """What holds for a scope now, and what commands said before and say now."""

    now: TermsReport
    before: TermsReport
    commanded: TermsReport
    warnings: tuple[str, ...] = ()
