"""Plain UDP and TCP sockets on the machines of `tests.lab.networks`, to try what a network lets through."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.networks import Machine

SILENCE_SECONDS = 0.3
"""How long we listen for what must not come; on a network without delay it would be there at once."""


class Udp:
    """A UDP socket on a machine, of IP version 4 or 6."""

    def __init__(self, machine: Machine, port: int = 7000, *, version: int = 4) -> None:
        self.machine, self.port, self.version = machine, port, version
        self.socket = machine.socket(version=version)
        self.socket.bind(("::" if version == 6 else "0.0.0.0", port))

    @property
    def place(self) -> tuple[str, int]:
        """Where the internet reaches it, if it does, while a NAT keeps its port."""
        return (self.machine.address6 if self.version == 6 else self.machine.public_address, self.port)

    def send(self, text: bytes, to: tuple[str, int]) -> None:
        self.socket.sendto(text, to)

    def hear(self, seconds: float = 5.0) -> tuple[bytes, tuple[str, int]]:
        self.socket.settimeout(seconds)
        data, sockaddr = self.socket.recvfrom(65536)
        return data, sockaddr[:2]

    def hears_all(self) -> list[tuple[bytes, tuple[str, int]]]:
        """What comes until nothing more does."""
        heard = []
        with contextlib.suppress(TimeoutError):
            while True:
                heard.append(self.hear(SILENCE_SECONDS))
        return heard

    def hears_nothing(self) -> bool:
        with contextlib.suppress(TimeoutError):
            self.hear(SILENCE_SECONDS)
            return False
        return True


@contextlib.contextmanager
def tcp_echo(machine: Machine, port: int) -> Iterator[None]:
    """A server on the machine that sends back what it gets."""
    with machine.entered():
        listener = socket.create_server(("0.0.0.0", port))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(connection,), daemon=True).start()

    def echo(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def tcp_connects(machine: Machine, to: tuple[str, int]) -> bool:
    with machine.socket(socket.SOCK_STREAM) as sock:
        sock.settimeout(SILENCE_SECONDS)
        return sock.connect_ex(to) == 0
