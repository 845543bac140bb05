"""Servers that send back what they get, each connection for as long as it lasts, and a way to one through a gateway's proxy."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.gateways import GatewayProcess


class _Back(asyncio.Protocol):
    def __init__(self, open_ones: set[asyncio.BaseTransport]) -> None:
        self._open = open_ones

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]


class _BackUdp(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data, addr)  # type: ignore[attr-defined]


@contextlib.contextmanager
def echo() -> Iterator[int]:
    """TCP and UDP at the same port of 127.0.0.1, in a thread of their own; the port."""
    loop = asyncio.new_event_loop()
    open_ones: set[asyncio.BaseTransport] = set()

    async def start() -> tuple[asyncio.Server, asyncio.DatagramTransport]:
        server = await loop.create_server(lambda: _Back(open_ones), "127.0.0.1", 0, backlog=1024)
        port = server.sockets[0].getsockname()[1]
        transport, _ = await loop.create_datagram_endpoint(_BackUdp, ("127.0.0.1", port))
        return server, transport

    server, transport = loop.run_until_complete(start())
    port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield port
    finally:

        def stop() -> None:
            server.close()
            transport.close()
            for each in open_ones:
                each.close()
            loop.call_later(0.05, loop.stop)

        loop.call_soon_threadsafe(stop)
        thread.join(10)
        loop.close()


class Refusal(Exception):
    """The proxy said no; the text is its whole answer."""


class Tunnel:
    """A TCP connection by CONNECT through a gateway's proxy to `host:port`; Refusal if the proxy says no."""

    def __init__(self, gateway: GatewayProcess, host: str, port: int, *, seconds: float = 20.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", gateway.port("proxy")), seconds)
        try:
            self._connect(f"{host}:{port}")
        except BaseException:
            self.socket.close()
            raise

    def _connect(self, place: str) -> None:
        self.socket.sendall(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())
        answer = self._head()
        if not answer.startswith(b"HTTP/1.1 200"):
            with contextlib.suppress(OSError):
                while more := self.socket.recv(65536):
                    answer += more
            raise Refusal(answer.decode())

    def _head(self) -> bytes:
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = self.socket.recv(1)
            if not more:
                raise Refusal(f"the connection ended after {answer!r}")
            answer += more
        return answer

    def says_back(self, text: bytes) -> bool:
        """Whether an echo comes of it."""
        self.socket.sendall(text)
        got = b""
        while len(got) < len(text):
            more = self.socket.recv(65536)
            if not more:
                return False
            got += more
        return got == text

    def close(self) -> None:
        self.socket.close()
