"""The same routes serve any HTTP server, such as the dashboard's over TCP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession, web

import gateway
from gateway.control.routes import VERSION_HEADER, routes
from tests.lab.control import FakeGateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes(routes(FakeGateway(), tmp_path / "gateway.log"))
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}/v1"
    await runner.cleanup()


async def test_reports_are_json_with_the_daemons_version(url: str) -> None:
    async with ClientSession() as session, session.get(f"{url}/status") as reply:
        assert reply.status == 200
        assert reply.headers[VERSION_HEADER] == gateway.__version__
        assert (await reply.json())["nickname"] == "me"


async def test_errors_are_json_with_a_code(url: str) -> None:
    async with ClientSession() as session, session.post(f"{url}/ping", json={"name": "nobody"}) as reply:
        assert reply.status == 404
        assert await reply.json() == {"error": "ping: nobody is called nobody", "code": "dial-unknown-name"}


async def test_a_log_that_is_not_there_is_empty(url: str) -> None:
    async with ClientSession() as session, session.get(f"{url}/logs") as reply:
        assert (reply.status, await reply.text()) == (200, "")


async def test_a_ticket_may_be_asked_for_without_options(url: str) -> None:
    async with ClientSession() as session, session.get(f"{url}/ticket") as reply:
        assert (await reply.json())["ticket"] == "overlay1abc"
