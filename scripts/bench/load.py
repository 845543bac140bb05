"""Puts load on one way and prints what came of it as one line of JSON; run as a process of its own.

    load.py MODE HOST:PORT [key=value]…

`socks=NAME:PORT` asks a SOCKS5 proxy at HOST:PORT for that service first. Modes: down, up (bulk bytes), pieces (of
128 KB, one at a time on each connection), requests (likewise), connect (a new connection for each request), idle
(open, one request, hold until our input ends), beside (bulk down until our input ends), long (bulk down on one
connection, a line when each of `marks` bytes have come, held until our input ends), datagrams (one socket, `window`
under way), flood (one way, likewise).
"""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

import uvloop
from servers import ACKNOWLEDGED, ANSWER_BYTES, CHUNK, COUNT, PIECE, SWALLOW

if TYPE_CHECKING:
    from collections.abc import Callable

_VIEW = memoryview(bytearray(1024 * 1024))  # what arrives is counted, not kept
_HEAD = b"GET /some/page HTTP/1.1\r\nHost: bench.alice.overlay\r\nUser-Agent: bench\r\nAccept: */*\r\n"
REQUEST, LAST_REQUEST = _HEAD + b"\r\n", _HEAD + b"Connection: close\r\n\r\n"
OPENING_AT_ONCE = 32
FIRST_BYTE_SECONDS = 10.0
STALLED_SECONDS = 5.0
COUNTED_EACH = 64  # datagrams between two questions


class Client(asyncio.BufferedProtocol):
    """A connection to the target, after what a SOCKS5 proxy wants to hear; modes say what happens then."""

    def __init__(self, socks: str) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.count = 0
        self.socks = socks
        self.greeting = b""
        self.greeted = 0 if socks else 2

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        if self.greeted:
            self.begin_now()
        else:
            transport.write(b"\5\1\0")

    def get_buffer(self, sizehint: int) -> memoryview:
        return _VIEW

    def buffer_updated(self, nbytes: int) -> None:
        if self.greeted == 2:
            if not self.heard.done():
                self.heard.set_result(None)
            self.received(nbytes)
            return
        self.greeting += bytes(_VIEW[:nbytes])
        if self.greeted == 0 and len(self.greeting) >= 2:
            host, _, port = self.socks.rpartition(":")
            self.transport.write(b"\5\1\0\3%c%s" % (len(host), host.encode()) + int(port).to_bytes(2, "big"))
            self.greeted = 1
        elif self.greeted == 1 and len(self.greeting) >= 12:
            if self.greeting[3]:
                self.fail(f"the proxy answered {self.greeting[3]}")
                return
            self.greeted = 2
            self.begin_now()

    def begin_now(self) -> None:
        self.ready.set_result(None)
        self.begin()

    def begin(self) -> None:
        """The way to the target is open."""

    def received(self, size: int) -> None:
        """So many bytes came from it."""
        self.count += size

    def fail(self, why: str) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(why))
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(str(exc or "closed before anything was said"))
        self.closed.set_result(None)


class Down(Client):
    def begin(self) -> None:
        self.transport.write(b"D")


class Pieces(Client):
    """One piece after the other; endless streams would fill the kernel's memory for TCP, a thousand at once."""

    def begin(self) -> None:
        self.transport.write(b"P")

    def received(self, size: int) -> None:
        before, self.count = self.count, self.count + size
        if before // len(PIECE) < self.count // len(PIECE):
            self.begin()


class Up(Client):
    paused = False
    turn: asyncio.Handle | None = None

    def begin(self) -> None:
        """One piece, and more in the loop's next turn, so that what comes back is read."""
        self.turn = None
        if not self.paused and not self.transport.is_closing():
            self.transport.write(UPLOAD)
            self.turn = asyncio.get_running_loop().call_soon(self.begin)

    def received(self, size: int) -> None:
        self.count += size * ACKNOWLEDGED

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        if self.turn is None:
            self.begin()


class Requests(Client):
    latencies: list[float]
    request = REQUEST

    def begin(self) -> None:
        self.sent = time.perf_counter()
        self.transport.write(self.request)

    def received(self, size: int) -> None:
        self.count += size
        if self.count >= ANSWER_BYTES:
            self.count -= ANSWER_BYTES
            self.latencies.append(time.perf_counter() - self.sent)
            self.begin()


