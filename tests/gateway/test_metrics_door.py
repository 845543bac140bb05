"""Figures are shown to who may read them, and to no page from elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import aiohttp
import pytest

from gateway import metrics_door as module
from gateway.errors import ConfigurationError
from gateway.limits import METRICS_CONNECTIONS
from gateway.metrics_door import MetricsDoor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def figures() -> bytes:
    return b"x 1\n"


@contextlib.asynccontextmanager
async def serving(token: str = "") -> AsyncIterator[str]:
    door = MetricsDoor("127.0.0.1", 0, figures, token=token)
    await door.start()
    try:
        yield "http://{}:{}".format(*door.address)
    finally:
        await door.close()


async def get(url: str, **headers: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_prometheus_gets_them() -> None:
    async with serving() as url:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert await answer.text() == "x 1\n"
        assert (await get(f"{url}/"))[0] == 404
        assert (await get(f"{url}/metrics", Host="localhost"))[0] == 200


async def test_a_page_with_a_name_that_leads_here_gets_nothing() -> None:
    async with serving() as url:
        assert (await get(f"{url}/metrics", Host="evil.example:7397"))[0] == 403


async def test_a_token_is_asked_for_where_one_is_set() -> None:
    async with serving("secret") as url:
        assert (await get(f"{url}/metrics"))[0] == 401
        assert (await get(f"{url}/metrics", Authorization="Bearer wrong"))[0] == 401
        right = {"Authorization": "Bearer secret"}
        assert await get(f"{url}/metrics", **right, Host="machine.example") == (200, "x 1\n")


async def test_connections_are_bounded() -> None:
    async with serving() as url:
        host, port = url.removeprefix("http://").split(":")
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(METRICS_CONNECTIONS):
                _, writer = await asyncio.open_connection(host, int(port))
                stack.callback(writer.close)
            reader, writer = await asyncio.open_connection(host, int(port))
            stack.callback(writer.close)
            assert await reader.read() == b""


async def test_who_says_nothing_does_not_keep_prometheus_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "METRICS_HEAD_SECONDS", 0.2)
    async with serving() as url:
        host, port = url.removeprefix("http://").split(":")
        async with contextlib.AsyncExitStack() as stack:
            silent = []
            for number in range(METRICS_CONNECTIONS):
                reader, writer = await asyncio.open_connection(host, int(port))
                stack.callback(writer.close)
                writer.write(b"GET /metrics HTTP/1.1\r\n"[:number])
                silent.append(reader)
            async with asyncio.timeout(10):
                for reader in silent:
                    with contextlib.suppress(ConnectionError):
                        assert await reader.read() == b""
            assert (await get(f"{url}/metrics"))[0] == 200


async def test_a_port_that_is_taken_is_told_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        door = MetricsDoor("127.0.0.1", taken.getsockname()[1], figures)
        with pytest.raises(ConfigurationError, match=r"another program uses this port; choose another with"):
            await door.start()
    with pytest.raises(ConfigurationError, match="not served"):
        assert door.address
    await door.close()
