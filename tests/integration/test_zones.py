"""What an owner puts into the zone of its name is seen by others: by DNS, through the proxy, and by whois."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import socket
from typing import TYPE_CHECKING, NamedTuple

import pytest
from dnslib import RCODE, DNSRecord

from resolver.records import EndpointRecord
from resolver.signed_packets import SignedPacket
from tests.integration.test_browse import curl
from tests.lab.dht import NpmNodes, npm_packages
from tests.lab.gateways import GatewayProcess, running, wait_until
from tests.lab.lans import a_lan, gateway_on
from tests.lab.pkarr_relay import PkarrRelay
from tests.lab.resolver_dns import query_bytes, rows
from tests.lab.web import web_server
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from resolver.zone_entries import ZoneEntry

pytestmark = pytest.mark.needs("curl")


class Town(NamedTuple):
    """Alice, whose web server bob may use, and bob, who knows her by her id; both know one pkarr relay."""

    alice: GatewayProcess
    bob: GatewayProcess
    relay: PkarrRelay

    def published(self) -> tuple[ZoneEntry, ...]:
        """Alice's zone at the relay."""
        payload = self.relay.payloads.get(self.alice.id)
        if payload is None:
            return ()
        return EndpointRecord.from_packet(
            SignedPacket.parse_payload(EndpointId.parse(self.alice.id), payload)
        ).zone

    def publish(self, *commands: str) -> None:
        """Run `overlay zone …` at alice's, and wait until bob has what they did."""
        for command in commands:
            self.alice.run("zone", *shlex.split(command))
        wanted = self.alice.json("zone", "show")["records"]
        wait_until(lambda: sum(entry.label != "_profile" for entry in self.published()) == len(wanted))
        wait_until(lambda: self.bob.json("whois", "alice")["zone"] == wanted)

    def ask(self, name: str, kind: str = "A") -> DNSRecord:
        """Ask bob's DNS server."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            host, _, port = self.bob.listens("dns").rpartition(":")
            client.sendto(query_bytes(name, kind, edns=1232), (host, int(port)))
            return DNSRecord.parse(client.recv(4096))

    def get(self, url: str) -> str:
        """The page at a URL, through bob's proxy."""
        done = curl("--proxy", f"socks5h://{self.bob.listens('proxy')}", url)
        return done.stdout.decode() or done.stderr.decode()


@contextlib.contextmanager
def town(relay: PkarrRelay, place: Path) -> Iterator[Town]:
    words = '"relays", "services", "addresses", "nickname"'
    config = f"[beacons]\nrecords = ['{relay.url}']\n[publish]\npublic = [{words}]\n"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    flags = ("--tunnel-port", port, "--address", f"127.0.0.1:{port}")
    with (
        web_server(None) as web,
        running(
            GatewayProcess(place / "alice", *flags, nickname="alice", config=config),
            GatewayProcess(place / "bob", nickname="bob", config=config),
        ) as (alice, bob),
    ):
        alice.run("contacts", "add", "bob", bob.id)
        bob.run("contacts", "add", "alice", alice.id)
        alice.run("expose", "web", f"127.0.0.1:{web.port}", "--allow", "bob")
        yield Town(alice, bob, relay)


async def test_an_alias_leads_to_a_service_by_dns_and_through_the_proxy(tmp_path: Path) -> None:
    async with PkarrRelay() as relay:
        await asyncio.to_thread(aliases, relay, tmp_path)


