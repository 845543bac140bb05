"""Junk, floods and slow clients at every door of a live gateway: others are served, memory stays, nothing crashes."""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from tests.lab.gateways import clean_environment, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.needs("curl", "dig"), pytest.mark.timeout(120)]

MEGABYTE = 1 << 20


@pytest.fixture
def served_meanwhile(world) -> Iterator[None]:
    """While the test attacks, an honest client opens a page again and again; every time must succeed."""
    ended = threading.Event()
    results: list[bytes] = []

    def browse() -> None:
        command = ["curl", "-sS", "--max-time", "20", "--proxy", f"socks5h://{world.bob.listens('proxy')}"]
        while not ended.is_set():
            done = subprocess.run(
                [*command, world.url("/style.css")],
                capture_output=True, timeout=30, check=False, env=clean_environment(),
            )  # fmt: skip
            results.append(done.stdout or done.stderr)

    thread = threading.Thread(target=browse)
    thread.start()
    before = {gateway.nickname: gateway.memory for gateway in (world.alice, world.bob)}
    wait_until(lambda: len(results) >= 2, 20)
    yield
    begun = len(results)
    wait_until(lambda: len(results) >= begun + 2, 30)
    ended.set()
    thread.join(40)
    assert set(results) == {b"h1 { color: rgb(1, 2, 3); }"}
    for gateway in (world.alice, world.bob):
        assert gateway.process.poll() is None
        assert "Traceback" not in gateway.said(), gateway.said()[:3000]
        assert gateway.memory - before[gateway.nickname] < 64 * MEGABYTE


def junk(source: random.Random, most: int = 2000) -> bytes:
    return source.randbytes(source.randrange(1, most))


def place(gateway, door: str) -> tuple[str, int]:
    host, _, port = gateway.listens(door).rpartition(":")
    return host, int(port)


def test_junk_at_the_tunnels_port(world, served_meanwhile):
    source = random.Random(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(20_000):
            data = bytearray(junk(source, 1400))
            if source.random() < 0.5:  # looks like QUIC, and then does not
                data[:6] = source.choice(
                    [b"\xc0\0\0\0\1\x08", b"\xd0\0\0\0\1\x14", b"\x40" + source.randbytes(5)]
                )
            sender.sendto(data, place(world.alice, "tunnels"))


def test_first_packets_without_end_at_the_tunnels_port(world, served_meanwhile):
    """Whole Initial packets that nobody follows up: bounded, and real clients are still let in."""
    from tunnels.identity import SecretKey
    from tunnels.quic.certificates import make_certificate
    from tunnels.quic.engines import make_factory

    certificate = make_certificate(SecretKey(b"e" * 32))
    factory = make_factory("qh3")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(1500):
            engine = factory.client(certificate, 30.0)
            engine.connect(0.0)
            for datagram in engine.datagrams_to_send(0.0):
                sender.sendto(datagram, place(world.alice, "tunnels"))
    world.bob.run("ping", "alice")


def talk(address: tuple[str, int], data: bytes, *, end: bool = True) -> bytes:
    """Send and read to the end; the other side may hang up at any time."""
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=15) as client:
        client.settimeout(15)
        client.sendall(data)
        if end:
            client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))
    return b""


BEGINNINGS = (
    b"", b"\4\1", b"\5\1\0", b"\5\1\0\5\1\0\3\x13", b"\5\2\0\2", b"GET http://", b"CONNECT ", b"POST http://x.overlay/ HTTP/1.1\r\n",
)  # fmt: skip


def test_junk_at_the_proxy(world, served_meanwhile):
    source = random.Random(2)
    for number in range(1500):
        talk(place(world.bob, "proxy"), BEGINNINGS[number % len(BEGINNINGS)] + junk(source, 300))


