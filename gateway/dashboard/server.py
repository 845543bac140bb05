"""The web server for browsers on this machine. It serves `/proxy.pac`, and `/` says how to use it.

A page from elsewhere must not read it by pointing a name of its own at 127.0.0.1 (DNS rebinding), so a request
whose Host is not an address of ours is refused.
"""

from __future__ import annotations

import asyncio
import errno
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from aiohttp import web

from gateway.errors import ConfigurationError
from gateway.limits import DASHBOARD_CONNECTIONS
from gateway.pac import CONTENT_TYPE, pac

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiohttp.typedefs import Handler

_LOCAL_NAMES: Final = frozenset({"localhost"})


class DashboardServer:
    """Listens from `start` to `close`."""

    def __init__(
        self,
        host: str,
        port: int,
        proxy_address: Callable[[], tuple[str, int] | None],
        doh: Iterable[web.RouteDef] = (),
    ) -> None:
        """`proxy_address` tells where the proxy listens, or None while it does not; `doh` answers DNS over HTTPS."""
        self._host = host
        self._port = port
        self._proxy_address = proxy_address
        app = web.Application(middlewares=[_only_local_names], client_max_size=1)
        app.add_routes([web.get("/proxy.pac", self._pac), web.get("/", self._home), *doh])
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it really listens; ConfigurationError before `start`."""
        if self._server is None:
            raise ConfigurationError("the dashboard is not running")
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    async def start(self) -> None:
        """Listen; ConfigurationError says in one line why not."""
        await self._runner.setup()
        server = self._runner.server
        assert server is not None  # noqa: S101 - made by setup
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: _Refusal() if len(server.connections) >= DASHBOARD_CONNECTIONS else server(),
                self._host,
                self._port,
            )
        except OSError as error:
            await self._runner.cleanup()
            why = (
                "another program, or another gateway, uses this port"
                if error.errno == errno.EADDRINUSE
                else (error.strerror or str(error)).lower()
            )
            raise ConfigurationError(
                f"the dashboard cannot listen on {self._host}:{self._port}: {why}; "
                "choose another with [dashboard] port or --dashboard-port, 0 for any free one"
            ) from None

    async def close(self) -> None:
        """Stop listening; idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._runner.cleanup()

    async def _pac(self, request: web.Request) -> web.Response:
        address = self._proxy_address()
        if address is None:
            raise web.HTTPServiceUnavailable(text="The proxy is switched off ([proxy] enabled).\n")
        host, port = address
        local = request.transport.get_extra_info("sockname") if request.transport is not None else None
        if ip_address(host).is_unspecified and local is not None:
            host = local[0]  # the proxy listens everywhere, so also where this request came to
        return web.Response(
            body=pac(host, port).encode(),
            content_type=CONTENT_TYPE,
            headers={"Cache-Control": "no-cache"},
        )

    async def _home(self, request: web.Request) -> web.Response:
        return web.Response(
            text="This is an overlay gateway. Give your browser this address for automatic proxy configuration:\n"
            f"http://{request.host}/proxy.pac\n"
        )


@web.middleware
async def _only_local_names(request: web.Request, handler: Handler) -> web.StreamResponse:
    host = request.host.rpartition(":")[0] or request.host
    if host.lower() not in _LOCAL_NAMES:
        try:
            ip_address(host.strip("[]"))
        except ValueError:
            raise web.HTTPForbidden(text="Open this by its address, not by a name.\n") from None
    response = await handler(request)
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


class _Refusal(asyncio.Protocol):
    """For a connection beyond the limit."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a TCP connection
        transport.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        transport.close()