def aliases(relay: PkarrRelay, place: Path) -> None:
    with town(relay, place) as there:
        there.publish(
            "set www CNAME web",
            "set blog CNAME www",
            "set out CNAME www.example.org",
            "set web CNAME www.example.org",
            "set round CNAME turn",
            "set turn CNAME round",
            f"set his CNAME web.{there.bob.id}.overlay",
        )
        address = rows(there.ask("web.alice.overlay").rr)[0].rpartition(" ")[2]
        assert address.startswith("127."), "the service wins over the record of its name"
        assert rows(there.ask("blog.alice.overlay").rr) == [
            "blog.alice.overlay. CNAME www.alice.overlay.",
            "www.alice.overlay. CNAME web.alice.overlay.",
            f"web.alice.overlay. A {address}",
        ]
        for kind in ("A", "TXT", "HTTPS"):
            assert rows(there.ask("out.alice.overlay", kind).rr) == [
                "out.alice.overlay. CNAME www.example.org."
            ], "what lies outside is not looked up"
        circle = there.ask("round.alice.overlay")
        assert RCODE[circle.header.rcode] == "SERVFAIL"
        assert RCODE[there.ask("none.alice.overlay").header.rcode] == "NXDOMAIN"

        # A page of alice's could else read what bob offers to himself and to his friends.
        his = there.ask("his.alice.overlay")
        assert (rows(his.rr), RCODE[his.header.rcode]) == ([], "SERVFAIL")
        told = curl("--proxy", f"http://{there.bob.listens('proxy')}", "http://his.alice.overlay/").stdout
        assert b"somebody else" in told
        known = there.bob.json("resolve", "blog.alice")
        assert (known["alias"], known["service"]) == ("www.alice.overlay", "")
        assert there.bob.json("resolve", "web.alice")["service"] == "web"

        assert "Hello from alice" in there.get("http://blog.alice.overlay/")
        assert "Hello from alice" in there.get(f"http://www.{there.alice.id}.overlay/")
        there.get("http://out.alice.overlay/")
        told = curl(
            "--proxy", f"http://{there.bob.listens('proxy')}", "http://out.alice.overlay/"
        ).stdout.decode()
        assert "outside of .overlay" in told
        assert "www.example.org" in told


async def test_records_and_the_profile_are_seen_by_others_and_survive_a_restart(tmp_path: Path) -> None:
    async with PkarrRelay() as relay:
        await asyncio.to_thread(records, relay, tmp_path)


def records(relay: PkarrRelay, place: Path) -> None:
    with town(relay, place) as there:
        file = place / "zone.txt"
        file.write_text(
            "$TTL 1h\n"
            '@           IN TXT  "v=spf1 -all" ; mail comes from nowhere\n'
            "_sip._tcp   SRV     10 5 80 web\n"
            "shop        HTTPS   1 web alpn=h2 port=80\n"
            "card        CNAME   web.bob.overlay.\n"
        )
        there.publish(
            "profile --name 'Алиса' --description 'Tea and trains' --link https://alice.example/",
            f"import {file}",
        )
        web = there.ask("web.alice.overlay")
        port = there.bob.json("resolve", "web.alice")["offers"][0]["offered"]
        assert rows(there.ask("_sip._tcp.alice.overlay", "SRV").rr) == [
            f"_sip._tcp.alice.overlay. SRV 10 5 {port} web.alice.overlay."
        ], "the port where it is open on bob's machine"
        assert rows(there.ask("shop.alice.overlay", "HTTPS").rr) == [
            "shop.alice.overlay. HTTPS 1 web.alice.overlay. alpn=h2 port=80"
        ]
        assert rows(there.ask("alice.overlay", "TXT").rr) == [
            f'alice.overlay. TXT "id={there.alice.id}"',
            'alice.overlay. TXT "v=spf1 -all"',
        ]
        assert rows(there.ask("card.alice.overlay", "CNAME").rr) == [
            f"card.alice.overlay. CNAME web.{there.bob.id}.overlay."
        ], "bob's petname became his id"
        assert web.rr

        known = there.bob.json("whois", "alice")
        assert known["profile"] == {
            "name": "Алиса",
            "description": "Tea and trains",
            "avatar": "",
            "links": ["https://alice.example/"],
        }
        assert (known["petname"], known["nickname"], known["endpoint_id"]) == (
            "alice",
            "alice",
            there.alice.id,
        )
        assert known["source"]
        assert known["age"] < 60
        assert "display name  Алиса" in there.bob.run("whois", "alice").stdout
        said = there.alice.json("status", "--published")[0]["zone"]
        assert "_sip._tcp SRV 10 5 80 web" in said
        assert any(line.startswith("_profile TXT n=") for line in said)
        before = there.alice.json("zone", "show")
        there.alice.stop()
        # Her zone is known without her, though nobody can tell whether she has such a service.
        there.bob.run("whois", "alice")
        assert rows(there.ask("shop.alice.overlay", "HTTPS").rr)
        there.alice.start()
        assert there.alice.json("zone", "show")["records"] == before["records"]


def test_each_change_can_be_undone_and_what_does_not_fit_is_refused_whole(tmp_path: Path) -> None:
    with running(GatewayProcess(tmp_path / "alice", nickname="alice")) as (alice,):
        undone(alice, tmp_path)


