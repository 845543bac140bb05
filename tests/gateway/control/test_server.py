"""The control socket is its owner's alone, survives nonsense, and replaces only a dead predecessor."""

from __future__ import annotations

import asyncio
import http.client
import os
import random
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.control import server as module
from gateway.control.server import ControlServer
from gateway.errors import StateError
from gateway.home import Home
from gateway.limits import CONTROL_BODY_BYTES, CONTROL_CONNECTIONS
from tests.lab.control import FakeGateway, serving
from tests.lab.disks import read_only


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = Home(tmp_path / "home")
    found.create()
    return found


async def exchange(home: Home, data: bytes, *, end: bool = False) -> bytes:
    """Send bytes on a connection of their own and read until the server closes it."""
    reader, writer = await asyncio.open_unix_connection(home.control_socket())
    writer.write(data)
    if end:
        writer.write_eof()
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def request(line: str, body: bytes = b"") -> bytes:
    return (
        f"{line} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        + body
    )


async def works(home: Home) -> bool:
    return (await exchange(home, request("GET /v1/status"))).startswith(b"HTTP/1.1 200 ")


async def test_only_the_owner_may_use_the_socket(home: Home) -> None:
    async with serving(home):
        mode = home.control_socket().stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    assert not home.control_socket().exists()


@pytest.mark.skipif(
    os.geteuid() != 0 or not hasattr(socket, "SO_PEERCRED"), reason="needs root and SO_PEERCRED"
)
async def test_another_user_is_refused_even_when_the_files_are_open(home: Home) -> None:
    path = Path(f"/tmp/overlay-test-{os.getpid()}.sock")
    server = ControlServer(FakeGateway(), path=path, log_file=home.log_file)
    await server.start()
    os.chmod(path, 0o666)
    code = (
        "import os, socket, sys; os.setuid(12345); s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "s.sendall(b'GET /v1/status HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n'); print(s.recv(65536).decode())"
    )
    try:
        result = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", code, str(path)], capture_output=True, check=True
        )
    finally:
        await server.close()
    assert b"403 Forbidden" in result.stdout
    assert b"belongs to another user" in result.stdout


async def test_a_dead_daemons_socket_is_replaced(home: Home) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(home.control_socket()))
    async with serving(home):
        assert await works(home)


async def test_a_live_daemons_socket_is_left_alone(home: Home) -> None:
    async with serving(home):
        second = ControlServer(FakeGateway(), path=home.control_socket(), log_file=home.log_file)
        with pytest.raises(StateError, match="another gateway answers"):
            await second.start()
        await second.close()
        assert await works(home)


async def test_what_is_no_socket_is_left_alone(home: Home) -> None:
    home.control_socket().write_text("mine")
    server = ControlServer(FakeGateway(), path=home.control_socket(), log_file=home.log_file)
    with pytest.raises(StateError, match="not a socket; move it away"):
        await server.start()
    await server.close()
    assert home.control_socket().read_text() == "mine"


async def test_a_read_only_home_is_told(home: Home) -> None:
    with read_only(home.path):
        server = ControlServer(FakeGateway(), path=home.control_socket(), log_file=home.log_file)
        with pytest.raises(StateError, match=r"read-only|permission denied"):
            await server.start()
        await server.close()


@pytest.mark.parametrize(
    ("line", "body", "status", "told"),
    [
        ("GET /", b"", 404, b"unknown-path"),
        ("GET /v2/status", b"", 404, b"unknown-path"),
        ("PUT /v1/status", b"", 405, b"takes no PUT"),
        ("POST /v1/ping", b"", 400, b"does not take this"),
        ("POST /v1/ping", b"{", 400, b"does not take this"),
        ("POST /v1/ping", b"[" * 60_000, 400, b"does not take this"),
        ("POST /v1/ping", b'{"name": 1}', 400, b"name"),
        ("POST /v1/ping", b'{"name": "alice", "nmae": "x"}', 400, b"nmae"),
        ("POST /v1/ping", b'{"name": "alice", "timeout": 1e9}', 400, b"timeout"),
        ("POST /v1/ping", b'{"name": "\xff"}', 400, b"does not take this"),
        (
            "POST /v1/services",
            b'{"name": "w", "settings": {"target": "1", "host_header": "a b"}}',
            400,
            b"HTTP header",
        ),
        ("POST /v1/services", b"x" * (CONTROL_BODY_BYTES + 1), 400, b"longer than"),
        ("GET /v1/logs?lines=x", b"", 400, b"lines is a number"),
        ("GET /v1/logs?lines=-1", b"", 400, b"lines is a number"),
    ],
)
async def test_a_wrong_request_is_told_what_is_wrong(
    home: Home, line: str, body: bytes, status: int, told: bytes
) -> None:
    async with serving(home):
        reply = await exchange(home, request(line, body))
        assert reply.startswith(f"HTTP/1.1 {status} ".encode())
        assert told in reply
        assert await works(home)


