"""Others in a home, who use UDP while a gateway there is at work: flows that go on, flows that are seldom used, and new ones.

They have 20 flows at the beginning, and 35 half a minute later and from then on, as routers count that keep one for so long.
"""

from __future__ import annotations

import select
import struct
import threading
import time
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from tests.lab.networks import Machine

BUSY = 5
BUSY_EVERY = 0.1
IDLE = 15
IDLE_EVERY = 5.0
NEW_EVERY = 2.0
RESEND = 0.25
"""Seconds after which a new flow that was not answered is tried again, for as long as it takes."""
LATE = 2.0
"""Seconds in which what is on its way at the end may arrive: what is late on a busy machine is not lost."""
_ports = count(7000)


@dataclass(eq=False)
class _Flow:
    sock: socket.socket
    every: float
    next_at: float
    began: float
    sent: int = 0
    answered: set[int] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)
    """Ports that the server saw it at."""
    answered_at: float | None = None


class Users:
    """`with Users(machine, server) as users:` sends; the counts are right afterwards."""

    def __init__(self, machine: Machine, server: Machine) -> None:
        self._to = server.address, next(_ports)
        self._echo = server.socket()
        self._echo.bind(self._to)
        self._machine = machine
        self._end = threading.Event()
        self._old: list[_Flow] = []
        self._new: list[_Flow] = []
        self._waiting: set[_Flow] = set()
        """New ones that nobody answered yet."""
        self._threads = [threading.Thread(target=each) for each in (self._answer, self._use)]

    def __repr__(self) -> str:
        return (
            f"<{self.lost} of {self.sent} lost by old flows, {self.moved} of which moved; "
            f"{len(self.waits)} new flows waited for {self.longest_wait:.2f} s at most>"
        )

    def __enter__(self) -> Users:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in reversed(self._threads):
            thread.join()
        self._echo.close()

    @property
    def sent(self) -> int:
        """By flows that were there at the beginning."""
        return sum(flow.sent for flow in self._old)

    @property
    def lost(self) -> int:
        """Of these, never answered."""
        return sum(flow.sent - len(flow.answered) for flow in self._old)

    @property
    def moved(self) -> int:
        """Old flows that the server saw at more than one port: the router forgot them meanwhile."""
        return sum(len(flow.seen) > 1 for flow in self._old)

    @property
    def waits(self) -> list[float]:
        """Seconds from when each new flow began until it was answered, or the end."""
        return [(flow.answered_at or self._ended_at) - flow.began for flow in self._new]

    @property
    def longest_wait(self) -> float:
        return max(self.waits)

    def _answer(self) -> None:
        """Where each datagram was seen, and what was in it."""
        self._echo.settimeout(0.2)
        while not self._end.is_set() or self._threads[1].is_alive():
            try:
                data, source = self._echo.recvfrom(100)
            except TimeoutError:
                continue
            self._echo.sendto(struct.pack("!H", source[1]) + data, source)

    def _use(self) -> None:
        now = time.monotonic()
        for number in range(BUSY):
            self._begin(now, BUSY_EVERY, now + number * BUSY_EVERY / BUSY, self._old)
        for number in range(IDLE):
            self._begin(now, IDLE_EVERY, now + number * RESEND / IDLE, self._old)
        new_at = now + NEW_EVERY
        while not self._end.is_set():
            now = time.monotonic()
            if now >= new_at:
                self._waiting.add(self._begin(now, RESEND, now, self._new))
                new_at += NEW_EVERY
            for flow in [*self._old, *self._waiting]:
                if flow.next_at <= now:
                    flow.next_at = max(flow.next_at + flow.every, now)
                    flow.sock.sendto(struct.pack("!I", flow.sent), self._to)
                    flow.sent += 1
            soon = min(new_at, *(flow.next_at for flow in [*self._old, *self._waiting]))
            self._hear(max(0.0, min(soon - time.monotonic(), 0.1)))
        self._ended_at = time.monotonic()
        while time.monotonic() < self._ended_at + LATE and (self.lost or self._waiting):
            self._hear(0.1)
        for flow in [*self._old, *self._new]:
            flow.sock.close()

    def _begin(self, now: float, every: float, first_at: float, flows: list[_Flow]) -> _Flow:
        flow = _Flow(self._machine.socket(), every, first_at, now)
        flow.sock.setblocking(False)
        flows.append(flow)
        return flow

    def _hear(self, seconds: float) -> None:
        by_socket = {flow.sock: flow for flow in [*self._old, *self._waiting]}
        for sock in select.select(list(by_socket), [], [], seconds)[0]:
            flow = by_socket[sock]
            port, number = struct.unpack("!HI", sock.recv(100))
            flow.answered.add(number)
            flow.seen.add(port)
            if flow.answered_at is None:
                flow.answered_at = time.monotonic()
                self._waiting.discard(flow)
