"""The web server for browsers on this machine."""

from __future__ import annotations

import aiohttp
import pytest

from gateway import limits
from gateway.dashboard import server as server_module
from gateway.dashboard.server import DashboardServer
from gateway.errors import ConfigurationError


@pytest.fixture
async def dashboard():
    server = DashboardServer("127.0.0.1", 0, lambda: server.proxy)
    server.proxy = ("127.0.0.1", 1080)
    await server.start()
    yield server
    await server.close()


async def get(server: DashboardServer, path: str, **headers: str) -> tuple[int, str, str]:
    url = "http://{}:{}{}".format(*server.address, path)
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, answer.content_type, await answer.text()


async def test_the_pac_file_names_the_proxy(dashboard):
    status, kind, text = await get(dashboard, "/proxy.pac")
    assert (status, kind) == (200, "application/x-ns-proxy-autoconfig")
    assert "127.0.0.1:1080" in text


async def test_a_proxy_that_listens_everywhere_is_named_by_the_address_that_was_asked(dashboard):
    dashboard.proxy = ("0.0.0.0", 1080)
    assert "SOCKS5 127.0.0.1:1080" in (await get(dashboard, "/proxy.pac"))[2]


async def test_without_a_proxy_there_is_no_pac_file(dashboard):
    dashboard.proxy = None
    assert (await get(dashboard, "/proxy.pac"))[0] == 503


@pytest.mark.parametrize("host", ["rebound.example.org", "rebound.example.org:7399", "evil"])
async def test_a_name_that_was_pointed_here_is_refused(dashboard, host):
    assert (await get(dashboard, "/proxy.pac", Host=host))[0] == 403


@pytest.mark.parametrize("host", ["127.0.0.1:7399", "[::1]:7399", "localhost:7399", "localhost"])
async def test_addresses_and_localhost_are_served(dashboard, host):
    assert (await get(dashboard, "/", Host=host))[0] == 200


async def test_a_taken_port_is_named_with_the_setting(dashboard):
    host, port = dashboard.address
    with pytest.raises(ConfigurationError, match=rf"{port}.*--dashboard-port"):
        await DashboardServer(host, port, lambda: None).start()


async def test_connections_beyond_the_limit_are_told_so(dashboard, monkeypatch):
    monkeypatch.setattr(server_module, "DASHBOARD_CONNECTIONS", 2)
    import asyncio

    held = [await asyncio.open_connection(*dashboard.address) for _ in range(2)]
    reader, writer = await asyncio.open_connection(*dashboard.address)
    assert b" 503 " in await reader.read()
    for _, open_writer in (*held, (reader, writer)):
        open_writer.close()
        await open_writer.wait_closed()
    assert limits.DASHBOARD_CONNECTIONS > 2
