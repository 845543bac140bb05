"""Somebody else in a home, who uses UDP while a gateway there is at work: a few flows that go on, and a new one every second."""

from __future__ import annotations

import contextlib
import select
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from tests.lab.networks import Machine

PORT = 7000
OLD = 5
OLD_EVERY = 0.1
NEW_EVERY = 1.0
PATIENCE = 0.5
SENDS = 3


class Users:
    """`with Users(machine, server) as users:` sends; the counts are right afterwards."""

    def __init__(self, machine: Machine, server: Machine) -> None:
        self._to = server.address, PORT
        self._echo = server.socket()
        self._echo.bind(self._to)
        self._old = [machine.socket() for _ in range(OLD)]
        self._machine = machine
        self._end = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._answer, self._go_on, self._begin)]
        self.sent_by_old = self.lost_of_old = 0
        self.new = self.failed = 0
        self.longest_without_new = 0.0
        """Seconds."""

    def __repr__(self) -> str:
        return (
            f"<{self.lost_of_old} of {self.sent_by_old} lost; {self.failed} of {self.new} new flows failed, "
            f"none for {self.longest_without_new:.1f} s at most>"
        )

    def __enter__(self) -> Users:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()
        for sock in (self._echo, *self._old):
            sock.close()

    def _answer(self) -> None:
        self._echo.settimeout(0.2)
        while not self._end.is_set():
            with contextlib.suppress(TimeoutError):
                data, source = self._echo.recvfrom(100)
                self._echo.sendto(data, source)

    def _go_on(self) -> None:
        while not self._end.wait(OLD_EVERY):
            for sock in self._old:
                self.sent_by_old += 1
                self.lost_of_old += not self._is_answered(sock)

    def _begin(self) -> None:
        worked_at = time.monotonic()
        while not self._end.wait(NEW_EVERY):
            with self._machine.socket() as sock:
                self.new += 1
                if any(self._is_answered(sock) for _ in range(SENDS)):
                    worked_at = time.monotonic()
                else:
                    self.failed += 1
            self.longest_without_new = max(self.longest_without_new, time.monotonic() - worked_at)

    def _is_answered(self, sock: socket.socket) -> bool:
        sock.sendto(b"here", self._to)
        if not select.select([sock], [], [], PATIENCE)[0]:
            return False
        sock.recv(100)
        return True
