"""The web handler of DNS over HTTPS, mounted by the dashboard's server and behind the front doors. ⚡"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from gateway.doh.messages import MEDIA_TYPE, DohError, check_query, lifetime, query_of_parameter, refuse_pages
from gateway.limits import DOH_BODY_SECONDS
from resolver.limits import QUERY_BYTES

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine
    from typing import Any, Protocol

    Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]

    class Respond(Protocol):
        """`resolver.responder.Responder.respond`."""

        def __call__(self, data: bytes, *, over_tcp: bool, done: Callable[[bytes | None], None]) -> None: ...


PATH: Final = "/dns-query"


class DohHandler:
    """Answers as the DNS server does, with the same bounds on what waits."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond

    def routes(self) -> list[web.RouteDef]:
        """What an aiohttp application serves."""
        return [web.get(PATH, self._get, allow_head=False), web.post(PATH, self._post)]

    async def _get(self, request: web.Request) -> web.Response:
        return await self._answer(request, lambda: _parameter(request))

    async def _post(self, request: web.Request) -> web.Response:
        return await self._answer(request, lambda: _body(request))

    async def _answer(
        self, request: web.Request, read: Callable[[], Coroutine[Any, Any, bytes]]
    ) -> web.Response:
        try:
            refuse_pages(request.headers)
            query = await read()
        except DohError as error:
            return web.Response(status=error.status, text=f"{error}\n")
        answered: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        # One message has no length to keep to, as over TCP.
        self._respond(
            query,
            over_tcp=True,
            done=lambda reply: None if answered.done() else answered.set_result(reply),
        )
        reply = await answered
        if reply is None:
            return web.Response(status=400, text="that is no DNS query\n")
        return web.Response(
            body=reply,
            content_type=MEDIA_TYPE,
            headers={"Cache-Control": f"max-age={lifetime(reply)}", "X-Content-Type-Options": "nosniff"},
        )


class DohServer:
    """The same on connections that were accepted elsewhere."""

    def __init__(self, handler: DohHandler, spawn: Spawn) -> None:
        app = web.Application()
        app.add_routes(handler.routes())
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, lingering_time=0.0, shutdown_timeout=1.0
        )
        self._spawn = spawn

    async def start(self) -> None:
        """Be ready."""
        await self._runner.setup()

    async def close(self) -> None:
        """Cut all connections."""
        await self._runner.cleanup()

    def join(self, sock: socket.socket) -> None:
        """Answer on a connected socket."""
        self._spawn(self._join(sock), "dns over https")

    async def _join(self, sock: socket.socket) -> None:
        server = self._runner.server
        if server is None:
            sock.close()
            return
        await asyncio.get_running_loop().connect_accepted_socket(server, sock)


async def _parameter(request: web.Request) -> bytes:
    return query_of_parameter(request.query.get("dns"))


async def _body(request: web.Request) -> bytes:
    if request.content_type != MEDIA_TYPE:
        raise DohError(415, f"a query is sent as {MEDIA_TYPE}")
    data = bytearray()
    try:
        async with asyncio.timeout(DOH_BODY_SECONDS):
            while len(data) <= QUERY_BYTES and (part := await request.content.readany()):
                data += part
    except TimeoutError:
        raise DohError(408, "the query did not arrive in time") from None
    return check_query(bytes(data))
