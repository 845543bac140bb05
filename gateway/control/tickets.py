"""What `overlay ticket` and `join` ask and are told, on the wire."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gateway.control.base import Report, Request, TicketText
from gateway.control.contacts import ContactReport
from gateway.control.services import LoopbackReport


class TicketRequest(Request, frozen=True, kw_only=True):
    """Ask for our own record as text."""

    expires_in: Annotated[float, Meta(ge=1, le=366 * 86400)] | None = None
    """Seconds from now; None is the usual lifetime."""


class TicketReport(Report, frozen=True, kw_only=True):
    """Our record as text, to be given to others."""

    ticket: str
    endpoint_id: str
    expires: float
    """Wall-clock seconds since 1970."""
    addresses: tuple[str, ...] = ()
    relays: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    """The public ones; others don't appear in a record."""
    command: str = ""
    """What the other side runs."""


class JoinRequest(Request, frozen=True, kw_only=True):
    """Take a ticket: its endpoint becomes a contact."""

    ticket: TicketText
    petname: Annotated[str, Meta(max_length=63)] = ""
    """Empty for the nickname in the ticket."""
    preview: bool = False
    """Tell what would happen and change nothing."""


class JoinReport(Report, frozen=True, kw_only=True):
    """What a ticket said, and the contact it became."""

    contact: ContactReport
    expires: float
    """When the ticket ends, in wall-clock seconds since 1970."""
    known: bool = False
    """Whether the endpoint was a contact already; then its addresses were refreshed."""
    urls: tuple[str, ...] = ()
    """What may be opened now."""
    loopback: tuple[LoopbackReport, ...] = ()
    undo: str = ""