async def test_random_and_mutated_bytes_hurt_nobody_else(home: Home) -> None:
    chance = random.Random(7)
    whole = request("POST /v1/ping", b'{"name": "alice"}')
    async with serving(home):
        for _ in range(150):
            data = bytearray(whole)
            for _ in range(chance.randrange(1, 6)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            await exchange(home, bytes(data), end=True)
            reply = await exchange(home, chance.randbytes(chance.randrange(1, 300)), end=True)
            assert not reply or reply.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
        assert await works(home)


async def test_a_request_in_single_bytes_is_answered(home: Home) -> None:
    async with serving(home):
        reader, writer = await asyncio.open_unix_connection(home.control_socket())
        for byte in request("POST /v1/ping", b'{"name": "alice"}'):
            writer.write(bytes([byte]))
            await writer.drain()
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_a_connection_that_says_nothing_is_ended(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONTROL_HEAD_SECONDS", 0.05)
    async with serving(home):
        for start in (b"", b"GET /v1/status HTTP/1.1\r\nHos"):
            assert await exchange(home, start) == b""
        assert await works(home)


async def test_a_body_that_does_not_come_is_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.control.routes.CONTROL_BODY_SECONDS", 0.05)
    async with serving(home):
        head = b"POST /v1/ping HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\nConnection: close\r\n\r\n{"
        assert b"did not arrive within" in await exchange(home, head)


async def test_connections_are_bounded_and_the_next_is_told(home: Home) -> None:
    async with serving(home):
        held = [await asyncio.open_unix_connection(home.control_socket()) for _ in range(CONTROL_CONNECTIONS)]
        # The server has accepted them all once the next one is refused.
        assert (await exchange(home, b"")).startswith(b"HTTP/1.1 503 ")
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
        async with asyncio.timeout(5):
            while not await works(home):  # until the server has seen the others go
                pass


async def test_the_log_is_told_and_followed(home: Home) -> None:
    async with serving(home):
        home.log_file.write_text("one\ntwo\nthree\n")
        reply = await exchange(home, request("GET /v1/logs?lines=2"))
        assert b"one" not in reply
        assert b"two\nthree\n" in reply
        reader, writer = await asyncio.open_unix_connection(home.control_socket())
        writer.write(request("GET /v1/logs?lines=1&follow=1"))
        await reader.readuntil(b"three\n")
        with home.log_file.open("a") as file:
            file.write("four\n")
        await reader.readuntil(b"four\n")
        writer.close()
        assert await works(home)


async def test_a_follower_that_hangs_up_is_forgotten_though_nothing_is_logged(home: Home) -> None:
    async with serving(home):
        home.log_file.write_text("one\n")
        before = len(asyncio.all_tasks())
        reader, writer = await asyncio.open_unix_connection(home.control_socket())
        writer.write(request("GET /v1/logs?follow=1"))
        await reader.readuntil(b"one\n")
        handler = asyncio.all_tasks() - {asyncio.current_task()}
        assert len(handler) >= before
        writer.close()
        async with asyncio.timeout(5):
            await asyncio.wait(handler, return_when=asyncio.ALL_COMPLETED)


async def test_a_followed_log_does_not_hold_up_the_end(home: Home) -> None:
    async with serving(home):
        home.log_file.write_text("one\n")
        reader, writer = await asyncio.open_unix_connection(home.control_socket())
        writer.write(request("GET /v1/logs?follow=1"))
        await reader.readuntil(b"one\n")
    async with asyncio.timeout(5):
        while await reader.read(100):
            pass
    writer.close()


async def test_a_kept_connection_carries_several_requests(home: Home) -> None:
    def ask() -> list[int]:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(os.fspath(home.control_socket()))
        statuses = []
        for _ in range(3):
            connection.request("GET", "/v1/status")
            reply = connection.getresponse()
            reply.read()
            statuses.append(reply.status)
        connection.close()
        return statuses

    async with serving(home):
        assert await asyncio.to_thread(ask) == [200, 200, 200]
