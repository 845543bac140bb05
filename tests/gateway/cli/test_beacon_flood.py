"""`overlay beacon` as a process, while strangers hold ten thousand connections open that never log in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from gateway.beacon.limits import BEACON_ANONYMOUS, BEACON_ANONYMOUS_PER_ADDRESS
from tests.lab.gateways import OVERLAY, clean_environment
from tests.lab.relay_clients import RelayClient
from tunnels.addresses import BeaconUrl
from tunnels.relay.frames import CONNECT_PATH, FrameKind

if TYPE_CHECKING:
    from collections.abc import Iterator

HALF_OPEN = 10_000
KILOBYTES_EACH = 30
"""What one that is let in may cost; it is 17 with CPython 3.11 and aiohttp 3.12."""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [OVERLAY, "--home", str(tmp_path / "home"), "beacon", "--bind", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=clean_environment()
    ) as started:
        yield started
        started.kill()


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = HALF_OPEN + 1000
    if hard < needed:
        pytest.skip(f"this machine gives a process {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def kilobytes(process: subprocess.Popen[str]) -> int:
    """Its memory."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


async def half_open(url: BeaconUrl, number: int, request: bytes) -> socket.socket:
    """A connection from one of a hundred addresses, on which a WebSocket was asked for and nothing is said then."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    sock.bind((f"127.66.0.{number % 100 + 1}", 0))
    await loop.sock_connect(sock, (url.host, url.port))
    with contextlib.suppress(ConnectionError):
        await loop.sock_sendall(sock, request)
    return sock


async def exchange(one: RelayClient, other: RelayClient, body: bytes) -> None:
    await one.send(FrameKind.DATA, other.endpoint_id, body)
    async with asyncio.timeout(5):
        assert await other.receive() == (FrameKind.DATA, one.endpoint_id, body)


@pytest.mark.timeout(120)
async def test_ten_thousand_half_open_websockets_cost_a_bounded_memory_and_nobody_elses_service(
    process: subprocess.Popen[str], many_files: None
) -> None:
    assert process.stdout is not None
    first = await asyncio.to_thread(process.stdout.readline)
    found = re.search(r"http://127\.0\.0\.1:\d+#[a-z0-9]{52}", first)
    assert found is not None, first
    url = BeaconUrl.parse(found[0])
    request = (
        f"GET {CONNECT_PATH} HTTP/1.1\r\nHost: {url.authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    held: list[socket.socket] = []
    async with aiohttp.ClientSession() as http:
        try:
            alice = await (await RelayClient.open(http, url, 1)).login()
            bob = await (await RelayClient.open(http, url, 2)).login()
            before = most = kilobytes(process)
            while len(held) < HALF_OPEN:
                held += await asyncio.gather(
                    *(half_open(url, len(held) + number, request) for number in range(200))
                )
                await exchange(alice, bob, b"%d" % len(held))
                await exchange(bob, alice, b"%d" % len(held))
                most = max(most, kilobytes(process))
            assert most - before < BEACON_ANONYMOUS * KILOBYTES_EACH
            late = None
            async with asyncio.timeout(60):  # the first of them have been sent away by now, or soon are
                while late is None:
                    with contextlib.suppress(aiohttp.ClientError):
                        late = await (await RelayClient.open(http, url, 3)).login()
            await exchange(late, alice, b"here too")
        finally:
            for sock in held:
                sock.close()
    assert HALF_OPEN > 2 * BEACON_ANONYMOUS
    assert HALF_OPEN / 100 < BEACON_ANONYMOUS_PER_ADDRESS
