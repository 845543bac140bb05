"""Real gateways on one bridge, with nothing configured and nobody to ask, find each other by id."""

from __future__ import annotations

import contextlib
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest

from gateway.facade import time_now
from resolver.discovery.lan_messages import announcement
from tests.lab.gateways import running, wait_until
from tests.lab.lans import Avahi, a_lan, fetch, gateway_on, offer_web
from tests.lab.resolver_keys import key, local_packet
from tests.lab.transfers import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.gateways import GatewayProcess
    from tests.lab.lans import Lan

pytestmark = [pytest.mark.needs("root", "ip", "nft", "curl"), pytest.mark.timeout(120)]

FOUND_WITHIN = 2.0
"""Seconds from the question to the first byte of the page: the search, the handshake and the page."""


@contextlib.contextmanager
def two_gateways(lan: Lan, tmp_path, *filtered: int) -> Iterator[tuple[GatewayProcess, GatewayProcess]]:
    """Alice, who offers a page to everybody, and bob; neither has heard of the other in any other way."""
    machines = [lan.machine(), lan.machine()]
    for machine in machines:
        for port in filtered:
            machine.filter_udp(port)
    with (
        contextlib.closing(Source(machines[0])) as source,
        running(
            gateway_on(machines[0], tmp_path / "alice", "alice"),
            gateway_on(machines[1], tmp_path / "bob", "bob"),
        ) as (alice, bob),
    ):
        offer_web(alice, source.port)
        yield alice, bob


@pytest.mark.parametrize(
    ("versions", "filtered"),
    [((4,), ()), ((6,), ()), ((4,), (5353,)), ((6,), (5353,)), ((4, 6), (5353,)), ((4, 6), (7398,))],
    ids=["IPv4", "IPv6", "IPv4 without mDNS", "IPv6 without mDNS", "both without mDNS", "mDNS only"],
)
def test_two_gateways_find_each_other_by_id_alone(versions, filtered, tmp_path, figure):
    with a_lan(*versions) as lan, two_gateways(lan, tmp_path, *filtered) as (alice, bob):
        page, seconds = fetch(bob, f"web.{alice.id}.overlay")
        assert page == Source.HELLO
        assert seconds < FOUND_WITHIN
        figure(seconds, aim=0.5)


@pytest.mark.parametrize("filtered", [(), (5353,), (7398,)], ids=["both ways", "without mDNS", "mDNS only"])
def test_where_nobody_assigns_addresses_link_local_ones_do(filtered, tmp_path, figure):
    with a_lan(6, assigns=False) as lan, two_gateways(lan, tmp_path, *filtered) as (alice, bob):
        addresses = alice.namespace.run("ip", "-o", "addr", "show", "dev", "eth0").stdout
        assert addresses.count("inet") == addresses.count("inet6 fe80:") == 1
        page, seconds = fetch(bob, f"web.{alice.id}.overlay")
        assert page == Source.HELLO
        assert seconds < FOUND_WITHIN
        figure(seconds, aim=0.5)
        assert "%eth0]" in bob.run("ping", alice.id).stdout
        assert not [each for each in alice.json("ticket")["addresses"] if "fe80" in each], (
            "they mean nothing there"
        )


def lan_of(gateway: GatewayProcess) -> dict[str, Any]:
    return gateway.json("status")["local_network"]


def wait_for_heard(*gateways: GatewayProcess, many: int, seconds: float = 10.0) -> None:
    for each in gateways:
        wait_until(
            lambda each=each: lan_of(each)["heard"] == many,
            seconds,
            f"{each.nickname} hears {many}: {lan_of(each)} {each.said()[-2000:]}",
        )


def test_a_contact_by_bare_id_is_reached_on_the_lan_and_status_tells_how(tmp_path):
    with a_lan() as lan, two_gateways(lan, tmp_path) as (alice, bob):
        bob.run("contacts", "add", "alice", alice.id)
        assert "(LAN)" in bob.run("ping", "alice").stdout
        assert fetch(bob, "web.alice.overlay")[0] == Source.HELLO
        status = lan_of(bob)
        assert status["interfaces"] == ["eth0"]
        assert status["mdns"] == status["fallback"] == [4, 6]
        assert status["mdns_problem"] == status["fallback_problem"] == ""
        assert (
            "eth0: multicast DNS (IPv4, IPv6), our own datagrams (IPv4, IPv6); 1 heard"
            in bob.run("status").stdout
        )


