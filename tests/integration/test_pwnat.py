"""Gateways without any beacon, behind NATs and firewalls of the kernel: they meet where the network lets ICMP errors through."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from tests.lab.beacons_real import beacon
from tests.lab.gateways import gateway, introduce, wait_until
from tests.lab.internet import an_internet
from tests.lab.meetings import DELAY, home_of, put_on
from tests.lab.networks import Home
from tunnels import limits
from tunnels.identity import EndpointId
from tunnels.nat import limits as nat_limits
from tunnels.nat import pwnat

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.gateways import GatewayProcess
    from tests.lab.internet import Internet
    from tests.lab.netns import Namespace
    from tests.lab.networks import Machine

pytestmark = [pytest.mark.needs("root", "ip", "nft", "conntrack", "tun"), pytest.mark.timeout(120)]

PORT = 41641
TARGET = ip_address("192.0.2.1")


@pytest.fixture
def internet() -> Iterator[Internet]:
    with an_internet(DELAY) as internet:
        yield internet


def settings(public: str = "", *, on: bool = True) -> str:
    addresses = f'addresses = ["{public}:{PORT}"]\n' if public else ""
    return f'[tunnels]\nport = {PORT}\nport_mapping = "off"\npwnat = {str(on).lower()}\n{addresses}'


@contextlib.contextmanager
def alice_and_bob(
    place: Path, alice: Machine, bob: Machine, *, public: str = "", bob_public: str = "", on: bool = True
) -> Iterator[tuple[GatewayProcess, GatewayProcess]]:
    """They know each other, by a ticket that names alice's public address, and no beacon."""
    with (
        put_on(alice, place / "alice", nickname="alice", config=settings(public, on=on)) as waiting,
        put_on(bob, place / "bob", nickname="bob", config=settings(bob_public)) as dialling,
    ):
        introduce(waiting, dialling)
        yield waiting, dialling


def a_home(internet: Internet, name: str, net: str) -> Home:
    """One whose machines are numbered unlike those of all others."""
    router = internet.machine(name)
    internet.plug(router)
    return Home(internet, router, "port-restricted", net)


def ping(whose: GatewayProcess, whom: str = "alice") -> str:
    return whose.run("ping", whom, "--count", "1").stdout


def count(namespace: Namespace, chain: str, *rules: str) -> None:
    """Count packets by these rules of nftables, at a hook of the namespace; `counted` tells."""
    lines = "\n".join(f"{rule} counter" for rule in rules)
    namespace.nft(
        f"table inet counted {{\nchain packets {{\ntype filter hook {chain} priority -300\n{lines}\n}}\n}}"
    )


def counted(namespace: Namespace) -> list[int]:
    return [
        int(n) for n in re.findall(r"counter packets (\d+)", namespace.run("nft", "list", "ruleset").stdout)
    ]


def test_who_waits_behind_a_nat_is_reached_from_a_public_address(internet, tmp_path):
    home, bob = internet.home("alice"), internet.server("bob")
    with alice_and_bob(tmp_path, home.host("laptop"), bob, public=home.public_address) as (waiting, dialling):
        assert f"via {home.public_address}:{PORT} (direct" in ping(dialling)
        assert f"somebody who knows our id calls from {bob.address}:{PORT}" in waiting.said()


def test_without_it_nobody_gets_in(internet, tmp_path):
    home, bob = internet.home("alice"), internet.server("bob")
    laptop = home.host("laptop")
    with alice_and_bob(tmp_path, laptop, bob, public=home.public_address, on=False) as (_, dialling):
        assert "did not answer" in dialling.run("ping", "alice", "--count", "1", check=False).stderr


def test_two_homes_behind_ipv6_firewalls_meet(internet, tmp_path):
    alice, bob = (internet.home(name, ipv6=True).host("laptop") for name in ("alice", "bob"))
    with alice_and_bob(tmp_path, alice, bob) as (_, dialling):
        assert f"via [{alice.address6}]:{PORT} (direct" in ping(dialling)


def test_two_nats_are_crossed_only_where_the_diallers_lets_out_what_it_cannot_translate(internet, tmp_path):
    """The kernel's does, with the private source as it is, and nobody filters that on this internet."""
    alice, bob = a_home(internet, "alice", "192.168.7"), a_home(internet, "bob", "192.168.8")
    count(
        internet.core,
        "prerouting",
        "icmp type time-exceeded ip saddr 192.168.8.0/24",
        f"icmp type time-exceeded ip saddr {bob.public_address}",
    )
    machines = alice.host("laptop"), bob.host("laptop")
    bob.router.nft("insert rule ip home through ct state invalid drop")  # as OpenWrt does
    with alice_and_bob(tmp_path, *machines, public=alice.public_address, bob_public=bob.public_address) as (
        _,
        dialling,
    ):
        assert dialling.run("ping", "alice", "--count", "1", check=False).returncode
        assert counted(internet.core) == [0, 0]
        bob.open_up()
        dialling.stop()
        dialling.start()
        assert f"via {alice.public_address}:{PORT} (direct" in ping(dialling)
        untranslated, translated = counted(internet.core)
        assert untranslated
        assert not translated


