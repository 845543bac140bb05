"""The HTTP shell between real sockets: as the server adapter uses it, and for what the proxy's own tests do not reach."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.http.connection import forward_fixed
from gateway.http.rewriting import HeaderRewrite, tell_endpoint
from gateway.splice import Held
from tests.lab.dialer import Tasks
from tests.lab.http_servers import http_app, scripted, serve
from tests.lab.http_websocket import talk, websocket_echo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import h11
    from aiohttp import web

WHO = tell_endpoint("me", "localhost")


class _Inbound(Held):
    def __init__(self, made: Callable[[_Inbound], None]) -> None:
        super().__init__()
        self._made = made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._made(self)


@asynccontextmanager
async def adapter(target: tuple[str, int], rewrite: HeaderRewrite = WHO) -> AsyncIterator[tuple[str, int]]:
    """A port each of whose connections is forwarded to a connection of its own to the target."""
    loop, tasks = asyncio.get_running_loop(), Tasks()

    async def forward(inbound: _Inbound) -> None:
        transport, _ = await loop.create_connection(Held, *target)
        for each in (inbound.transport, transport):
            each.pause_reading()
        await forward_fixed(inbound.transport, transport, rewrite, early=inbound.early)

    def made(inbound: _Inbound) -> None:
        tasks.spawn(forward(inbound), "forward")

    server = await loop.create_server(lambda: _Inbound(made), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()
        await tasks.close()


async def test_each_request_of_a_connection_carries_the_true_caller_and_host() -> None:
    seen: list[h11.Request] = []
    async with serve(http_app("web", seen)) as target, adapter(target) as place:
        reader, writer = await asyncio.open_connection(*place)
        for number in range(3):
            forged = b"x-overlay_endpoint: forged\r\n" * number
            writer.write(
                b"POST /%d HTTP/1.1\r\nHost: web.alice.overlay\r\n%bContent-Length: 2\r\n\r\nhi"
                % (number, forged)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert await reader.readuntil(b"hi") == b"web POST /%d 2\nhi" % number
        writer.close()
    for number, request in enumerate(seen):
        assert request.target == b"/%d" % number
        assert [v for n, v in request.headers if n.replace(b"_", b"-") == b"x-overlay-endpoint"] == [b"me"]
        assert [v for n, v in request.headers if n == b"host"] == [b"localhost"]


async def test_a_kept_host_passes_and_an_absolute_target_decides_it() -> None:
    seen: list[h11.Request] = []
    async with serve(http_app("web", seen)) as target, adapter(target, tell_endpoint("me")) as place:
        reader, writer = await asyncio.open_connection(*place)
        writer.write(b"GET /a HTTP/1.1\r\nHost: one\r\n\r\nGET http://two/b HTTP/1.1\r\nHost: one\r\n\r\n")
        await reader.readuntil(b"/a 0\n")
        await reader.readuntil(b"/b 0\n")
        writer.close()
    assert [dict(request.headers)[b"host"] for request in seen] == [b"one", b"two"]


async def test_what_is_not_http_is_told_so_and_closed() -> None:
    async with serve(http_app("web")) as target, adapter(target) as place:
        for junk in (b"\x16\x03\x01\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"):
            reader, writer = await asyncio.open_connection(*place)
            writer.write(junk)
            answer = await reader.read()
            assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501"))
            writer.close()


async def test_the_end_of_the_target_is_the_end_of_the_stream() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with serve(scripted(answer, close=True)) as target, adapter(target) as place:
        reader, writer = await asyncio.open_connection(*place)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await reader.read() == answer
        writer.close()


@pytest.mark.parametrize("size", [10, 300_000])
async def test_a_websocket_upgrade_becomes_a_splice(size: int) -> None:
    heads: list[web.Request] = []
    async with websocket_echo(heads) as target, adapter(target) as (host, port):
        await talk(f"ws://{host}:{port}/chat", size)
    assert heads[0].headers["X-Overlay-Endpoint"] == "me"


async def test_a_client_that_does_not_read_stops_the_target() -> None:
    sent = 0
    blocked = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while sent < 100_000_000:
            writer.write(b"x" * 65536)
            sent += 65536
            try:
                await asyncio.wait_for(writer.drain(), 0.5)
            except TimeoutError:
                blocked.set()
                return

    async with serve(endless) as target, adapter(target) as place:
        _, writer = await asyncio.open_connection(*place, limit=1000)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(blocked.wait(), 20)
        assert sent < 30_000_000  # what the kernel's buffers hold, and little of ours
        writer.transport.abort()


async def test_a_target_that_does_not_read_stops_the_client() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async with serve(deaf) as target, adapter(target) as place:
        _, writer = await asyncio.open_connection(*place)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")

        async def send() -> None:
            nonlocal sent
            while sent < 100_000_000:
                writer.write(b"x" * 65536)
                sent += 65536
                await asyncio.wait_for(writer.drain(), 0.5)

        sent = 0
        with pytest.raises(TimeoutError):
            await send()
        assert sent < 30_000_000
        writer.transport.abort()


async def test_a_client_that_leaves_resets_the_target() -> None:
    ended = asyncio.Event()

    async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            await reader.read()
        finally:
            ended.set()

    async with serve(waiting) as target, adapter(target) as place:
        _, writer = await asyncio.open_connection(*place)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        await writer.drain()
        writer.close()
        await asyncio.wait_for(ended.wait(), 5)
