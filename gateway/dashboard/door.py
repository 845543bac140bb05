"""The first look at a connection to the dashboard: who is at its other end, and whether there is room."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from gateway.dashboard.guard import HEADERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.local_users import LocalUsers

_FORBIDDEN: Final = ("403 Forbidden", "This gateway belongs to another user of this machine.\n")
_BUSY: Final = ("503 Service Unavailable", "There are too many connections already.\n")


class Door(asyncio.Protocol):
    """Stands in for the web server until it is known who connects; then it hands the connection over, or ends it.

    Whoever is not admitted takes no place from those who are.
    """

    def __init__(self, users: LocalUsers, enter: Callable[[], asyncio.Protocol | None]) -> None:
        """`enter` makes the web server's protocol, or tells by None that there is no room."""
        self._users = users
        self._enter = enter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Decide."""
        connection = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        if not self._users.admits(connection):
            _refuse(connection, *_FORBIDDEN)
            return
        protocol = self._enter()
        if protocol is None:
            _refuse(connection, *_BUSY)
            return
        connection.set_protocol(protocol)
        protocol.connection_made(transport)


def _refuse(transport: asyncio.Transport, status: str, text: str) -> None:
    head = [f"HTTP/1.1 {status}", "Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(text)}"]
    head += [f"{name}: {value}" for name, value in HEADERS.items()]
    transport.write("\r\n".join([*head, "Connection: close", "", text]).encode())
    transport.close()