def undone(alice: GatewayProcess, place: Path) -> None:
    def state() -> object:
        report = alice.json("zone", "show")
        return sorted(map(json.dumps, report["records"])), report["profile"], report["used_bytes"]

    def undo(*words: str) -> None:
        before = state()
        done = alice.run("zone", *words)
        assert state() != before
        assert " left; " in done.stderr
        line = done.stdout.splitlines()[-1]
        assert line.startswith("undo: overlay --home ")
        for command in line.removeprefix("undo: ").split(" && "):
            alice.run(*shlex.split(command)[3:])
        assert state() == before

    file = place / "zone.json"
    file.write_text(json.dumps({"records": [{"label": "a", "type": "TXT", "value": ["b"]}]}))
    undo("set", "note", "TXT", "hello world", "it's -me")
    alice.run("zone", "set", "note", "TXT", "one")
    alice.run("zone", "set", "--add", "note", "TXT", "--", "-two")
    undo("set", "note", "TXT", "three")
    undo("unset", "note")
    undo("profile", "--name", "Alice", "--link", "https://a.example/")
    alice.run("zone", "profile", "--name", "Alice", "--link", "https://a.example/")
    undo("profile", "--name", "", "--no-links", "--avatar", "https://a.example/a.png")
    undo("import", str(file))
    undo("import", "--replace", str(file))
    dry = alice.run("zone", "import", "--dry-run", "--replace", str(file))
    assert "- note TXT one" in dry.stdout
    assert "+ a TXT b" in dry.stdout

    before = state()
    used = alice.json("zone", "show")["used_bytes"]
    done = alice.run("zone", "set", "big", "TXT", "x" * 200, "y" * 200, check=False)
    excess = int(done.stderr.split(" bytes too large")[0].rpartition(" ")[2])
    assert done.returncode == 2
    assert state() == before
    length = 400 - excess  # what is said to fit fits, and a byte more does not
    assert alice.run("zone", "set", "big", "TXT", "x" * 200, "y" * (length - 199), check=False).returncode
    done = alice.run("zone", "set", "big", "TXT", "x" * 200, "y" * (length - 200))
    assert " 0 left; " in done.stderr
    assert alice.json("zone", "show")["used_bytes"] > used


@pytest.mark.needs("root", "ip", "dig")
def test_a_zone_is_seen_on_the_local_network_with_each_change(tmp_path: Path) -> None:
    with a_lan() as lan:
        machines = [lan.machine(), lan.machine()]
        with running(
            gateway_on(machines[0], tmp_path / "alice", "alice"),
            gateway_on(machines[1], tmp_path / "bob", "bob"),
        ) as (alice, bob):
            bob.run("contacts", "add", "alice", alice.id)
            for words in ("one", "two"):
                alice.run("zone", "set", "note", "TXT", words)
                wait_until(
                    lambda words=words: (
                        [words] in [each["value"] for each in bob.json("whois", "alice")["zone"]]
                    ),
                    what=f"bob sees {words}",
                )
                answer = machines[1].run(
                    *("dig", f"@{bob.listens('dns').rpartition(':')[0]}", "-p", str(bob.port("dns"))),
                    *("+short", "note.alice.overlay", "TXT"),
                )
                assert answer.stdout.strip() == f'"{words}"'
            assert bob.json("whois", "alice")["source"] == "local network"


@pytest.mark.needs("node", "npm")
async def test_a_zone_is_seen_by_the_dht_alone(tmp_path: Path) -> None:
    await asyncio.to_thread(npm_packages)
    async with NpmNodes(10) as npm:
        places = ", ".join(f'"127.0.0.1:{port}"' for port in npm.ports[:2])
        config = f"[dht]\nprivate = true\nbootstrap = [{places}]\n"
        alice, bob = (
            GatewayProcess(tmp_path / name, "--dht", "on", nickname=name, config=config)
            for name in ("alice", "bob")
        )
        try:
            await asyncio.to_thread(alice.start)
            await asyncio.to_thread(alice.run, "zone", "set", "note", "TXT", "by the DHT")
            await asyncio.to_thread(bob.start)
            key = EndpointId.parse(alice.id).key.hex()
            async with asyncio.timeout(40):
                wanted = ["note." + alice.id, "TXT"]
                while wanted not in (await npm.do("resolve", key=key) or {"answers": ()})["answers"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            seen = await asyncio.to_thread(bob.json, "whois", alice.id)
            assert (seen["source"], [each["value"] for each in seen["zone"]]) == ("dht", [["by the DHT"]])
            for each in (alice, bob):
                await asyncio.to_thread(each.stop)
        finally:
            for each in (alice, bob):
                await asyncio.to_thread(each.kill)
