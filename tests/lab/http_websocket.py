"""A WebSocket server that echoes, on aiohttp, and the client's side of it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def websocket_echo(heads: list[web.Request]) -> AsyncIterator[tuple[str, int]]:
    """Its address; `heads` collects the requests."""

    async def handler(request: web.Request) -> web.WebSocketResponse:
        heads.append(request)
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(message.data)
        return socket

    app = web.Application()
    app.router.add_get("/chat", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][:2]
    finally:
        await runner.cleanup()


async def talk(url: str, size: int, *, proxy: str | None = None) -> None:
    """Send five messages of `size` bytes and get each back."""
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url, proxy=proxy, max_msg_size=0) as socket:
            for number in range(5):
                await socket.send_bytes(bytes([number]) * size)
                assert await socket.receive_bytes() == bytes([number]) * size
