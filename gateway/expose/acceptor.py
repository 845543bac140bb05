"""Takes the streams that other endpoints open, and joins each with the target it may use.

A stream that is refused is told why by its status, and only what `access` lets its caller know. Until the target
is connected nothing more is read from the stream, so a caller can make us hold little.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from gateway.expose.access import may_use
from gateway.expose.incoming import Incoming, Refused
from gateway.expose.quota import Quota
from gateway.expose.targets import ProgramTarget
from gateway.flows.keeper import FlowKeeper
from gateway.limits import (
    HEADER_SECONDS,
    STREAMS,
    STREAMS_PENDING,
    STREAMS_PENDING_PER_ENDPOINT,
    STREAMS_PER_ENDPOINT,
    TARGET_CONNECT_SECONDS,
)
from gateway.stream_header import Answer, ListedService, Status

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from gateway.expose.access import Access, Contacts, Grants
    from gateway.expose.services import Service, ServiceBook
    from gateway.traffic.control import TrafficControl
    from tunnels.identity import EndpointId

Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
"""Starts a supervised task under a name."""


class Greeting(asyncio.Protocol):
    """The end of a stream about topics, which somebody above takes over."""

    transport: asyncio.Transport


class CircleTeller(Protocol):
    """Who answers those who ask for our circle (`gateway.introductions`)."""

    def refusal(self, caller: EndpointId) -> Answer | None:
        """What to answer a caller who may not ask, or not so often; None if its question is to be read."""

    def answer(self, caller: EndpointId, question: bytes) -> bytes | None:
        """Our circle, None if it is not told; RecordError if the question cannot be read."""


@dataclass(frozen=True, slots=True)
class AcceptorStatus:
    """What the serving side carries now."""

    streams: int
    """Streams of all kinds, from their first byte to their end."""
    pending: int
    """Of these, how many have no answer yet."""
    flows: int
    """Of these, how many are UDP flows."""


class Acceptor:
    """`accept` is what tunnels call for each stream that a peer opens."""

    def __init__(
        self,
        services: ServiceBook,
        contacts: Contacts,
        spawn: Spawn,
        *,
        address_of: Callable[[EndpointId], IPv4Address | None] = lambda _: None,
        grants: Grants | None = None,
        redeem: Callable[[EndpointId, bytes], Awaitable[bytes]] | None = None,
        traffic: TrafficControl | None = None,
        header_seconds: float = HEADER_SECONDS,
        connect_seconds: float = TARGET_CONNECT_SECONDS,
    ) -> None:
        """`services` may be changed at any time; `address_of` is the loopback address that stands for a caller.

        `redeem` answers what a caller says about an invite (`gateway.invites.messages`), `grants` are what follows.
        `traffic` counts and limits what callers move.
        """
        self.traffic = traffic
        self.services = services
        self.contacts = contacts
        self.spawn = spawn
        self.address_of = address_of
        self.redeem = redeem
        self._grants = grants
        self.greet: Callable[[EndpointId, Callable[[], None]], Greeting | None] | None = None
        """Takes over a caller's stream about topics, and calls back when it ends; None for nobody, or if it may not ask now."""
        self.refusal: Callable[[], str] = lambda: ""
        """Why this process has no room for one more connection, for the caller; empty if it has."""
        self.circle: CircleTeller | None = None
        self.header_seconds = header_seconds
        self.connect_seconds = connect_seconds
        self.flows = FlowKeeper()
        self.pending = Quota(per_endpoint=STREAMS_PENDING_PER_ENDPOINT, total=STREAMS_PENDING)
        self._streams = Quota(per_endpoint=STREAMS_PER_ENDPOINT, total=STREAMS)
        self._live: set[Incoming] = set()

    def __repr__(self) -> str:
        return (
            f"Acceptor({self._streams.taken} streams, {self.pending.taken} pending, {len(self.flows)} flows)"
        )

    @property
    def status(self) -> AcceptorStatus:
        """What is carried now."""
        return AcceptorStatus(self._streams.taken, self.pending.taken, len(self.flows))

    def accept(self, transport: asyncio.Transport) -> asyncio.Protocol:
        """The protocol for a stream that a peer opened; its `connection_made` must be called."""
        caller: EndpointId = transport.get_extra_info("endpoint_id")
        if why := self.refusal():
            return Refused(Answer(Status.OVERLOADED, why))
        if not self._streams.take(caller):
            return Refused(Answer(Status.OVERLOADED, "you have too many streams open here; close some"))
        if not self.pending.take(caller):
            self._streams.give(caller)
            return Refused(Answer(Status.OVERLOADED, "too many streams wait to be opened; try again later"))
        incoming = Incoming(self, caller)
        self._live.add(incoming)
        return incoming

    def forget(self, incoming: Incoming) -> None:
        """A stream is over."""
        self._live.discard(incoming)
        self._streams.give(incoming.caller)

    def services_for(self, caller: EndpointId) -> list[ListedService]:
        """What the caller may use, as it is told."""
        return [
            ListedService(s.name, s.first_port, s.last_port, s.protocols, s.public)
            for s in self.services
            if not s.unlisted and self.access(s, caller).allowed
        ]

    def access(self, service: Service | None, caller: EndpointId) -> Access:
        """Whether the caller may use the service now."""
        return may_use(service, caller, self.contacts, self._grants)

    def end_streams(self, matches: Callable[[EndpointId, Service], bool]) -> int:
        """Reset the streams of the callers and services that match; returns how many."""
        ending = [one for one in self._live if one.service is not None and matches(one.caller, one.service)]
        for incoming in ending:
            incoming.abort()
        return len(ending)

    def recheck(self) -> int:
        """Reset the streams whose service is gone, or closed to their caller now; returns how many."""
        return self.end_streams(
            lambda caller, service: not self.access(self._as_now(service), caller).allowed
        )

    def _as_now(self, service: Service) -> Service | None:
        """The service as it is exposed now. What a program took stays its own after it has stopped to listen."""
        known = self.services.get(service.name)
        return service if known is None and isinstance(service.target, ProgramTarget) else known

    def close(self) -> None:
        """Reset everything."""
        for incoming in list(self._live):
            incoming.abort()
        self.flows.close()
