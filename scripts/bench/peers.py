"""Endpoints that nobody knows, each connected to a gateway and quiet, all in this one process.

    peers.py ENDPOINT_ID HOST:PORT IP COUNT

Each has a key of its own, listens at IP, connects and pings once; they stay until our input ends.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from typing import TYPE_CHECKING, Any

import uvloop

from tunnels.addresses import Address
from tunnels.endpoint import Endpoint, EndpointSettings
from tunnels.errors import TunnelError
from tunnels.identity import EndpointId, SecretKey

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

CONNECTING_AT_ONCE = 8


class Peers:
    """So many endpoints that find one gateway where we were told."""

    def __init__(self, gateway: EndpointId, place: Address, ip: str) -> None:
        self.gateway, self.place = gateway, place
        self.settings = EndpointSettings(bind=(ip,))
        self.endpoints: list[Endpoint] = []
        self.tasks: set[asyncio.Task[None]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def find(self, _: EndpointId) -> Sequence[Address]:
        return (self.place,)

    async def connect(self, count: int) -> None:
        gate = asyncio.Semaphore(CONNECTING_AT_ONCE)

        async def one() -> None:
            async with gate:
                endpoint = Endpoint(
                    SecretKey(secrets.token_bytes(32)),
                    self.settings,
                    find_addresses=self.find,
                    accept_stream=lambda _: asyncio.Protocol(),
                    spawn=self.spawn,
                )
                self.endpoints.append(endpoint)
                endpoint.start()
                await endpoint.ping(self.gateway)

        await asyncio.gather(*(one() for _ in range(count)))

    async def close(self) -> None:
        await asyncio.gather(*(endpoint.close() for endpoint in self.endpoints))


async def stay(gateway: str, place: str, ip: str, count: str) -> None:
    peers = Peers(EndpointId.parse(gateway), Address.parse(place), ip)
    try:
        await peers.connect(int(count))
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    except TunnelError as error:
        print(f"an endpoint cannot connect: {error}", flush=True)
    finally:
        await peers.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(stay(*sys.argv[1:5]))
