"""A real gateway that has IPv6 only reaches one that has IPv4 only, through a real NAT64."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.beacons_real import beacon
from tests.lab.gateways import introduce, wait_until
from tests.lab.ipv6_homes import SERVER_IPV4, Ipv6Home, Translator
from tests.lab.meetings import home_of, put_on

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.needs("root", "ip", "nft", "conntrack", "tun", "tayga", "dnsmasq"),
    pytest.mark.timeout(120),
]


@pytest.fixture
def home() -> Iterator[Ipv6Home]:
    with Ipv6Home() as home:
        yield home


def test_an_ipv4_peer_is_reached_through_the_nat64_that_the_resolver_tells_of(home, tmp_path):
    home.leave_ipv4_only()
    with (
        Translator(home, tmp_path / "translator").running(),
        home.laptop.resolve_at("2001:db8:1::1"),
        put_on(home.server, tmp_path / "alice", nickname="alice") as alice,
        put_on(home.laptop, tmp_path / "bob", nickname="bob") as bob,
    ):
        introduce(alice, bob)
        wait_until(lambda: "64:ff9b::/96" in bob.run("logs").stdout, what="bob knows the NAT64")
        done = bob.run("ping", "-c", "3", "alice")
        assert f"via {SERVER_IPV4}:{alice.port('tunnels')} (direct)" in done.stdout
        told = [candidate for candidate in bob.json("status")["addresses"] if "64:ff9b" in candidate]
        assert told == [], "nobody is told of an address that means something in that network only"
        assert alice.run("ping", "-c", "1", "bob").returncode == 0


def test_without_a_nat64_the_peer_is_not_reached(home, tmp_path):
    home.leave_ipv4_only()
    with (
        put_on(home.server, tmp_path / "alice", nickname="alice") as alice,
        put_on(home.laptop, tmp_path / "bob", nickname="bob") as bob,
    ):
        introduce(alice, bob)
        assert bob.run("ping", "-c", "1", "--timeout", "2", "alice", check=False).returncode != 0


def test_the_nat64_is_measured_as_the_nat_that_it_is_and_its_outside_address_told(home, tmp_path):
    home.add_ipv4()
    stun = f'[stun]\nbind = ["{SERVER_IPV4}"]\n'
    with (
        Translator(home, tmp_path / "translator").running(),
        home.laptop.resolve_at("2001:db8:1::1"),
        beacon(tmp_path / "beacon", home.server, sections=stun) as running,
        put_on(home.laptop, tmp_path / "bob", nickname="bob", beacons=[running.url]) as bob,
    ):
        wait_until(lambda: home_of(bob), what="bob is at home at the beacon, over IPv6")
        wait_until(lambda: "64:ff9b::/96" in bob.run("logs").stdout, what="bob knows the NAT64")
        report = bob.json("netcheck")
        assert report["ipv4"]["nat64"] == "64:ff9b::/96"
        assert report["ipv4"]["external_ips"] == ["11.22.33.1"]
        assert report["ipv4"]["translated"] is True
        assert not report["ipv4"]["has_address"]
        assert report["ipv4"]["own_addresses"][0].startswith("11.22.33.1:"), "peers find us there"
        assert "through the NAT64" in bob.run("netcheck", "--max-age", "600").stdout
