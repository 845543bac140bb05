"""Much at once: a gigabyte each way, a thousand streams, a reader that stalls."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.gateways import clean_environment

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.needs("curl")

GIGABYTE = 1 << 30


@pytest.fixture(scope="module")
def big_file(world) -> tuple[Path, str]:
    """A gigabyte behind alice, and its SHA-256."""
    directory = world.alice.home.parent / "files"
    path, digest = directory / "big", hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(GIGABYTE >> 24):
            block = os.urandom(1 << 24)
            digest.update(block)
            file.write(block)
    return path, digest.hexdigest()


@pytest.mark.timeout(180)
def test_a_gigabyte_comes_down_whole(world, big_file):
    command = ["curl", "-sS", "--proxy", f"socks5h://{world.bob.listens('proxy')}", world.url("/files/big")]
    digest = hashlib.sha256()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=clean_environment()) as curl:
        assert curl.stdout is not None
        while block := curl.stdout.read(1 << 20):
            digest.update(block)
    assert digest.hexdigest() == big_file[1]


@pytest.mark.timeout(180)
def test_a_gigabyte_goes_up_whole(world, big_file):
    path, expected = big_file
    command = [
        "curl",
        "-sS",
        "-H",
        "Expect:",
        "--proxy",
        f"socks5h://{world.bob.listens('proxy')}",
        "-T",
        str(path),
    ]
    done = subprocess.run(
        [*command, world.url("/hash")],
        capture_output=True,
        text=True,
        timeout=170,
        check=True,
        env=clean_environment(),
    )
    assert done.stdout == expected


def connect(world, name: bytes, port: int) -> socket.socket:
    host, _, proxy = world.bob.listens("proxy").rpartition(":")
    client = socket.create_connection((host, int(proxy)), timeout=30)
    client.sendall(b"\5\1\0" + b"\5\1\0\3" + bytes([len(name)]) + name + port.to_bytes(2))
    received = b""
    while len(received) < 12:
        received += client.recv(12 - len(received))
    assert received[:4] == b"\5\0\5\0", received
    return client


@pytest.mark.timeout(120)
def test_a_thousand_streams_are_open_at_once_and_each_gets_its_own_bytes(world, echo_server):
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    held: list[socket.socket] = []

    def serve() -> None:
        for _ in range(1000):
            connection, _ = listener.accept()
            held.append(connection)
        for connection in held:
            connection.sendall(connection.recv(100).upper())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    world.alice.run(
        "expose", "many", f"127.0.0.1:{listener.getsockname()[1]}", "--port", "8010", "--allow", "bob"
    )
    clients = [connect(world, b"many.alice.overlay", 8010) for _ in range(1000)]
    assert world.bob.json("status")["tunnels"][0]["streams"] >= 1000
    for number, client in enumerate(clients):
        client.sendall(b"stream %04d" % number)
    answers = [client.recv(100) for client in clients]
    thread.join(30)
    assert answers == [b"STREAM %04d" % number for number in range(1000)]
    for connection in (*clients, *held, listener):
        connection.close()
    world.alice.run("unexpose", "many")


@pytest.mark.timeout(120)
def test_a_client_that_stalls_holds_a_bounded_amount_and_nobody_up(world, big_file):
    before = {who.nickname: who.memory for who in (world.alice, world.bob)}
    host, _, proxy = world.bob.listens("proxy").rpartition(":")
    stalled = []
    for _ in range(10):
        client = connect(world, b"web.alice.overlay", 80)
        client.sendall(b"GET /files/big HTTP/1.1\r\nHost: web\r\n\r\n")
        stalled.append(client)
    deadline = time.monotonic() + float(os.environ.get("OVERLAY_STALL_SECONDS", "5"))
    rounds = 0
    while time.monotonic() < deadline:
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "10", "--proxy", f"socks5h://{host}:{proxy}", world.url("/style.css")],
            capture_output=True, timeout=20, check=True, env=clean_environment(),
        )  # fmt: skip
        assert done.stdout.startswith(b"h1")
        rounds += 1
    grown = {who.nickname: who.memory - before[who.nickname] for who in (world.alice, world.bob)}
    logging.getLogger(__name__).info(
        "10 stalled downloads: memory grew by %s bytes, %d others were served", grown, rounds
    )
    # Each holds at most a stream window in a gateway, and what the kernel's socket buffers take besides.
    assert all(growth < 10 * 2 * (1 << 20) for growth in grown.values())
    for client in stalled:
        client.close()