def test_slow_clients_and_a_flood_of_connections_at_the_proxy(world, served_meanwhile):
    descriptors = world.bob.descriptors()
    slow: list[socket.socket] = []
    for number in range(1500):
        with contextlib.suppress(OSError):
            client = socket.create_connection(place(world.bob, "proxy"), timeout=5)
            client.sendall(BEGINNINGS[1 + number % (len(BEGINNINGS) - 1)][:-1])
            slow.append(client)
    assert len(slow) > 1000
    # Each is cut off after its deadline, without having sent a thing more.
    wait_until(lambda: world.bob.descriptors() < descriptors + 200, 30, "slow clients are cut off")
    for client in slow:
        client.close()


def test_junk_at_the_dns_port(world, served_meanwhile):
    source = random.Random(3)
    address = place(world.bob, "dns")
    good = bytes.fromhex(
        "1234 0100 0001 0000 0000 0000 03 776562 05 616c696365 07 6f7665726c6179 00 0001 0001"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(10_000):
            data = bytearray(good)
            for _ in range(source.randrange(4)):
                data[source.randrange(len(data))] = source.randrange(256)
            sender.sendto(bytes(data) if source.random() < 0.7 else junk(source), address)
    for _ in range(300):
        talk(address, junk(source))
    dig = ["dig", f"@{address[0]}", "-p", str(address[1]), "+short", "web.alice.overlay"]
    assert subprocess.run(dig, capture_output=True, timeout=20, check=True).stdout.startswith(b"127.")


def test_junk_at_the_control_socket(world, served_meanwhile):
    source = random.Random(4)
    path = str(world.bob.home / "control.sock")
    paths = [b"/v1/status", b"/v1/services", b"/v1/join", b"/v1/ping", b"/" + b"a" * 300]
    for number in range(600):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(15)
            client.connect(path)
            if number % 2:
                body = junk(source, 200)
                head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (
                    source.choice(paths),
                    len(body),
                )
                client.sendall(head + body)
            else:
                client.sendall(junk(source))
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
    assert world.bob.json("status")["nickname"] == "bob"


def test_junk_and_foreign_names_at_the_dashboard(world, served_meanwhile):
    source = random.Random(5)
    address = place(world.bob, "dashboard")
    for _ in range(300):
        talk(address, b"GET /proxy.pac HTTP/1.1\r\n" * source.randrange(2) + junk(source))
    ask = b"GET /proxy.pac HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
    assert b" 403 " in talk(address, ask % b"rebound.example.org", end=False)
    assert b"FindProxyForURL" in talk(address, ask % "{}:{}".format(*address).encode(), end=False)


def test_junk_inside_a_tunnel(world, served_meanwhile):
    """A real endpoint with an id of its own that breaks the protocol hurts only itself."""
    script = """
import asyncio, random, secrets
from tunnels.addresses import Address
from tunnels.endpoint import Endpoint, EndpointSettings
from tunnels.identity import EndpointId, SecretKey
import sys

async def main(address, alice):
    random.seed(6)
    keep = set()
    def spawn(coroutine, name):
        task = asyncio.get_running_loop().create_task(coroutine)
        keep.add(task)
        return task
    async def find(_):
        return [Address.parse(address)]
    settings = EndpointSettings(bind=("127.0.0.1",))
    mallory = Endpoint(SecretKey(secrets.token_bytes(32)), settings, find_addresses=find, accept_stream=lambda t: asyncio.Protocol(), spawn=spawn)
    mallory.start()
    for number in range(400):
        transport, _ = await mallory.open_stream(EndpointId.parse(alice), asyncio.Protocol)
        transport.write(random.choice([b"", b"OV", b"OV\\x01\\x01\\x00\\x08", b"OV\\x02\\x01\\x00\\x04"]) + random.randbytes(random.randrange(400)))
        for _ in range(3):
            transport.send_datagram(random.randbytes(random.randrange(1, 1100)))
        if number % 3 == 0:
            transport.abort()
        elif number % 3 == 1:
            transport.write_eof()
        if number % 20 == 0:
            await asyncio.sleep(0)
    await asyncio.sleep(1)
    await mallory.close()

asyncio.run(main(*sys.argv[1:]))
"""
    import sys

    command = [sys.executable, "-c", script, world.alice.listens("tunnels"), world.alice.id]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
