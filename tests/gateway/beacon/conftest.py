"""Real beacons on loopback, and gateways' ends of their WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from gateway.beacon.embedded import open_embedded
from gateway.beacon.server import BeaconServer, wall_clock
from gateway.beacon.settings import BeaconConfig, BeaconSettings
from tests.lab.relay_clients import RelayClient, connected
from tests.lab.resolver_keys import key
from tunnels.addresses import BeaconUrl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.beacon.stores import Stores


def place_of(server: BeaconServer) -> BeaconUrl:
    """Where it really listens, whatever it is called."""
    host, port = server.addresses[0]
    scheme = "http" if server.tls is None else "https"
    return BeaconUrl(scheme, host, port, server.url.beacon_id)


class World:
    """Starts beacons and clients for one test, and ends them."""

    def __init__(self, stack: contextlib.AsyncExitStack, http: aiohttp.ClientSession) -> None:
        self._stack, self.http = stack, http
        self._kept: list[RelayClient] = []

    async def beacon(
        self,
        stores: Stores | None = None,
        *,
        beacon: dict[str, Any] | None = None,
        number: int = 900,
        options: dict[str, Any] | None = None,
        **sections: Any,
    ) -> BeaconServer:
        """A beacon that listens; `sections` are of its configuration."""
        if stores is None:
            stores = await open_embedded(None, clock=wall_clock)
            self._stack.push_async_callback(stores.close)
        settings = BeaconSettings(**{"bind": ("127.0.0.1",), "port": 0, "drain": 0.0} | (beacon or {}))
        server = BeaconServer(BeaconConfig(beacon=settings, **sections), key(number), stores, **options or {})
        self._stack.push_async_callback(server.close)
        await server.start()
        return server

    def finally_(self, close: Callable[[], Awaitable[None]]) -> None:
        """At the end, after what is started from now on."""
        self._stack.push_async_callback(close)

    async def leave(self, server: BeaconServer) -> None:
        """The beacon ends in order, before the test does."""
        await server.leave()
        await server.close()

    async def open(self, server: BeaconServer, number: int) -> RelayClient:
        """A client that is connected, and has not said who it is."""
        return await RelayClient.open(self.http, place_of(server), number)

    async def client(self, server: BeaconServer, number: int) -> RelayClient:
        """A client that is logged in with the key of this number."""
        client = await connected(self.http, place_of(server), number)
        self._kept.append(client)  # whatever nobody holds is closed
        return client


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=False))
        )
        yield World(stack, http)
        await http.close()
        await asyncio.sleep(0)
