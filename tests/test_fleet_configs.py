"""The files for a fleet are real: the programs start with them, and do what their comments promise."""

from __future__ import annotations

import asyncio
import configparser
import os
import re
import shlex
import socket
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from gateway.beacon.shared import open_shared
from gateway.beacon.turn import TurnCredentials
from gateway.cli.beacon import beacon_command
from gateway.limits import OPEN_FILES
from tests.lab.redis import RedisProcess, eventually, free_port
from tests.lab.resolver_keys import NOW, key, packet
from tests.lab.turn import wait_until_it_answers
from tunnels.addresses import Address
from tunnels.nat.turn import TurnClient, TurnState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONFIGS = Path(__file__).parents[1] / "configs"
COMPOSE = (CONFIGS / "compose.yaml").read_text(encoding="utf-8")


def redis_with_our_file(directory: Path, *options: str) -> RedisProcess:
    return RedisProcess(directory, *options, file=CONFIGS / "redis.conf")


@pytest.mark.needs("redis-server")
async def test_redis_starts_with_our_file_and_keeps_accounts_over_a_restart(tmp_path: Path) -> None:
    holder = key(1).endpoint_id
    async with redis_with_our_file(tmp_path, "--appendfsync", "always") as redis:
        stores = await open_shared(redis.url, clock=lambda: NOW)
        await stores.ready()
        await stores.accounts.redeem(b"s" * 16, holder, 100, int(NOW) + 10)
        await stores.close()
        await redis.stop()
        await redis.start()
        stores = await open_shared(redis.url, clock=lambda: NOW)
        assert (await stores.accounts.balance(holder, 1)).credit_bytes == 100
        await stores.close()


@pytest.mark.needs("redis-server")
async def test_a_full_redis_drops_records_and_never_credit(tmp_path: Path) -> None:
    holder = key(1).endpoint_id
    async with redis_with_our_file(tmp_path, "--maxmemory", "3mb", "--appendonly", "no") as redis:
        stores = await open_shared(redis.url, clock=lambda: NOW)
        await stores.accounts.redeem(b"s" * 16, holder, 100, int(NOW) + 10)

        async def fill() -> bool:
            filler = "x" * 20_000
            for number in range(50):
                await redis.ask("SET", f"overlay:filler:{number}:{os.urandom(8).hex()}", filler, "EX", "1000")
            return b"evicted_keys:0\r" not in await redis.ask("INFO", "stats")

        await eventually(fill)
        assert await stores.records.put(packet(1)), "there is always room for what is new"
        assert (await stores.accounts.balance(holder, 1)).credit_bytes == 100
        assert await stores.accounts.redeem(b"s" * 16, holder, 100, int(NOW) + 10) is None
        await stores.close()


