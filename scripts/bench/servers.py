"""The ends of every way that is measured, and the plainest way: each run as a process of its own.

    servers.py target IP        a server on TCP at that address and, at the same port, an echo on UDP
    servers.py proxy HOST:PORT  copies TCP and UDP to HOST:PORT, on the loop that comes with Python

Both print the port they listen at and serve until they are ended.

The target does what the first byte of a connection asks: D sends without end, P sends one piece for each P, U swallows
and acknowledges each `ACKNOWLEDGED` bytes with one, G answers HTTP requests.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import uvloop

CHUNK = bytes(256 * 1024)
PIECE = bytes(128 * 1024)
ACKNOWLEDGED = 256 * 1024
BACKLOG = 2048
ANSWER_BYTES = 600
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
ANSWER = (_HEAD % 530).ljust(ANSWER_BYTES, b"x")


_VIEW = memoryview(bytearray(256 * 1024))  # what arrives is looked at once, and not kept


class Target(asyncio.BufferedProtocol):
    """One connection to the server behind everything."""

    def __init__(self) -> None:
        self.asked = self.head = b""
        self.received = self.acknowledged = 0
        self.paused = False
        self.turn: asyncio.Handle | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return _VIEW

    def buffer_updated(self, nbytes: int) -> None:
        self.asked = self.asked or bytes(_VIEW[:1])
        if self.asked == b"G":
            heads, end, self.head = (self.head + bytes(_VIEW[:nbytes])).rpartition(b"\r\n\r\n")
            if end:
                self.transport.write(ANSWER * (heads + end).count(end))
                if heads.endswith(b"\r\nConnection: close"):
                    self.transport.close()
        elif self.asked == b"U":
            self.received += nbytes
            owed = self.received // ACKNOWLEDGED - self.acknowledged
            self.acknowledged += owed
            self.transport.write(b"." * owed)
        elif self.asked == b"P":
            self.transport.write(PIECE * nbytes)
        else:
            self.send_on()

    def send(self) -> None:
        """One piece, and more in the loop's next turn, so that all connections have theirs."""
        self.turn = None
        if not self.paused and not self.transport.is_closing():
            self.transport.write(CHUNK)
            self.send_on()

    def send_on(self) -> None:
        if self.turn is None and not self.paused:
            self.turn = asyncio.get_running_loop().call_soon(self.send)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        if self.asked == b"D":
            self.send_on()


UDP_BUFFER = 4 * 1024 * 1024
SWALLOW, COUNT = b"swallow.", b"count?.."


class Echo(asyncio.DatagramProtocol):
    """Every datagram goes back to where it came from, but those that ask to be swallowed and counted."""

    def __init__(self) -> None:
        self.swallowed: dict[Any, int] = {}

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_BUFFER)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        start = data[:8]
        if start == SWALLOW:
            self.swallowed[addr] = self.swallowed.get(addr, 0) + 1
        elif start == COUNT:
            self.transport.sendto(data + self.swallowed.get(addr, 0).to_bytes(8, "big"), addr)
        else:
            self.transport.sendto(data, addr)


class Copy(asyncio.Protocol):
    """One side of a proxied connection: what comes here is written to the other."""

    def __init__(self, other: Copy | None, place: tuple[str, int]) -> None:
        self.other, self.place = other, place
        self.early = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        if self.other is None:
            self.task = asyncio.get_running_loop().create_task(self.connect())
        else:
            self.other.other = self
            transport.write(self.other.early)
            self.other.transport.resume_reading()

    async def connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: Copy(self, self.place), *self.place)
        except OSError:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self.early += data
            self.transport.pause_reading()
        else:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None:
            self.other.transport.close()


class CopyDatagrams(asyncio.DatagramProtocol):
    """The proxy's UDP: one connected socket for each source; `back` is where what comes here goes."""

    def __init__(self, place: tuple[str, int], back: Any = None) -> None:
        self.place, self.back = place, back
        self.sources: dict[Any, Any] = {}

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self.back is not None:
            self.back(data)
        elif addr in self.sources:
            self.sources[addr].sendto(data)
        else:
            self.task = asyncio.get_running_loop().create_task(self.open(data, addr))

    async def open(self, data: bytes, addr: Any) -> None:
        self.sources[addr], _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: CopyDatagrams(self.place, lambda data: self.transport.sendto(data, addr)),
            remote_addr=self.place,
        )
        self.sources[addr].sendto(data)


async def serve(arguments: list[str]) -> None:
    loop = asyncio.get_running_loop()
    ip = arguments[1]
    tcp: Any = Target
    udp: Any = Echo
    if arguments[0] == "proxy":
        host, _, number = arguments[1].rpartition(":")
        ip, place = "127.0.0.1", (host, int(number))
        tcp, udp = (lambda: Copy(None, place)), (lambda: CopyDatagrams(place))
    for attempt in range(20):
        server = await loop.create_server(tcp, ip, 0, backlog=BACKLOG)
        port = server.sockets[0].getsockname()[1]
        try:
            await loop.create_datagram_endpoint(udp, local_addr=(ip, port))
        except OSError:  # free for TCP, taken for UDP: another port then
            server.close()
            if attempt == 19:
                raise
            continue
        break
    print(port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    # The target must not be what is measured; the proxy is what one writes with Python alone.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if sys.argv[1] == "target" else None) as runner:
        runner.run(serve(sys.argv[1:]))