class Once(Client):
    """Asks once; `request` says whether the server then closes."""

    request = LAST_REQUEST

    def begin(self) -> None:
        self.transport.write(self.request)


UPLOAD = b"U" * len(CHUNK)


class Load:
    """One run of one mode."""

    def __init__(self, place: str, options: dict[str, str]) -> None:
        host, _, port = place.rpartition(":")
        self.place = host, int(port)
        self.socks = options.get("socks", "")
        self.seconds = float(options.get("seconds", 1))
        self.warmup = float(options.get("warmup", min(0.5, self.seconds / 2)))
        self.connections = int(options.get("connections", 1))
        self.window = int(options.get("window", 1))
        self.payload = bytes.fromhex(options.get("payload", ""))
        self.size = int(options.get("size", 0))
        self.marks = [int(mark) for mark in options.get("marks", "").split(",") if mark]

    async def open(self, kind: Callable[[str], Client]) -> Client:
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: kind(self.socks), *self.place)
        await client.ready
        return client

    async def open_all(self, kind: Callable[[str], Client]) -> list[Client]:
        gate = asyncio.Semaphore(OPENING_AT_ONCE)

        async def one() -> Client:
            async with gate:
                return await self.open(kind)

        return list(await asyncio.gather(*(one() for _ in range(self.connections))))

    async def bulk(self, kind: type[Client]) -> dict[str, float]:
        """Bytes per second over all connections, once each of them has seen something."""
        clients = await self.open_all(kind)
        await asyncio.sleep(self.warmup)
        await asyncio.wait([client.heard for client in clients], timeout=FIRST_BYTE_SECONDS)
        began, before = time.perf_counter(), [client.count for client in clients]
        await asyncio.sleep(self.seconds)
        moved = [client.count - start for client, start in zip(clients, before, strict=True)]
        elapsed = time.perf_counter() - began
        idle = sum(client.count == 0 or client.closed.done() for client in clients)
        if idle:
            raise ConnectionError(f"{idle} of {len(clients)} connections carried nothing")
        total = sum(client.count for client in clients)
        return {"rate": sum(moved) / elapsed, "bytes": total}

    async def requests(self) -> dict[str, float]:
        Requests.latencies = latencies = []
        clients = await self.open_all(Requests)
        await asyncio.sleep(self.warmup)
        latencies.clear()
        began = time.perf_counter()
        await asyncio.sleep(self.seconds)
        elapsed = time.perf_counter() - began
        lost = sum(client.closed.done() for client in clients)
        if lost or len(latencies) < 2:
            raise ConnectionError(f"{lost} of {len(clients)} connections were lost")
        rank = statistics.quantiles(latencies, n=100)
        return {"rate": len(latencies) / elapsed, "p50": rank[49], "p99": rank[98]}

    async def connect(self) -> dict[str, float]:
        """New connections per second: opened, asked once, read to the server's end; all that were opened must end."""
        began = time.perf_counter()
        served: list[float] = []
        wrong: list[str] = []

        async def worker() -> None:
            while time.perf_counter() - began < self.seconds:
                client = None
                try:
                    async with asyncio.timeout(STALLED_SECONDS):
                        client = await self.open(Once)
                        await client.closed
                except TimeoutError:
                    wrong.append(f"stalled {'with' if client and client.count else 'without'} an answer")
                    continue
                except OSError as error:
                    wrong.append(str(error))
                    continue
                if client.count == ANSWER_BYTES:
                    served.append(time.perf_counter() - began)
                else:
                    wrong.append(f"ended after {client.count} bytes")

        await asyncio.gather(*(worker() for _ in range(self.connections)))
        if wrong:
            reasons = ", ".join(f"{wrong.count(reason)} {reason}" for reason in dict.fromkeys(wrong))
            raise ConnectionError(f"of {len(served) + len(wrong)} connections {reasons}")
        return {"rate": len(served) / served[-1]}

    async def idle(self) -> dict[str, float]:
        Once.request = REQUEST
        clients = await self.open_all(Once)
        async with asyncio.timeout(FIRST_BYTE_SECONDS):
            await asyncio.gather(*(client.heard for client in clients))
        print("ready", flush=True)
        await input_ends()
        return {}

    async def beside(self) -> dict[str, float]:
        """A download under way from before we say so until our input ends."""
        client = await self.open(Down)
        async with asyncio.timeout(FIRST_BYTE_SECONDS):
            await client.heard
        await asyncio.sleep(0.5)
        print("ready", flush=True)
        began, before = time.perf_counter(), client.count
        await input_ends()
        if client.closed.done() or client.count == before:
            raise ConnectionError("the download beside it came to an end")
        return {"rate": (client.count - before) / (time.perf_counter() - began)}

    async def long(self) -> dict[str, float]:
        """One download, told of at each of the marks; it goes on until our input ends."""
        client = await self.open(Down)
        began = time.perf_counter()
        for mark in self.marks:
            while client.count < mark:
                if client.closed.done():
                    raise ConnectionError(f"ended after {client.count} bytes")
                await asyncio.sleep(0.02)
            print(json.dumps({"rate": client.count / (time.perf_counter() - began)}), flush=True)
        await input_ends()
        return {}

    def datagrams(self) -> dict[str, float]:
        """Answers per second with `window` datagrams under way; what takes half a second counts as lost.

        With one under way also how long the answers take.
        """
        latencies: list[float] = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(self.place)
            sock.settimeout(0.5)
            self.warm_up(sock)
            sent = received = given_up = 0
            tail = self.payload[2:]
            began = time.perf_counter()
            while time.perf_counter() - began < self.seconds:
                while sent - received - given_up < self.window:
                    sock.send((sent & 0xFFFF).to_bytes(2, "big") + tail)
                    sent += 1
                    last_sent = time.perf_counter()
                try:
                    sock.recv(4096)
                except TimeoutError:
                    given_up = sent - received
                else:
                    received += 1
                if self.window == 1:
                    latencies.append(time.perf_counter() - last_sent)
            rate = received / (time.perf_counter() - began)
            try:
                while received < sent:
                    sock.recv(4096)
                    received += 1
            except TimeoutError:
                pass
        ranks = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else []
        return {"rate": rate, "loss": 100 * (sent - received) / sent} | ({"p99": ranks[98]} if ranks else {})

    def flood(self) -> dict[str, float]:
        """Datagrams per second one way, as many as arrive: the other end tells, every so many, what it has counted."""
        datagram = SWALLOW.ljust(self.size, b".")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(self.place)
            self.warm_up(sock)
            sock.settimeout(0.2)
            sent = arrived = given_up = 0
            began = time.perf_counter()
            while time.perf_counter() - began < self.seconds:
                while sent - arrived - given_up < self.window:
                    for _ in range(COUNTED_EACH):
                        sock.send(datagram)
                    sock.send(COUNT)
                    sent += COUNTED_EACH
                try:
                    arrived = max(arrived, int.from_bytes(sock.recv(4096)[8:], "big"))
                except TimeoutError:
                    given_up = sent - arrived
                    sock.send(COUNT)
            elapsed, in_time = time.perf_counter() - began, arrived
            sock.send(COUNT)
            try:
                while arrived < sent:
                    arrived = max(arrived, int.from_bytes(sock.recv(4096)[8:], "big"))
            except TimeoutError:
                pass
        return {"rate": in_time / elapsed, "loss": 100 * (sent - arrived) / sent}

    def warm_up(self, sock: socket.socket) -> None:
        """The first datagrams open a flow; wait until all that can answer have."""
        for _ in range(10):
            sock.send(self.payload)
            try:
                sock.recv(4096)
            except TimeoutError:
                continue
            sock.settimeout(0.1)
            try:
                while sock.recv(4096):
                    pass
            except TimeoutError:
                sock.settimeout(0.5)
                return
        raise ConnectionError("no datagram came back")

    def run(self, mode: str) -> dict[str, float]:
        if mode == "datagrams":
            return self.datagrams()
        if mode == "flood":
            return self.flood()
        kind = {"down": Down, "up": Up, "pieces": Pieces}.get(mode)
        coroutine = self.bulk(kind) if kind else getattr(self, mode)()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(coroutine)


async def input_ends() -> None:
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main() -> None:
    mode, place, *options = sys.argv[1:]
    try:
        figures = Load(place, dict(option.split("=", 1) for option in options)).run(mode)
    except (OSError, TimeoutError) as error:
        print(json.dumps({"failed": str(error) or "it took too long"}), flush=True)
    else:
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
