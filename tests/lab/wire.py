"""Two sans-IO machines joined by a wire with delay and loss, under a clock that moves only when told."""

from __future__ import annotations

import heapq
import itertools
from random import Random
from typing import Protocol


class Machine(Protocol):
    """What an engine and a tunnel have in common."""

    def receive_datagrams(self, datagrams: list[bytes], now: float) -> None: ...
    def datagrams_to_send(self, now: float) -> list[bytes]: ...
    def get_timer(self) -> float | None: ...
    def handle_timer(self, now: float) -> None: ...


class Wire:
    """Carries datagrams between two machines; `run` moves the clock until nothing is due, or for some seconds."""

    def __init__(self, *, delay: float = 0.01, loss: float = 0.0, seed: int = 1, now: float = 1000.0) -> None:
        self.now = now
        self.delay = delay
        self.loss = loss
        self.is_down = False
        self.on_datagram = None
        self.carried = 0
        self._random = Random(seed)
        self._ends: list[Machine] = []
        self._in_flight: list[tuple[float, int, int, bytes]] = []
        self._order = itertools.count()

    def join(self, first: Machine, second: Machine | None = None) -> None:
        """Attach the two ends; the second may come later, when the first datagram asks for it."""
        self._ends = [first] if second is None else [first, second]

    def attach(self, second: Machine) -> None:
        self._ends.append(second)

    def transmit(self) -> None:
        """Take what the ends have to send and put it in flight."""
        for index, end in enumerate(self._ends):
            for datagram in end.datagrams_to_send(self.now):
                self.carried += 1
                if self.is_down or self._random.random() < self.loss:
                    continue
                heapq.heappush(
                    self._in_flight, (self.now + self.delay, next(self._order), 1 - index, datagram)
                )

    def run(self, seconds: float = 5.0, until=None) -> None:
        """Let at most `seconds` pass, less if `until()` becomes true."""
        end = self.now + seconds
        while True:
            self.transmit()
            if until is not None and until():
                return
            due = [self._in_flight[0][0]] if self._in_flight else []
            due += [timer for machine in self._ends if (timer := machine.get_timer()) is not None]
            following = max(min(due, default=end), self.now)
            if following > end or not due:
                self.now = end
                return
            self.now = following
            arrived: dict[int, list[bytes]] = {}
            while self._in_flight and self._in_flight[0][0] <= self.now:
                _, _, index, datagram = heapq.heappop(self._in_flight)
                arrived.setdefault(index, []).append(datagram)
            for index, datagrams in arrived.items():
                if index >= len(self._ends):
                    self.on_datagram(datagrams[0])  # makes the second end
                self._ends[index].receive_datagrams(datagrams, self.now)
            for machine in self._ends:
                timer = machine.get_timer()
                if timer is not None and timer <= self.now:
                    machine.handle_timer(self.now)
