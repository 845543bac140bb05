"""Alice and bob: two real gateways on loopback, a web server behind alice; and the figures that tests measure."""

from __future__ import annotations

import json
import os
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import FIGURE
from tests.lab.worlds import World, alice_and_bob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Keep what a test measured: `figure(seconds, aim=1.0)`, and `what` if a test measures several things.

    They are shown after the run, and added to the file that OVERLAYFIGURES names, a JSON object on each line. Aims are
    not asserted: how busy the machine is decides too much.
    """

    def keep(seconds: float, *, aim: float, what: str = "") -> None:
        name = request.node.name.removeprefix("test_") + (f": {what}" if what else "")
        kept = {"what": name, "seconds": round(seconds, 3), "aim": aim}
        request.node.user_properties.append((FIGURE, kept))
        if path := os.environ.get("OVERLAYFIGURES"):
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(json.dumps(kept) + "\n")

    return keep


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with alice_and_bob(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
def echo_server() -> Iterator[int]:
    """A TCP server that reads to the end, then answers with all it got in upper case; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                received = b"".join(iter(lambda: connection.recv(65536), b""))  # noqa: B023 - used at once
                connection.sendall(received.upper())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    ended.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


@pytest.fixture
def udp_echo_server() -> Iterator[int]:
    """A UDP server that answers each datagram with itself reversed; its port."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                data, source = server.recvfrom(65536)
            except OSError:
                return
            if data == b"stop":
                return
            server.sendto(data[::-1], source)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    server.sendto(b"stop", server.getsockname())
    thread.join(10)
    server.close()
