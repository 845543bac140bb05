"""A long, narrow, lossy or broken path to HOST:PORT, for UDP; run as a process of its own.

    link.py HOST:PORT

It prints the port of 127.0.0.1 it listens at, and carries datagrams both ways until its input ends. Each line of input
is JSON, with what changes of `Settings`, and is answered with what became of the datagrams so far, in each direction.

The kernel gives and takes bursts (UDP_GRO, UDP_SEGMENT), and they stay together as far as the settings allow: at
100 MB/s, one by one would be too many.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

import uvloop

SEGMENT, GRO = 103, 104  # UDP_SEGMENT and UDP_GRO of linux/udp.h
ANCILLARY_BYTES = socket.CMSG_SPACE(4)
READ_BYTES = 65536
READS = 64  # in one turn of the loop, which must also send
BUFFER = 4 * 1024 * 1024
TOGETHER_SECONDS = 0.001  # what the rate stretches further is cut; the loop's timers are no finer
SEEDS = 1, 2


@dataclass
class Settings:
    """Of both directions alike."""

    rtt: float = 0.0
    """Seconds; a change is felt by what comes afterwards, which may overtake what is under way."""
    loss: float = 0.0
    """The chance of each datagram to be lost."""
    rate: float = 0.0
    """Bytes per second; 0 for no bound."""
    queue: int = 0
    """Bytes that may wait where there is a rate; more are dropped."""
    mtu: int = READ_BYTES
    """Bytes of a datagram; a larger one is lost without a word."""
    down: bool = False


class Direction:
    """One way: what came waits here until it is due."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self.settings = settings
        self.became: Counter[str] = Counter()
        self._chance = random.Random(seed).random
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[float, int, bytes, int, socket.socket, Any]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._backlog = 0.0
        self._drained_at = 0.0

    def drain(self, now: float) -> None:
        """The queue, without what the rate let through since we looked."""
        self._backlog = max(0.0, self._backlog - self.settings.rate * (now - self._drained_at))
        self._drained_at = now

    def take(self, burst: bytes, segment: int, sock: socket.socket, address: Any) -> None:
        """A burst came, for `address`, or where `sock` is connected."""
        settings, now = self.settings, time.monotonic()
        if segment > settings.mtu:  # all but, perhaps, a shorter last one
            whole = len(burst) // segment
            self.became["too large"] += whole
            burst = burst[whole * segment :]
            segment = max(len(burst), 1)
            if len(burst) > settings.mtu:
                self.became["too large"] += 1
                return
        if settings.down:
            self.became["down"] += -(-len(burst) // segment)
            return
        if settings.loss:
            burst = self._survivors(burst, segment)
        self.drain(now)
        together = len(burst)
        if settings.rate:
            together = max(1, int(settings.rate * TOGETHER_SECONDS / segment)) * segment
        for start in range(0, len(burst), together or 1):
            piece = burst[start : start + together]
            due = now + settings.rtt / 2
            if settings.rate:
                piece = self._queued(piece, segment)
                due += self._backlog / settings.rate
            if piece:
                heappush(self._waiting, (due, next(self._numbers), piece, segment, sock, address))
        self.send()

    def _survivors(self, burst: bytes, segment: int) -> bytes:
        starts = range(0, len(burst), segment)
        kept = [burst[start : start + segment] for start in starts if self._chance() >= self.settings.loss]
        self.became["lost"] += len(starts) - len(kept)
        return b"".join(kept)

    def _queued(self, piece: bytes, segment: int) -> bytes:
        """As much of it as the queue has room for."""
        room = int(self.settings.queue - self._backlog)
        if len(piece) > room:
            dropped = piece[max(room, 0) // segment * segment :]
            self.became["overflowed"] += -(-len(dropped) // segment)
            piece = piece[: len(piece) - len(dropped)]
        self._backlog += len(piece)
        return piece

    def send(self) -> None:
        """What is due; the rest waits for the timer."""
        due = time.monotonic() + TOGETHER_SECONDS / 2
        waiting = self._waiting
        while waiting and waiting[0][0] <= due:
            _, _, piece, segment, sock, address = heappop(waiting)
            cut = [(socket.IPPROTO_UDP, SEGMENT, segment.to_bytes(2, sys.byteorder))]
            try:
                sock.sendmsg([piece], cut if len(piece) > segment else (), 0, address)
                self.became["bytes carried"] += len(piece)
            except OSError:  # nobody is there, or no room
                self.became["refused"] += -(-len(piece) // segment)
        if waiting and (self._timer is None or waiting[0][0] < self._timer_due):
            if self._timer is not None:
                self._timer.cancel()
            self._timer_due = waiting[0][0]
            self._timer = self._loop.call_later(self._timer_due - time.monotonic(), self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self.send()


class Link:
    """Both directions, and a socket for each source."""

    def __init__(self, place: tuple[str, int]) -> None:
        self.place = place
        self.settings = Settings()
        self.there, self.back = (Direction(self.settings, seed) for seed in SEEDS)
        self.loop = asyncio.get_running_loop()
        self.socket = self.open()
        self.socket.bind(("127.0.0.1", 0))
        self.sources: dict[Any, socket.socket] = {}
        self.input = b""
        self.ended = asyncio.Event()
        self.loop.add_reader(self.socket, self.read, self.socket, self.came)
        os.set_blocking(sys.stdin.fileno(), False)
        self.loop.add_reader(sys.stdin.fileno(), self.told)

    def open(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        with contextlib.suppress(OSError):  # an older kernel: datagrams come one by one
            sock.setsockopt(socket.IPPROTO_UDP, GRO, 1)
        return sock

    def read(self, sock: socket.socket, take: Any) -> None:
        for _ in range(READS):
            try:
                burst, ancillary, _, source = sock.recvmsg(READ_BYTES, ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError:  # what ICMP made of an earlier one
                continue
            segment = int.from_bytes(ancillary[0][2], sys.byteorder) if ancillary else len(burst)
            if burst:
                take(burst, segment, source)

    def came(self, burst: bytes, segment: int, source: Any) -> None:
        upstream = self.sources.get(source)
        if upstream is None:
            upstream = self.sources[source] = self.open()
            upstream.connect(self.place)

            def answered(burst: bytes, segment: int, _: Any) -> None:
                self.back.take(burst, segment, self.socket, source)

            self.loop.add_reader(upstream, self.read, upstream, answered)
        self.there.take(burst, segment, upstream, None)

    def told(self) -> None:
        try:
            data = os.read(sys.stdin.fileno(), READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self.ended.set()
            self.loop.remove_reader(sys.stdin.fileno())
        *lines, self.input = (self.input + data).split(b"\n")
        for line in lines:
            now = time.monotonic()
            for direction in (self.there, self.back):
                direction.drain(now)
            for name, value in json.loads(line).items():
                setattr(self.settings, name, type(getattr(self.settings, name))(value))
            print(json.dumps({"there": self.there.became, "back": self.back.became}), flush=True)


async def serve(place: str) -> None:
    host, _, port = place.rpartition(":")
    link = Link((host, int(port)))
    print(link.socket.getsockname()[1], flush=True)
    await link.ended.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1]))
