"""The door of a beacon: who may hold a connection before having proved an id, and for how long. ⚡

Connections that do nothing, or only begin, are what a stranger can make thousands of. They are counted here, all
together and by where they come from; whoever logs in, or asks for something, is not counted as idle any more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final, cast

from gateway.beacon.limits import (
    BEACON_ANONYMOUS,
    BEACON_ANONYMOUS_PER_ADDRESS,
    BEACON_COUNT_EVERY,
    BEACON_KEEPALIVE_SECONDS,
    BEACON_LOGIN_SECONDS,
)
from gateway.beacon.places import client_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\nRetry-After: 5\r\n\r\n"
)


class Door:
    """Counts connections without an id, and makes the protocol of each."""

    def __init__(self, make: Callable[[], web.RequestHandler]) -> None:
        """`make` is the web server: a new protocol for a connection that is let in."""
        self._make = make
        self._guests: dict[asyncio.BaseProtocol, _Guest] = {}
        self._counts: Counter[str] = Counter()
        self._count_at = 0.0
        self.turned_away = 0

    def __call__(self) -> asyncio.Protocol:
        """The protocol of a connection of which nothing is known yet."""
        return _Threshold(self)

    def asked(self, request: web.Request) -> None:
        """A whole request has come on this connection, and is answered."""
        guest = self._guests.get(request.protocol)
        if guest is not None:
            guest.spoke = True

    def known(self, request: web.Request) -> None:
        """The connection's gateway has proved its id."""
        self._forget(request.protocol)

    def admit(self, transport: asyncio.Transport) -> asyncio.Protocol | None:
        """The web server's protocol for a new connection, or None if there are too many."""
        client = client_of(transport.get_extra_info("peername"))
        if self._is_full(client):
            self._recount()
            if self._is_full(client):
                self.turned_away += 1
                return None
        handler = self._make()
        self._guests[handler] = _Guest(client, transport)
        if client is not None:
            self._counts[client] += 1
        asyncio.get_running_loop().call_later(BEACON_LOGIN_SECONDS, self._give_up, handler)
        return handler

    def __len__(self) -> int:
        """How many there are; some may have ended a moment ago."""
        return len(self._guests)

    def _is_full(self, client: str | None) -> bool:
        return len(self._guests) >= BEACON_ANONYMOUS or (
            client is not None and self._counts[client] >= BEACON_ANONYMOUS_PER_ADDRESS
        )

    def _give_up(self, handler: asyncio.BaseProtocol) -> None:
        """End a connection that has not sent a whole request in time, its first or the next one."""
        guest = self._guests.get(handler)
        if guest is None:
            return
        if guest.transport.is_closing():
            self._forget(handler)
        elif not guest.spoke:
            guest.transport.abort()
            self._forget(handler)
        else:
            guest.spoke = False
            pause = BEACON_KEEPALIVE_SECONDS + BEACON_LOGIN_SECONDS
            asyncio.get_running_loop().call_later(pause, self._give_up, handler)

    def _recount(self) -> None:
        """Forget those that have ended; not for each newcomer of a flood."""
        now = asyncio.get_running_loop().time()
        if now < self._count_at:
            return
        self._count_at = now + BEACON_COUNT_EVERY
        for handler in [handler for handler, guest in self._guests.items() if guest.transport.is_closing()]:
            self._forget(handler)

    def _forget(self, handler: asyncio.BaseProtocol) -> None:
        guest = self._guests.pop(handler, None)
        if guest is not None and guest.client is not None:
            self._counts[guest.client] -= 1
            if not self._counts[guest.client]:
                del self._counts[guest.client]

    def __repr__(self) -> str:
        return f"Door({len(self)} without an id, {self.turned_away} turned away)"


class _Guest:
    """One connection without an id."""

    __slots__ = ("client", "spoke", "transport")

    def __init__(self, client: str | None, transport: asyncio.Transport) -> None:
        self.client = client
        self.transport = transport
        self.spoke = False
        """Whether it asked for something since it was looked at."""


class _Threshold(asyncio.Protocol):
    """A connection of which it is not known yet where it comes from."""

    __slots__ = ("_door",)

    def __init__(self, door: Door) -> None:
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connection = cast("asyncio.Transport", transport)  # uvloop's are none by class
        protocol = self._door.admit(connection)
        if protocol is None:
            connection.write(_FULL)
            connection.close()
            return
        connection.set_protocol(protocol)
        protocol.connection_made(connection)
