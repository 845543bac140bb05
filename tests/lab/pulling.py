"""Downloads without end through the proxies of real gateways, and how much of them came in a while."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.lab.gateways import GatewayProcess

_BLOCK = bytes(256 * 1024)


@contextlib.contextmanager
def endless_source() -> Iterator[int]:
    """A TCP server that sends zeros until nobody listens any more; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()

        def pour(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                while not ended.is_set():
                    connection.sendall(_BLOCK)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while not ended.is_set():
                    connection, _ = listener.accept()
                    connection.settimeout(30)
                    threading.Thread(target=pour, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def connect(gateway: GatewayProcess, host: str, port: int) -> tuple[socket.socket, int]:
    """A connection through a gateway's SOCKS5 proxy, and the proxy's reply; 0 is granted."""
    sock = socket.create_connection(("127.0.0.1", gateway.port("proxy")), timeout=20)
    sock.sendall(b"\5\1\0")
    assert sock.recv(2) == b"\5\0"
    sock.sendall(b"\5\1\0\3" + bytes([len(host)]) + host.encode() + struct.pack("!H", port))
    return sock, sock.recv(10)[1]


class Pull:
    """One download: counts what comes, in a thread of its own, until it ends or is closed."""

    def __init__(self, gateway: GatewayProcess, host: str, port: int) -> None:
        self.octets = 0
        self.ended_by: OSError | None = None
        self._sock, self.reply = connect(gateway, host, port)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            while data := self._sock.recv(256 * 1024):
                self.octets += len(data)
        except OSError as error:
            self.ended_by = error

    def wait_for_end(self, seconds: float = 20.0) -> None:
        self._thread.join(seconds)
        assert not self._thread.is_alive()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(20)
        self._sock.close()


@contextlib.contextmanager
def pulls(*of: tuple[GatewayProcess, str, int]) -> Iterator[list[Pull]]:
    """Downloads by (gateway, host, port), closed at the end."""
    started: list[Pull] = []
    try:
        started += [Pull(*each) for each in of]
        yield started
    finally:
        for pull in started:
            pull.close()


def rates(pulling: Sequence[Pull], seconds: float, *, after: float = 1.0) -> list[float]:
    """Octets a second of each within the same while, once they have been at it for a moment."""
    time.sleep(after)
    began, before = time.monotonic(), [pull.octets for pull in pulling]
    time.sleep(seconds)
    took, counts = time.monotonic() - began, [pull.octets for pull in pulling]
    return [(count - old) / took for count, old in zip(counts, before, strict=True)]


def settles(
    pulling: Sequence[Pull], fits: Callable[[list[float]], bool], *, after: float = 1.0, tries: int = 6
) -> None:
    """What each gets is at some time as it should be for two seconds on end; AssertionError with all figures if never.

    A limit that is wrong is never kept; one that is right is not kept while something else takes the whole machine.
    """
    seen: list[list[float]] = []
    for number in range(tries):
        seen.append(rates(pulling, 2.0, after=0.0 if number else after))
        if fits(seen[-1]):
            return
    raise AssertionError(f"never as it should be: {seen}")


class DatagramSink:
    """A UDP server that counts what comes and answers nothing."""

    def __init__(self) -> None:
        self.octets = 0
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self._sock.settimeout(0.2)
        self.port: int = self._sock.getsockname()[1]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._count)
        self._thread.start()

    def _count(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                self.octets += len(self._sock.recv(65536))

    def __enter__(self) -> DatagramSink:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(5)
        self._sock.close()


def send_datagrams(gateway: GatewayProcess, host: str, port: int, *, rate: int, seconds: float) -> None:
    """Send datagrams of 1000 bytes to `host:port` by a gateway's SOCKS5 proxy, `rate` bytes a second."""
    with (
        socket.create_connection(("127.0.0.1", gateway.port("proxy")), timeout=20) as control,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        control.sendall(b"\5\1\0")
        assert control.recv(2) == b"\5\0"
        control.sendall(b"\5\3\0\1" + bytes(6))
        reply = control.recv(10)
        assert reply[1] == 0
        header = b"\0\0\0\3" + bytes([len(host)]) + host.encode() + struct.pack("!H", port)
        sock.connect((socket.inet_ntoa(reply[4:8]), int.from_bytes(reply[8:10])))
        began = time.monotonic()
        for number in range(int(rate * seconds / 1000)):
            time.sleep(max(0.0, began + number * 1000 / rate - time.monotonic()))
            sock.send(header + bytes(1000))