@asynccontextmanager
async def coturn(directory: Path, *options: str) -> AsyncIterator[Address]:
    """coturn on loopback with our file, and a secret as compose.yaml gives it one."""
    port = free_port()
    said = directory / "coturn.txt"
    output = os.open(said, os.O_WRONLY | os.O_CREAT)
    process = await asyncio.create_subprocess_exec(
        "turnserver",
        *("-c", str(CONFIGS / "coturn.conf"), "--static-auth-secret=north"),
        *(f"--listening-port={port}", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1"),
        *("--pidfile=", f"--userdb={directory / 'turndb'}", *options),
        stdout=output,
        stderr=asyncio.subprocess.STDOUT,
    )
    os.close(output)
    try:
        await wait_until_it_answers(port)
        yield Address.of("127.0.0.1", port)
    finally:
        process.kill()
        await process.wait()
    assert "Bad configuration" not in said.read_text(), "it ignores what it does not know"


class Allocation:
    """A TURN client on a socket of its own."""

    def __init__(self, server: Address, secret: str) -> None:
        said = TurnCredentials(server, secret, 600).for_endpoint(
            key(1).endpoint_id, datetime.now(UTC).timestamp()
        )
        self.client = TurnClient(server, said.username, said.password, os.urandom)
        self.socket = udp_socket("127.0.0.1")

    async def turn(self) -> None:
        """Send what is to be sent, and take one datagram if there is any."""
        loop = asyncio.get_running_loop()
        for datagram in self.client.datagrams_to_send(loop.time()):
            self.socket.sendto(datagram, self.client.server.sockaddr)
        try:
            async with asyncio.timeout(0.05):
                data = await loop.sock_recv(self.socket, 65536)
        except TimeoutError:
            return
        self.client.receive(data, loop.time())

    async def until_decided(self) -> TurnState:
        self.client.allocate(asyncio.get_running_loop().time())
        while self.client.state is TurnState.ALLOCATING:
            await self.turn()
        return self.client.state

    def send(self, peer: socket.socket, datagram: bytes) -> None:
        now = asyncio.get_running_loop().time()
        for wrapped in self.client.send(Address.of(*peer.getsockname()), [datagram], now):
            self.socket.sendto(wrapped, self.client.server.sockaddr)


def udp_socket(ip: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind((ip, 0))
    return made


def received(peer: socket.socket) -> bool:
    try:
        return bool(peer.recv(65536))
    except BlockingIOError:
        return False


@pytest.mark.needs("turnserver")
async def test_coturn_starts_with_our_file_and_takes_a_beacons_credentials_only(tmp_path: Path) -> None:
    async with coturn(tmp_path) as server:
        right, wrong = Allocation(server, "north"), Allocation(server, "south")
        with right.socket, wrong.socket:
            assert await right.until_decided() is TurnState.READY, right.client.failure
            assert await wrong.until_decided() is TurnState.FAILED


@pytest.mark.needs("turnserver")
async def test_coturn_reaches_nobody_on_private_addresses_with_our_file(tmp_path: Path) -> None:
    async with coturn(tmp_path, "--allow-loopback-peers", "--allowed-peer-ip=127.0.0.3") as server:
        allocation = Allocation(server, "north")
        denied, allowed = udp_socket("127.0.0.2"), udp_socket("127.0.0.3")
        with allocation.socket, denied, allowed:
            assert await allocation.until_decided() is TurnState.READY, allocation.client.failure
            allocation.send(denied, b"to the private network")

            async def arrived() -> bool:
                allocation.send(allowed, b"to where it is allowed")
                await allocation.turn()
                return received(allowed)

            await eventually(arrived)
            assert not received(denied)


def test_the_unit_runs_a_command_that_there_is() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[method-assign,assignment]
    unit.read(CONFIGS / "overlay-beacon.service")
    program, name, *words = shlex.split(unit["Service"]["ExecStart"])
    assert (program, name) == ("/opt/overlay/bin/overlay", "beacon")
    context = beacon_command.make_context(name, words, resilient_parsing=False)
    assert context.params["config_file"] == Path("${CREDENTIALS_DIRECTORY}/beacon.toml")
    assert unit["Service"]["LoadCredential"].startswith("beacon.toml:")
    assert int(unit["Service"]["LimitNOFILE"]) >= OPEN_FILES


def test_every_file_that_compose_mounts_is_there() -> None:
    mounted = set(re.findall(r'"\./([\w.]+):', COMPOSE))
    assert mounted == {"tls", "redis.conf", "coturn.conf"}
    assert all((CONFIGS / name).exists() for name in mounted - {"tls"})
    assert re.search(r"^  command: \[\"beacon\"\]$", COMPOSE, re.MULTILINE)
    assert isinstance(beacon_command, click.Group)


def test_every_variable_of_compose_is_a_key_of_a_beacon(tmp_path: Path) -> None:
    from gateway.beacon.settings import SCHEMA
    from gateway.config.loading import load_as

    variables = dict(re.findall(r"^ +(OVERLAY_BEACON_\w+): (.+?)(?: #.*)?$", COMPOSE, re.MULTILINE))
    given = {
        name: re.sub(r"\$\{(\w+)[^}]*\}", lambda found: ANSWERS[found[1]], value).strip('"')
        for name, value in variables.items()
    }
    assert len(given) > 7
    config = load_as(SCHEMA, tmp_path / "no-file", environ=given, overrides={})
    assert config.redis.url == "redis://:p4ss@127.0.0.1:6379/0"
    assert [str(server) for server in config.turn.servers] == ["203.0.113.9:3480"]
    assert len(config.beacon.urls) == 2


ANSWERS = {
    "BEACON_URLS": "https://beacon.example,https://beacon.example:8443",
    "PUBLIC_IP": "203.0.113.9",
    "REDIS_PASSWORD": "p4ss",
    "TURN_SECRET": "s3cret",
}
"""What a person puts into .env."""
