"""A UDP echo server and a socket that waits for datagrams."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class UdpSocket(asyncio.DatagramProtocol):
    """Datagrams received, in order, with where they came from."""

    def __init__(self, *, echo: bool = False) -> None:
        self.received: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue()
        self._echo = echo
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.received.put_nowait((data, addr))
        if self._echo:
            self.transport.sendto(data, addr)

    @property
    def address(self) -> tuple[str, int]:
        return self.transport.get_extra_info("sockname")[:2]


@asynccontextmanager
async def udp_socket(*, echo: bool = False) -> AsyncIterator[UdpSocket]:
    _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: UdpSocket(echo=echo), local_addr=("127.0.0.1", 0)
    )
    try:
        yield protocol
    finally:
        protocol.transport.close()
        await asyncio.sleep(0)
