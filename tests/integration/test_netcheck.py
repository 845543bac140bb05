"""`overlay netcheck` behind real NATs of the kernel, on a public machine, and where nothing answers."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.lab.beacons_real import beacon
from tests.lab.gateways import introduce, wait_until
from tests.lab.internet import an_internet
from tests.lab.meetings import DELAY, home_of, put_on
from tests.lab.resolver_keys import key

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from tests.lab.gateways import GatewayProcess
    from tests.lab.internet import Internet
    from tests.lab.networks import Machine

pytestmark = [pytest.mark.needs("root", "ip", "nft", "conntrack", "tun"), pytest.mark.timeout(120)]


@pytest.fixture
def internet() -> Iterator[Internet]:
    with an_internet(DELAY) as internet:
        yield internet


@contextlib.contextmanager
def a_beacon(place: Path, internet: Internet, *, addresses: int = 2) -> Iterator[str]:
    """The URL of one whose STUN server has so many addresses."""
    machine = internet.server("beacon")
    if addresses == 2:
        internet.plug(machine, "eth1")
    bind = [link.address for link in machine.links.values()]
    with beacon(place / "beacon", machine, sections=f"[stun]\nbind = {bind}\n".replace("'", '"')) as running:
        yield running.url


@contextlib.contextmanager
def at_home(place: Path, machine: Machine, url: str) -> Iterator[GatewayProcess]:
    with put_on(machine, place / "alice", nickname="alice", beacons=[url]) as gateway:
        wait_until(lambda: home_of(gateway), what="alice is at home at the beacon")
        yield gateway


class Patience(NamedTuple):
    """How long the router remembers is being found out, while other tests run: it takes half a minute."""

    alice: GatewayProcess
    before: list[float | None]
    """What was known of it before anybody asked."""
    told: Future[subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def patience(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patience]:
    place = tmp_path_factory.mktemp("patience")
    with an_internet(DELAY) as internet, ThreadPoolExecutor(1) as threads:
        home = internet.home("alice")
        home.router.run("sysctl", "-qw", "net.netfilter.nf_conntrack_udp_timeout_stream=10")
        with a_beacon(place, internet) as url, at_home(place, home.host("laptop"), url) as alice:
            before = alice.json("netcheck")["ipv4"]["lifetime"]
            yield Patience(alice, before, threads.submit(alice.run, "netcheck", "--lifetime", timeout=60))


def test_how_long_a_router_remembers_is_not_known_unless_one_asks(patience):
    assert patience.before == [None, None]


def test_a_port_restricted_home_is_recognized(internet, tmp_path, figure):
    home = internet.home("alice")
    with a_beacon(tmp_path, internet) as url, at_home(tmp_path, home.host("laptop"), url) as alice:
        report = alice.json("netcheck")
        figure(report["seconds"], aim=1.0, what="measuring")
        ipv4 = report["ipv4"]
        assert report["udp_blocked"] is False
        assert ipv4["translated"] is True
        assert ipv4["mapping"] == ipv4["own_mapping"] == "endpoint-independent"
        assert ipv4["filtering"] == "address-and-port-dependent"
        assert ipv4["allocation"] == "preserving"
        assert ipv4["external_ips"] == [home.public_address]
        assert ipv4["hairpin"] is False
        assert ipv4["inbound_first_poisons"] is False  # this router drops what comes unasked
        assert ipv4["nats"] == [1, 1]
        assert ipv4["outermost_nat"] == 1
        assert len(ipv4["own_addresses"]) == 1
        assert report["ipv6"]["has_address"] is False
        assert report["remedies"] == []
        again = alice.json("netcheck", "--max-age", "600", "--ladder")
        assert again["ipv4"] == ipv4
        assert again["network_class"] == "port-restricted"
        assert again["ladders"][0]["rungs"][0]["strategy"] == "direct dial"
        assert again["age"] > 0


def test_a_symmetric_home_is_recognized_and_told_what_would_help(internet, tmp_path):
    home = internet.home("alice", "symmetric")
    with a_beacon(tmp_path, internet) as url, at_home(tmp_path, home.host("laptop"), url) as alice:
        report = alice.json("netcheck")
        ipv4 = report["ipv4"]
        assert ipv4["mapping"] == ipv4["own_mapping"] == "address-and-port-dependent"
        assert ipv4["filtering"] == "address-and-port-dependent"
        assert ipv4["allocation"] == "random"
        assert len(ipv4["own_addresses"]) > 1
        done = alice.run("netcheck", "--max-age", "600")
        assert "IPv4 mapping" in done.stdout
        assert f"forward UDP {alice.port('tunnels')} in the router to this machine" in done.stdout
        assert "measured" in done.stderr


def test_a_public_machine_is_recognized(internet, tmp_path):
    server = internet.server("alice")
    with a_beacon(tmp_path, internet) as url, at_home(tmp_path, server, url) as alice:
        ipv4 = alice.json("netcheck")["ipv4"]
        assert ipv4["translated"] is False
        assert ipv4["mapping"] == "endpoint-independent"
        assert ipv4["filtering"] == "endpoint-independent"
        assert ipv4["external_ips"] == [server.address]
        assert ipv4["nats"] == [0, 0]


def test_two_nats_are_counted(internet, tmp_path):
    provider = internet.provider("provider")
    home = internet.home("alice", behind=provider)
    with a_beacon(tmp_path, internet) as url, at_home(tmp_path, home.host("laptop"), url) as alice:
        report = alice.json("netcheck")
        assert report["seconds"] < 3, "the way is looked at meanwhile"
        assert report["ipv4"]["nats"] == [2, 2]
        assert report["ipv4"]["outermost_nat"] == 2
        assert "IPv4 NATs" in alice.run("netcheck", "--max-age", "600").stdout


def test_where_routers_say_nothing_one_nat_is_all_that_is_known(internet, tmp_path):
    home = internet.home("alice", behind=internet.provider("provider"))
    home.router.nft(
        "table ip silence {\nchain out {\ntype filter hook output priority 0; policy accept;\n"
        "icmp type time-exceeded drop\n}\nchain through {\ntype filter hook forward priority 0; policy accept;\n"
        "icmp type time-exceeded drop\n}\n}"
    )
    with a_beacon(tmp_path, internet) as url, at_home(tmp_path, home.host("laptop"), url) as alice:
        ipv4 = alice.json("netcheck")["ipv4"]
        assert ipv4["nats"][0] == 1
        assert ipv4["mapping"] == "endpoint-independent"


def test_with_a_beacon_of_one_address_much_stays_unknown(internet, tmp_path):
    home = internet.home("alice")
    with (
        a_beacon(tmp_path, internet, addresses=1) as url,
        at_home(tmp_path, home.host("laptop"), url) as alice,
    ):
        report = alice.json("netcheck")
        assert report["udp_blocked"] is False
        assert report["ipv4"]["mapping"] == report["ipv4"]["filtering"] == "unknown"
        assert any("two addresses" in remedy for remedy in report["remedies"])


def test_blocked_udp_is_told_and_a_changed_network_is_measured_anew(internet, tmp_path):
    home = internet.home("alice")
    home.tcp443_only()
    laptop = home.host("laptop")
    with a_beacon(tmp_path, internet) as url, at_home(tmp_path, laptop, url) as alice:
        done = alice.run("netcheck", check=False)
        assert done.returncode == 1
        assert "let UDP out of this network" in done.stdout
        internet.move(laptop, internet.home("office"))
        wait_until(
            lambda: alice.run("netcheck", "--max-age", "600", check=False).returncode == 0,
            what="UDP works in the office, whatever is remembered of the home",
        )


def test_without_a_beacon_it_says_what_to_do(internet, tmp_path):
    home = internet.home("alice")
    with put_on(home.host("laptop"), tmp_path / "alice", nickname="alice") as alice:
        done = alice.run("netcheck", check=False)
        assert done.returncode == 1
        assert "overlay up --beacon URL" in done.stderr
        assert done.stdout == ""


def test_what_would_be_tried_with_a_peer_goes_by_what_it_tells_of_its_network(internet, tmp_path):
    homes = internet.home("alice"), internet.home("bob", "symmetric")
    with a_beacon(tmp_path, internet) as url, contextlib.ExitStack() as stack:
        alice, bob = (
            stack.enter_context(put_on(home.host("laptop"), tmp_path / name, nickname=name, beacons=[url]))
            for name, home in zip(("alice", "bob"), homes, strict=True)
        )
        for each in (alice, bob):
            wait_until(lambda each=each: home_of(each), what="both are at home at the beacon")
        introduce(alice, bob)
        alice.run("contacts", "add", "carol", str(key(1).endpoint_id))
        silent = alice.run("netcheck", "--max-age", "600", "--ladder", "carol", check=False)
        assert silent.returncode == 1
        assert "make one with: overlay ping carol" in silent.stderr
        alice.run("ping", "bob", "--count", "1")

        def told() -> dict[str, Any]:
            (ladder,) = alice.json("netcheck", "--max-age", "600", "--ladder", "bob")["ladders"]
            return ladder

        wait_until(lambda: told()["peer"] == "bob: symmetric, random ports", what="bob tells of his network")
        assert [rung["is_direct"] for rung in told()["rungs"]][-2:] == [False, False]


def test_a_router_that_forgets_soon_is_found_out_for_who_asks(patience):
    done = patience.told.result()
    assert "0 to 25 s" in done.stdout
    assert "up to three minutes" in done.stderr
    assert patience.alice.json("netcheck", "--max-age", "600")["ipv4"]["lifetime"] == [None, 25]