@pytest.mark.parametrize("versions", [(4,), (6,)], ids=["IPv4", "IPv6"])
def test_an_interface_that_comes_later_is_announced_on(versions, tmp_path):
    with a_lan(*versions) as lan:
        machines = [lan.machine(plugged=False), lan.machine(plugged=False)]
        with (
            contextlib.closing(Source(machines[0])) as source,
            running(
                gateway_on(machines[0], tmp_path / "alice", "alice"),
                gateway_on(machines[1], tmp_path / "bob", "bob"),
            ) as (alice, bob),
        ):
            offer_web(alice, source.port)
            assert lan_of(alice)["interfaces"] == []
            assert "none; our tunnels listen on no network" in alice.run("status").stdout
            for machine in machines:
                lan.plug(machine)
            wait_for_heard(alice, bob, many=1)
            page, seconds = fetch(bob, f"web.{alice.id}.overlay")
            assert page == Source.HELLO
            assert seconds < FOUND_WITHIN
            wait_until(
                lambda: lan_of(bob)["mdns"] == list(versions), what=f"multicast DNS works: {lan_of(bob)}"
            )
            assert lan_of(bob)["fallback"] == list(versions)


@pytest.mark.parametrize("filtered", [(), (5353,), (7398,)], ids=["both ways", "without mDNS", "mDNS only"])
def test_who_leaves_says_goodbye(filtered, tmp_path):
    with a_lan() as lan:
        machines = [lan.machine() for _ in range(3)]
        for machine in machines:
            for port in filtered:
                machine.filter_udp(port)
        names = ("alice", "bob", "carol")
        with running(
            *(
                gateway_on(machine, tmp_path / name, name)
                for machine, name in zip(machines, names, strict=True)
            )
        ) as (alice, bob, carol):
            wait_for_heard(alice, bob, carol, many=2)
            carol.stop()
            wait_for_heard(alice, bob, many=1, seconds=5)
            assert "Traceback" not in carol.said()


def test_two_gateways_of_one_machine_find_each_other_and_a_third_one_elsewhere(tmp_path):
    with a_lan() as lan:
        one, other = lan.machine(), lan.machine()
        with (
            contextlib.closing(Source(one)) as source,
            running(
                gateway_on(one, tmp_path / "alice", "alice"),
                gateway_on(one, tmp_path / "bob", "bob"),
                gateway_on(other, tmp_path / "carol", "carol"),
            ) as (alice, bob, carol),
        ):
            offer_web(alice, source.port)
            wait_for_heard(alice, bob, carol, many=2)
            for each in (bob, carol):
                assert fetch(each, f"web.{alice.id}.overlay")[0] == Source.HELLO


def test_without_the_port_of_multicast_dns_our_own_datagrams_do_and_status_tells(tmp_path):
    with a_lan() as lan:
        machines = [lan.machine(), lan.machine()]
        with contextlib.ExitStack() as stack:
            taken = stack.enter_context(machines[1].socket(version=6))
            taken.bind(("::", 5353))  # and shares it with nobody
            source = stack.enter_context(contextlib.closing(Source(machines[0])))
            alice, bob = stack.enter_context(
                running(
                    gateway_on(machines[0], tmp_path / "alice", "alice"),
                    gateway_on(machines[1], tmp_path / "bob", "bob"),
                )
            )
            offer_web(alice, source.port)
            assert fetch(bob, f"web.{alice.id}.overlay")[0] == Source.HELLO
            assert lan_of(bob)["mdns"] == []
            assert "UDP port 5353 is taken" in lan_of(bob)["mdns_problem"]
            assert "UDP port 5353 is taken" in bob.run("status").stdout
            assert lan_of(bob)["fallback"] == [4, 6]


def test_nothing_is_said_on_the_networks_of_containers_and_of_other_overlays(tmp_path):
    with a_lan() as lan:
        machine = lan.machine()
        machine.ip(
            "link add docker0 type bridge",
            "addr add 172.17.0.1/16 dev docker0",
            "link set docker0 up",
            "link add wg0 type bridge",
            "addr add 10.200.0.1/24 dev wg0",
            "link set wg0 up",
        )
        with running(gateway_on(machine, tmp_path / "alice", "alice")) as (alice,):
            assert lan_of(alice)["interfaces"] == ["eth0"]
            groups = machine.run("ip", "maddr").stdout
            joined = {
                part.splitlines()[0].split()[0]: part
                for part in re.split(r"^\d+:\s+", groups, flags=re.M)
                if part
            }
            for group in ("224.0.0.251", "ff02::fb", "ff12::ef76:6c79"):
                assert group in joined["eth0"]
                for interface in ("docker0", "wg0", "lo"):
                    assert group not in joined[interface], f"{group} on {interface}"


