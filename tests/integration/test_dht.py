"""Gateways that know nothing but the DHT find each other and are found by pkarr; without libtorrent the rest works."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from gateway.answers.base import time_now
from resolver.discovery.krpc import target_of
from resolver.signed_packets import SignedPacket
from tests.lab.dht import NpmNodes, npm_packages
from tests.lab.gateways import GatewayProcess, clean_environment, free_port, gateway
from tunnels.identity import EndpointId, SecretKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = pytest.mark.needs("node", "npm")


def config(ports: list[int], *more: str) -> str:
    """Of a gateway that knows the DHT by these ports, and no other place."""
    places = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
    return "\n".join((f"[dht]\nprivate = true\nbootstrap = [{places}]", *more, ""))


def dht_line(status: str) -> str:
    """What `overlay status` says of the DHT."""
    (line,) = (line for line in status.splitlines() if line.split()[:1] == ["dht"])
    return line


@asynccontextmanager
async def started(*gateways: GatewayProcess) -> AsyncIterator[None]:
    try:
        await asyncio.gather(*(asyncio.to_thread(each.start) for each in gateways))
        yield
        for each in gateways:
            await asyncio.to_thread(each.stop)
    finally:
        for each in gateways:
            await asyncio.to_thread(each.kill)


async def test_an_id_is_enough_for_two_gateways_with_only_the_dht(
    tmp_path: Path, figure: Callable[..., None]
) -> None:
    await asyncio.to_thread(npm_packages)
    port = free_port()
    async with NpmNodes(12) as npm:
        alice = GatewayProcess(
            tmp_path / "alice",
            *("--dht", "on", "--tunnel-port", str(port), "--address", f"127.0.0.1:{port}"),
            nickname="alice",
            config=config(npm.ports[:2], "[publish]", 'public = ["relays", "services", "addresses"]'),
        )
        bob = GatewayProcess(tmp_path / "bob", "--dht", "on", nickname="bob", config=config(npm.ports[2:4]))
        async with started(alice, bob):
            id = EndpointId.parse(alice.id)
            async with asyncio.timeout(20):
                while not await npm.kept(id):  # noqa: ASYNC110 - alice tells nobody else
                    await asyncio.sleep(0.05)
            await asyncio.to_thread(bob.run, "contacts", "add", "alice", alice.id)
            began = time.monotonic()
            done = await asyncio.to_thread(bob.run, "ping", "alice")
            figure(time.monotonic() - began, aim=1.5, what="a first ping by the DHT alone")
            assert f"via 127.0.0.1:{port} (LAN)" in done.stdout

            explained = await asyncio.to_thread(bob.run, "resolve", "alice.overlay", "--explain")
            assert "dht" in explained.stdout
            status = await asyncio.to_thread(alice.run, "status")
            line = dht_line(status.stdout)
            assert "our record on 8 of them" in line
            read = await npm.do("resolve", key=id.key.hex())
            packet = SignedPacket.parse_payload(id, bytes.fromhex(read["payload"]))
            assert b"alice" not in packet.packet, "nothing personal that was not asked for"
            assert [f"_overlay.{alice.id}", "TXT"] in read["answers"]


async def test_a_gateway_finds_what_pkarr_published_and_the_newest_stays(tmp_path: Path) -> None:
    carol = SecretKey(bytes(31) + b"\7")
    now = int(time_now())
    await asyncio.to_thread(npm_packages)
    async with NpmNodes(8) as npm:

        async def publish(timestamp: int, address: str) -> None:
            overlay = ["v=1", f"exp={now + 3600}", f"a={address}"]
            answers = [{"name": "_overlay", "type": "TXT", "ttl": 300, "data": overlay}]
            seed = carol.seed.hex()
            await npm.do("publish", seed=seed, timestamp=timestamp * 1_000_000, answers=answers)

        bob = GatewayProcess(tmp_path / "bob", "--dht", "on", nickname="bob", config=config(npm.ports[:2]))
        async with started(bob):
            await publish(now, "127.0.0.1:9")
            await asyncio.to_thread(bob.run, "contacts", "add", "carol", str(carol.endpoint_id))

            async def known() -> tuple[str, dict[str, Any]]:
                """Where she is, after every place was asked again, and what the DHT had."""
                await asyncio.to_thread(bob.run, "ping", "carol", "-c", "1", "--timeout", "1", check=False)
                told = await asyncio.to_thread(bob.json, "resolve", "carol.overlay", "--explain")
                (address,) = (entry["address"] for entry in told["addresses"])
                return address, next(entry for entry in told["sources"] if entry["source"] == "dht")

            address, dht = await known()
            assert (address, dht["finding"], dht["in_use"]) == ("127.0.0.1:9", "found", True)
            await npm.do("forget", target=target_of(carol.endpoint_id).hex())
            await publish(now - 60, "127.0.0.1:8")
            address, dht = await known()
            assert (address, dht["finding"], dht["in_use"]) == ("127.0.0.1:9", "found", False)
            assert dht["age"] > 60


def test_without_libtorrent_a_gateway_runs_and_status_says_how_to_get_it(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "run.py").write_text(
        "import sys\nsys.modules['libtorrent'] = None\nfrom gateway.cli import main\nsys.exit(main())\n"
    )
    program = (sys.executable, str(blocked / "run.py"))
    with gateway(tmp_path / "home", "--dht", "auto", nickname="alice", program=program) as alice:
        line = dht_line(alice.run("status").stdout)
        assert "pip install 'overlay-gateway[dht]'" in line
        assert alice.json("status")["dht"]["enabled"] is False
    command = [*program, "--home", str(tmp_path / "other"), "up", "--dht", "on"]
    failed = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, env=clean_environment()
    )
    assert failed.returncode == 3
    assert "pip install 'overlay-gateway[dht]'" in failed.stderr
    assert "Traceback" not in failed.stderr
