"""Last words arrive although the client is still sending."""

from __future__ import annotations

import asyncio

from gateway.http.lingering import Lingering
from gateway.splice import as_transport


class _Refuser(asyncio.Protocol):
    """Answers the first bytes and lingers."""

    def __init__(self, gone: asyncio.Event) -> None:
        self._gone = gone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = as_transport(transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(b"no")
        Lingering(self._transport, self._gone.set)


async def test_a_client_that_is_still_sending_reads_the_answer() -> None:
    gone = asyncio.Event()
    server = await asyncio.get_running_loop().create_server(lambda: _Refuser(gone), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x" * 1_000_000)
        assert await reader.read() == b"no"
        writer.close()
        await asyncio.wait_for(gone.wait(), 5)


async def test_a_client_that_never_stops_is_cut_off_in_the_end() -> None:
    gone = asyncio.Event()
    server = await asyncio.get_running_loop().create_server(lambda: _Refuser(gone), "127.0.0.1", 0)
    async with server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x")
        await asyncio.wait_for(gone.wait(), 10)
        writer.close()
