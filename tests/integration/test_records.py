"""Gateways find each other by records at a pkarr relay, and go on finding each other without it."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from resolver.discovery.beacons import BeaconHttp
from resolver.records import EndpointRecord
from resolver.signed_packets import SignedPacket
from tests.lab.gateways import OVERLAY, GatewayProcess, clean_environment, free_port, wait_until
from tests.lab.pkarr_relay import PkarrRelay
from tunnels.addresses import BeaconUrl
from tunnels.identity import EndpointId, SecretKey

if TYPE_CHECKING:
    from pathlib import Path


ADDRESSES = '[publish]\npublic = ["relays", "services", "addresses"]\n'
"""The configuration of a gateway that is found without the help of a relay."""


def with_beacon(home: Path, name: str, beacon: BeaconUrl, *flags: str, config: str = "") -> GatewayProcess:
    return GatewayProcess(home / name, "--beacon", str(beacon), *flags, nickname=name, config=config)


async def published(relay: PkarrRelay, gateway: GatewayProcess, *, after: int = 0) -> EndpointRecord:
    """The gateway's record at the relay, once it is later than `after`."""
    while True:
        payload = relay.payloads.get(gateway.id)
        if payload is not None:
            packet = SignedPacket.parse_payload(EndpointId.parse(gateway.id), payload)
            if packet.timestamp > after:
                return EndpointRecord.from_packet(packet)
        await asyncio.sleep(0.05)


async def test_an_id_is_enough_where_both_know_a_relay_and_is_remembered_without_it(tmp_path: Path) -> None:
    port = free_port()
    async with PkarrRelay(SecretKey(bytes(31) + b"\x07")) as relay:
        alice = with_beacon(
            *(tmp_path, "alice", relay.url, "--tunnel-port", str(port), "--address", f"127.0.0.1:{port}"),
            config=ADDRESSES,
        )
        bob = with_beacon(tmp_path, "bob", relay.url)
        try:
            await asyncio.gather(asyncio.to_thread(alice.start), asyncio.to_thread(bob.start))
            record = await published(relay, alice)
            assert record.relays == (relay.url,)
            assert list(map(str, record.addresses)) == [f"127.0.0.1:{port}"], "nothing of the network at home"
            assert (await published(relay, bob)).addresses == ()
            assert str(relay.url) not in await asyncio.to_thread(alice.said), "nothing failed"

            await asyncio.to_thread(bob.run, "contacts", "add", "alice", alice.id)
            done = await asyncio.to_thread(bob.run, "ping", "alice")
            assert f"via 127.0.0.1:{port} (LAN)" in done.stdout
            await asyncio.to_thread(bob.stop)
        except BaseException:
            await asyncio.to_thread(alice.kill)
            raise
        finally:
            await asyncio.to_thread(bob.kill)
    bob = with_beacon(tmp_path, "bob", relay.url)
    try:
        await asyncio.to_thread(bob.start)
        await asyncio.to_thread(bob.run, "ping", "alice")
    finally:
        await asyncio.to_thread(bob.stop)
        await asyncio.to_thread(alice.stop)


async def test_what_becomes_public_is_published_and_a_relay_that_fails_is_told_of(tmp_path: Path) -> None:
    async with PkarrRelay() as relay:
        alice = with_beacon(tmp_path, "alice", relay.url)
        await asyncio.to_thread(alice.start)
        try:
            first = await published(relay, alice)
            assert first.services == ()
            await asyncio.to_thread(alice.run, "expose", "web", "127.0.0.1:8000", "--public")
            second = await published(relay, alice, after=first.timestamp)
            assert [service.name for service in second.services] == ["web"]
            ticket = await asyncio.to_thread(alice.json, "ticket")
            assert ticket["addresses"], "a ticket tells of the local network"
        finally:
            await asyncio.to_thread(alice.stop)
    alice = with_beacon(tmp_path, "alice", relay.url)
    await asyncio.to_thread(alice.start)
    try:
        warnings = await asyncio.to_thread(wait_until, lambda: alice.json("status")["warnings"])
        assert warnings[0].startswith(f"our record is not at {relay.url.origin}: ")
    finally:
        await asyncio.to_thread(alice.stop)


async def test_who_does_not_want_to_be_found_is_not_published(tmp_path: Path) -> None:
    async with PkarrRelay() as relay:
        config = f"[beacons]\nurls = ['{relay.url}']\npublish = false\n"
        alice = GatewayProcess(tmp_path / "alice", nickname="alice", config=config)
        await asyncio.to_thread(alice.start)
        try:
            await asyncio.to_thread(
                alice.run, "contacts", "add", "nobody", str(SecretKey(bytes(32)).endpoint_id)
            )
            done = await asyncio.to_thread(alice.run, "ping", "nobody", "-c", "1", check=False)
            assert done.returncode == 1
            assert "no address of" in done.stderr
            assert {method for method, _ in relay.log} == {"GET"}
        finally:
            await asyncio.to_thread(alice.stop)


async def test_a_beacon_with_its_own_certificate_keeps_records_too(tmp_path: Path) -> None:
    port, config, http = free_port(), tmp_path / "beacon.toml", BeaconHttp()
    await asyncio.to_thread(config.write_text, '[tls]\nmode = "self-signed"\n')
    beacon = await asyncio.create_subprocess_exec(
        *(OVERLAY, "--home", str(tmp_path / "beacon"), "beacon", "--config", str(config)),
        *("--port", "0", "--bind", "127.0.0.1"),
        stdout=asyncio.subprocess.PIPE,
        env=clean_environment(),
    )
    try:
        assert beacon.stdout is not None
        url = None
        while url is None:
            line = (await asyncio.wait_for(beacon.stdout.readline(), 20)).decode()
            assert line, "it ended"
            url = re.search(r"https://127\.0\.0\.1:[0-9]+#[a-z0-9]{52}", line)
        there = BeaconUrl.parse(url[0])
        alice = with_beacon(
            *(tmp_path, "alice", there, "--tunnel-port", str(port), "--address", f"127.0.0.1:{port}"),
            config=ADDRESSES,
        )
        bob = with_beacon(tmp_path, "bob", there)
        try:
            await asyncio.gather(asyncio.to_thread(alice.start), asyncio.to_thread(bob.start))
            while await http.find(there, EndpointId.parse(alice.id)) is None:  # noqa: ASYNC110 - the beacon has no event
                await asyncio.sleep(0.05)  # else bob may meet her at the beacon before her record is there
            await asyncio.to_thread(bob.run, "contacts", "add", "alice", alice.id)
            await asyncio.to_thread(
                wait_until, lambda: bob.run("ping", "alice", check=False).returncode == 0, 20
            )
            (contact,) = await asyncio.to_thread(bob.json, "contacts", "ls")
            assert contact["addresses"] == [f"127.0.0.1:{port}"]
            assert contact["relays"] == [str(there)]
            assert (await asyncio.to_thread(alice.json, "status"))["warnings"] == []
            await asyncio.to_thread(bob.stop)
            await asyncio.to_thread(alice.stop)
        finally:
            await asyncio.to_thread(bob.kill)
            await asyncio.to_thread(alice.kill)
    finally:
        await http.close()
        beacon.terminate()
        await beacon.wait()