@pytest.mark.parametrize(
    "config",
    [
        '[tunnels]\npath_policy = "relay-only"\n',
        '[tunnels]\nbind = ["127.0.0.1"]\n',
        "[lan]\nenabled = false\n",
    ],
    ids=["hidden", "loopback only", "off"],
)
def test_who_is_not_to_be_found_says_nothing(config, tmp_path):
    with a_lan() as lan:
        machines = [lan.machine(), lan.machine()]
        machines[0].nft(
            "add table inet lab; add chain inet lab out { type filter hook output priority 0; };"
            "add rule inet lab out udp dport { 5353, 7398 } counter"
        )
        with running(
            gateway_on(machines[0], tmp_path / "alice", "alice", config=config),
            gateway_on(machines[1], tmp_path / "bob", "bob"),
        ) as (alice, bob):
            assert bob.run("ping", alice.id, "--timeout", "3", check=False).returncode != 0
            assert "packets 0 bytes 0" in machines[0].run("nft", "list", "table", "inet", "lab").stdout


def test_a_reload_takes_us_off_the_local_network_and_puts_us_back(tmp_path):
    with a_lan() as lan:
        machines = [lan.machine(), lan.machine()]
        with running(
            gateway_on(machines[0], tmp_path / "alice", "alice"),
            gateway_on(machines[1], tmp_path / "bob", "bob"),
        ) as (alice, bob):
            wait_for_heard(bob, many=1)
            for hides in ('[tunnels]\npath_policy = "relay-only"\n', "[publish]\nlan = []\n"):
                (alice.home / "gateway.toml").write_text(hides)
                alice.run("reload")
                wait_for_heard(bob, many=0, seconds=5)
                assert lan_of(alice)["interfaces"] == ([] if "relay-only" in hides else ["eth0"])
                (alice.home / "gateway.toml").write_text("")
                alice.run("reload")
                wait_for_heard(bob, many=1, seconds=5)


@pytest.mark.needs("avahi-daemon", "avahi-browse", "dig")
def test_other_programs_see_the_service_with_its_record(tmp_path):
    with a_lan() as lan:
        machines = [lan.machine(), lan.machine()]
        with (
            running(gateway_on(machines[0], tmp_path / "alice", "alice")) as (alice,),
            Avahi(machines[1], tmp_path / "avahi").running() as avahi,
        ):
            found = wait_until(avahi.services, 15, "avahi finds it")
            port = alice.port("tunnels")
            for _, protocol, name, _, domain, host, address, at, text in found:
                assert (name, domain, host, int(at)) == (alice.id, "local", f"{alice.id}.local", port)
                assert address in (machines[0].address, machines[0].address6), protocol
                assert "txtvers=1" in text
            dug = machines[1].run(
                *("dig", f"@{machines[0].address}", "-p", "5353", "+short", "+time=2", "+tries=3"),
                *("_overlay._udp.local.", "PTR"),
            )
            assert f"{alice.id}._overlay._udp.local." in dug.stdout
            alice.stop()
            wait_until(lambda: not avahi.services(), 15, "avahi hears the goodbye")


def test_a_contact_that_is_heard_while_we_start_does_no_harm(tmp_path):
    """Its record comes with the first datagram that our sockets get, again and again."""
    with a_lan(4) as lan:
        speaker, machine = lan.machine(), lan.machine()
        bob = gateway_on(machine, tmp_path / "bob", "bob")
        with running(bob):
            bob.run("contacts", "add", "carol", str(key(3).endpoint_id))
            bob.stop()
            datagram = announcement(local_packet(3, signed_at=time_now()).to_bytes())
            said_enough = threading.Event()

            def speak() -> None:
                while not said_enough.wait(0.002):
                    voice.sendto(datagram, (machine.address, 7398))

            with speaker.socket() as voice:
                speaking = threading.Thread(target=speak)
                speaking.start()
                try:
                    bob.start()
                    wait_for_heard(bob, many=1)
                finally:
                    said_enough.set()
                    speaking.join()
            assert "192.0.2.1:7777" in bob.run("contacts").stdout
            assert "internal error" not in bob.said()
