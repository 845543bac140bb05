"""Where Prometheus fetches the figures, for who turned it on: `GET /metrics` on a port of its own. ⚡

Whoever reaches the port may read them, other users of this machine too, unless `[metrics] token` is set: Prometheus sends
it as a bearer token. Without one, a page from elsewhere that points a name of its own at us (DNS rebinding) is refused.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
from ipaddress import ip_address
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.errors import ConfigurationError
from gateway.exposition import CONTENT_TYPE
from gateway.limits import METRICS_CONNECTIONS, METRICS_HEAD_SECONDS, METRICS_KEEPALIVE_SECONDS
from gateway.web_port import WebPort

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Handler


class MetricsDoor:
    """Listens from `start` to `close`."""

    def __init__(
        self, host: str, port: int, show: Callable[[], Awaitable[bytes]], *, token: str = ""
    ) -> None:
        """`show` makes the text."""
        self._host, self._port = host, port
        self._show = show
        self._token = token.encode()
        app = web.Application(client_max_size=1, middlewares=[self._came])
        app.add_routes([web.get("/metrics", self._answer)])
        self._web = WebPort(
            app,
            connections=METRICS_CONNECTIONS,
            first_request=METRICS_HEAD_SECONDS,
            keepalive=METRICS_KEEPALIVE_SECONDS,
        )

    @property
    def address(self) -> tuple[str, int]:
        """Where it really listens; ConfigurationError before `start`."""
        address = self._web.address
        if address is None:
            raise ConfigurationError("metrics are not served")
        return address

    async def start(self) -> None:
        """Listen; ConfigurationError says in one line why not."""
        try:
            await self._web.start(lambda: self._web.enter() or _Refusal(), self._host, self._port)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = "another program uses this port" if taken else (error.strerror or str(error)).lower()
            raise ConfigurationError(
                f"metrics cannot be served on {self._host}:{self._port}: {why}; choose another with [metrics] port"
            ) from None

    async def close(self) -> None:
        """Stop listening; idempotent."""
        await self._web.close()

    @web.middleware
    async def _came(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._web.first_requests.came(request.protocol)
        return await handler(request)

    async def _answer(self, request: web.Request) -> web.Response:
        self._admit(request)
        return web.Response(body=await self._show(), headers={"Content-Type": CONTENT_TYPE})

    def _admit(self, request: web.Request) -> None:
        if self._token:
            given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(given, b"Bearer " + self._token):
                raise web.HTTPUnauthorized(
                    text="Send the token of [metrics] as a bearer token.\n",
                    headers={"WWW-Authenticate": 'Bearer realm="overlay metrics"'},
                )
            return
        host = request.host.rpartition(":")[0] or request.host
        if host.lower() != "localhost":
            try:
                ip_address(host.strip("[]"))
            except ValueError:
                raise web.HTTPForbidden(text="Open this by its address, or set [metrics] token.\n") from None


class _Refusal(asyncio.Protocol):
    """For a connection beyond the limit."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
