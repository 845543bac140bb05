"""One TCP port with a web server of ours behind it: room for so many connections, and so long for the first request of each. ⚡"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.first_requests import FirstRequests

if TYPE_CHECKING:
    from collections.abc import Callable


class WebPort:
    """Listens from `start` to `close`; whoever answers requests tells `first_requests` of each."""

    def __init__(
        self, app: web.Application, *, connections: int, first_request: float, keepalive: float
    ) -> None:
        """`first_request` and `keepalive`: seconds for which a connection may say nothing, at first and later."""
        self._connections = connections
        self._first_request = first_request
        self.first_requests = FirstRequests()
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            keepalive_timeout=keepalive,
            lingering_time=0.0,
            shutdown_timeout=1.0,
        )
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> tuple[str, int] | None:
        """Where it really listens; None before `start`."""
        if self._server is None:
            return None
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    async def start(self, protocol: Callable[[], asyncio.Protocol], host: str, port: int) -> None:
        """Listen, with such a protocol for each connection, which asks `enter`; OSError if that cannot be."""
        await self._runner.setup()
        try:
            self._server = await asyncio.get_running_loop().create_server(
                protocol, host, port, backlog=self._connections
            )
        except OSError:
            await self._runner.cleanup()
            raise

    def enter(self) -> asyncio.Protocol | None:
        """The web server's protocol for one more connection; None if there is no room."""
        server = self._runner.server
        if server is None or len(server.connections) >= self._connections:
            return None
        handler = server()
        self.first_requests.expect(handler, self._first_request)
        return handler

    def stop(self) -> None:
        """Let nobody else in; idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def close(self) -> None:
        """Stop listening, and end what is open; idempotent."""
        self.stop()
        await self._runner.cleanup()
