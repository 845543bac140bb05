"""One TCP listener: each connection is dialed and spliced; when dialing fails it is reset, and the log says why."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from gateway.dialing import DialError
from gateway.limits import LISTEN_BACKLOG
from gateway.splice import Held, Splice, reset

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine
    from typing import Any

    from gateway.dialing import Dialer
    from gateway.listeners.bindings import Binding

    Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]

_logger = logging.getLogger(__name__)


class Connections:
    """All connections of all listeners, bounded, so that they can be counted and ended together."""

    def __init__(
        self,
        dialer: Dialer,
        spawn: Spawn,
        *,
        limit: int,
        dial_limit: int,
        refusal: Callable[[], str] = lambda: "",
    ) -> None:
        """At most `limit` connections, of which `dial_limit` wait for the far side. `refusal` says why the process has no room for
        one more, empty if it has; the log has been told then.
        """
        self.refusal = refusal
        self.dialer = dialer
        self.spawn = spawn
        self.open: set[Connection] = set()
        self.dialing = 0
        self._limit = limit
        self._dial_limit = dial_limit

    @property
    def full(self) -> bool:
        """Whether one more is too many."""
        return len(self.open) >= self._limit or self.dialing >= self._dial_limit

    def close(self) -> None:
        """Reset all."""
        for connection in list(self.open):
            connection.abort()


class Connection(Held):
    """A program's connection, from being accepted to its end."""

    __slots__ = ("_connections", "_splice", "_task", "binding", "on_used")

    def __init__(
        self, binding: Binding, connections: Connections, on_used: Callable[[Binding], None]
    ) -> None:
        super().__init__()
        self.binding = binding
        self.on_used = on_used
        self._connections = connections
        self._task: asyncio.Task[None] | None = None
        self._splice: Splice | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._connections.refusal():
            reset(transport)
            return
        if self._connections.full:
            _logger.warning("a connection to %s is reset: too many connections are open", self.binding.host)
            reset(transport)
            return
        self.on_used(self.binding)
        self._connections.open.add(self)
        self._task = self._connections.spawn(self._dial(), f"connection to {self.binding.host}")

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._task is not None:
            self._task.cancel()
        self._forget()

    def abort(self) -> None:
        """Reset both sides."""
        if self._task is not None:
            self._task.cancel()
        if self._splice is not None:
            self._splice.abort()
        else:
            reset(self.transport)
        self._forget()

    async def _dial(self) -> None:
        binding = self.binding
        self._connections.dialing += 1
        try:
            opened = await self._connections.dialer.open_stream(binding.host, binding.port)
        except DialError as error:
            _logger.info("a connection to %s is reset: %s", binding, error)
            reset(self.transport)
            self._forget()
            return
        finally:
            self._connections.dialing -= 1
        self._splice = Splice(
            self.transport, opened.transport, from_first=self.early, from_second=opened.early
        )
        self._splice.closed.add_done_callback(lambda _: self._forget())

    def _forget(self) -> None:
        self._connections.open.discard(self)


async def listen_tcp(
    sock: socket.socket, binding: Binding, connections: Connections, on_used: Callable[[Binding], None]
) -> asyncio.Server:
    """Accept connections on a bound socket; closing the server leaves those accepted alone."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(
        lambda: Connection(binding, connections, on_used), sock=sock, backlog=LISTEN_BACKLOG
    )