def test_strangers_get_no_more_than_so_many_openers(internet, tmp_path):
    home, stranger = internet.home("alice"), internet.server("stranger")
    public = home.public_address
    laptop = home.host("laptop")
    with put_on(laptop, tmp_path / "alice", nickname="alice", config=settings(public)) as waiting:
        others = f"ip daddr != {stranger.address} meta l4proto udp"
        count(laptop, "output", others, f"ip daddr {stranger.address} meta l4proto udp")
        whose = EndpointId.parse(waiting.id)
        clock = float(stranger.run("date", "+%s").stdout)
        with stranger.entered():
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)

        def forged(number: int) -> bytes:
            place = 20_000 + number
            return pwnat.summons(whose, ip_address(public), TARGET, place, os.urandom(8), clock)

        def send(message: bytes) -> None:
            fixed = message[:2] + bytes(2) + message[4:]
            raw.sendto(fixed[:2] + pwnat.checksum(fixed).to_bytes(2) + fixed[4:], (public, 0))

        with contextlib.closing(raw):
            for number in range(1000):
                message = bytearray(forged(number))
                message[32 if number % 2 else -1] ^= 1  # another identifier, another proof
                send(bytes(message))
            assert not waiting.run("status").returncode
            assert counted(laptop)[1] == 0
            bound = nat_limits.PWNAT_ANSWERED_PER_MINUTE * len(limits.PWNAT_OPENERS)
            numbers = itertools.count(1)

            def more_are_answered() -> bool:
                for _ in range(5):
                    send(forged(next(numbers)))
                return waiting.said().count("calls from") >= nat_limits.PWNAT_ANSWERED_PER_MINUTE

            wait_until(more_are_answered, 20, what="as many are answered as may be")
            for _ in range(1000):
                send(forged(next(numbers)))
            wait_until(lambda: counted(laptop)[1] >= bound, what="all openers are sent")
            for _ in range(1000):
                send(forged(next(numbers)))
        assert not waiting.run("status").returncode
        assert counted(laptop)[1] <= bound + 2 * len(limits.PWNAT_OPENERS), (
            "some seconds allow one or two more"
        )


class WithoutRoot:
    """A place as `put_on` wants it where processes have only these capabilities."""

    def __init__(self, *capabilities: str) -> None:
        self.capabilities = ",".join(("-all", *(f"+{one}" for one in capabilities)))

    def command(self, *arguments: str) -> list[str]:
        return ["setpriv", "--bounding-set", self.capabilities, "--inh-caps", self.capabilities, *arguments]


def test_without_raw_sockets_a_line_says_what_is_missing_and_all_else_works(tmp_path):
    with gateway(tmp_path / "alice", nickname="alice", config=settings(), namespace=WithoutRoot()) as alice:
        (warning,) = alice.json("status")["warnings"]
        assert warning.startswith("pwnat stays off: it needs raw sockets (CAP_NET_RAW)")
        assert "sudo setcap cap_net_raw+ep /" in warning
        wait_until(lambda: warning in alice.said(), what="it is told on the first screen")
        told = alice.run("netcheck", check=False).stderr
        assert "beacon" in told
        assert "is on" not in told


def test_that_capability_alone_is_enough(tmp_path):
    place = WithoutRoot("net_raw")
    with gateway(tmp_path / "alice", nickname="alice", config=settings(), namespace=place) as alice:
        assert not alice.json("status")["warnings"]
        assert "pwnat, which needs no beacon, is on" in alice.run("netcheck", check=False).stderr


def test_netcheck_tells_that_it_is_on(tmp_path):
    with gateway(tmp_path / "alice", nickname="alice", config=settings()) as alice:
        assert "pwnat, which needs no beacon, is on" in alice.run("netcheck", check=False).stderr
        assert "pwnat" not in alice.said()


def test_with_a_beacon_netcheck_tells_it_among_what_it_found(internet, tmp_path):
    laptop = internet.server("alice")
    with beacon(tmp_path / "beacon", internet.server("beacon")) as running:
        options = {"nickname": "alice", "beacons": [running.url], "config": settings()}
        with put_on(laptop, tmp_path / "alice", **options) as alice:
            wait_until(lambda: home_of(alice), what="alice is at home at the beacon")
            report = alice.json("netcheck")
            assert report["pwnat"] == "on"
            assert [one["value"] for one in report["findings"] if one["what"] == "pwnat"] == ["on"]
