"""What `overlay ping` and `resolve` ask and are told, on the wire."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gateway.control.base import NameText, PathWord, Report, Request
from gateway.control.services import OfferReport


class PingRequest(Request, frozen=True, kw_only=True):
    """One round trip to an endpoint, connecting first if need be."""

    name: NameText
    timeout: Annotated[float, Meta(gt=0, le=60)] = 10.0


class PingReport(Report, frozen=True, kw_only=True):
    """One answered round trip."""

    name: str
    endpoint_id: str
    rtt_ms: float
    address: str
    path: PathWord = "direct"
    via: str = ""
    """The same two for people: `relay eu1.example`, `203.0.113.9:41641 (direct)`."""
    connect_ms: float | None = None
    """How long connecting took; None when a tunnel was up already."""


class ResolveRequest(Request, frozen=True, kw_only=True):
    """What a name under .overlay stands for."""

    name: NameText


class ResolveReport(Report, frozen=True, kw_only=True):
    """What a name under .overlay stands for; a name that does not exist is a DialError instead."""

    name: str
    endpoint_id: str
    petname: str = ""
    service: str = ""
    """The service the name asks for; empty for the endpoint as a whole, and for what is in its zone alone."""
    alias: str = ""
    """The name that it stands for, by its owner's zone."""
    ip: str = ""
    """The loopback address; empty when there are none."""
    offers: tuple[OfferReport, ...] = ()
    addresses: tuple[str, ...] = ()
    """Where the endpoint may be reached."""
    relays: tuple[str, ...] = ()
    """By which beacons."""
    source: str = ""
    """How we know: `id`, `contact`, `configuration`, …"""
