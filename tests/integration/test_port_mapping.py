"""Real gateways behind real miniupnpd: a port is mapped by each protocol, verified by a real beacon, and given back."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.lab.gateways import wait_until
from tests.lab.mapping_routers import mapping_router
from tests.lab.meetings import a_meeting, put_on

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.gateways import GatewayProcess
    from tests.lab.mapping_routers import MappingRouter
    from tests.lab.meetings import Meeting

pytestmark = [
    pytest.mark.needs("root", "ip", "nft", "conntrack", "curl", "miniupnpd"),
    pytest.mark.timeout(120),
]


@contextlib.contextmanager
def behind(
    place: Path, *spoken: str, beacon: bool = True
) -> Iterator[tuple[Meeting, MappingRouter, GatewayProcess]]:
    """A gateway in a home with a symmetric NAT, whose router speaks these."""
    with a_meeting(place, delay=0.0) as meeting:
        urls = [meeting.add_beacon(meeting.internet.server("beacon")).url] if beacon else []
        home = meeting.internet.home("alice", "symmetric", net=2)
        with (
            mapping_router(home, place / "router", *spoken) as router,
            put_on(home.host("laptop"), place / "alice", nickname="alice", beacons=urls) as alice,
        ):
            yield meeting, router, alice


def mapping_of(gateway: GatewayProcess) -> dict[str, str]:
    return gateway.json("status")["port_mapping"]


def wait_for(gateway: GatewayProcess, state: str, seconds: float = 15.0) -> dict[str, str]:
    """Until the mapping is in that state."""
    wait_until(
        lambda: mapping_of(gateway).get("state", "") == state, seconds, f"{state}: {mapping_of(gateway)}"
    )
    return mapping_of(gateway)


@pytest.mark.parametrize("protocol", ["PCP", "NAT-PMP", "UPnP"])
def test_a_port_is_mapped_by_each_protocol_alone_verified_and_given_back(tmp_path, protocol):
    with behind(tmp_path, protocol) as (_, router, alice):
        mapping = wait_for(alice, "verified")
        assert mapping["protocol"] == protocol
        assert mapping["external"].startswith(router.home.public_address)
        assert mapping["external"].rpartition(":")[2] in router.mapped()
        assert f"verified  ({protocol} at 192.168.1.1)" in alice.run("status").stdout
        report = alice.json("netcheck")
        assert report["router"]["external"] == mapping["external"]
        assert report["router"]["state"] == "verified"
        assert {one["protocol"]: one["support"] for one in report["router"]["protocols"]}[
            protocol
        ] == "grants"
        assert report["ipv4"]["nats"] == [1, 1], "the router says itself that it is the only one"
        alice.stop()
        wait_until(lambda: not router.mapped(), what="the mapping is given back")


def test_of_all_protocols_one_mapping_is_kept(tmp_path):
    with behind(tmp_path, "PCP", "NAT-PMP", "UPnP") as (_, router, alice):
        assert wait_for(alice, "verified")["protocol"] == "PCP"
        assert len(router.mapped().splitlines()) == 1


def test_without_a_beacon_that_could_try_it_the_mapping_counts_as_unverified(tmp_path):
    with behind(tmp_path, "PCP", beacon=False) as (_, _router, alice):
        assert wait_for(alice, "unverified")["protocol"] == "PCP"


def test_a_mapping_that_lets_nothing_in_is_not_told_of(tmp_path):
    with behind(tmp_path, "PCP", beacon=False) as (meeting, router, alice):
        wait_for(alice, "unverified")
        router.home._unasked = ""  # the router lists and renews it, and its firewall lets nothing in
        router.home._apply()
        alice.stop()
        alice._flags += ["--beacon", meeting.add_beacon(meeting.internet.server("beacon")).url]
        alice.start()
        assert "lets nothing in" in wait_for(alice, "dead", 60)["problem"], "each of three ports was tried"


def test_a_router_without_a_public_address_is_told_of_in_words(tmp_path):
    with a_meeting(tmp_path, delay=0.0) as meeting:
        home = meeting.internet.home(
            "alice", "symmetric"
        )  # at an address that miniupnpd takes for no public one
        with (
            mapping_router(home, tmp_path / "router", "PCP", "NAT-PMP", "UPnP"),
            put_on(home.host("laptop"), tmp_path / "alice", nickname="alice") as alice,
        ):
            problem = wait_until(lambda: mapping_of(alice).get("problem"), 30, "a problem")
            assert "PCP: it has no room for another mapping, or no public address" in problem
            assert "NAT-PMP and UPnP: it has no public address" in problem
            assert "192.168.1.1" in alice.run("status").stdout


def test_netcheck_tells_of_a_router_behind_another_nat(tmp_path):
    with a_meeting(tmp_path, delay=0.0) as meeting:
        url = meeting.add_beacon(meeting.internet.server("beacon")).url
        home = meeting.internet.home("alice", "symmetric", behind=meeting.internet.provider("provider"))
        with (
            mapping_router(home, tmp_path / "router", "PCP", "UPnP"),
            put_on(home.host("laptop"), tmp_path / "alice", nickname="alice", beacons=[url]) as alice,
        ):
            wait_until(lambda: mapping_of(alice).get("problem"), 30, "a problem")
            report = alice.json("netcheck")
            support = {one["protocol"]: one["support"] for one in report["router"]["protocols"]}
            assert support == {"PCP": "refuses", "NAT-PMP": "absent", "UPnP": "refuses"}
            assert report["ipv4"]["nats"] == [2, 2]
            told = alice.run("netcheck", "--max-age", "600").stdout
            assert "mapped port" in told
            assert "another NAT stands before it" in told


def test_with_port_mapping_off_the_router_is_asked_nothing(tmp_path):
    with a_meeting(tmp_path, delay=0.0) as meeting:
        home = meeting.internet.home("alice", net=2)
        with (
            mapping_router(home, tmp_path / "router", "PCP", "NAT-PMP", "UPnP") as router,
            put_on(
                home.host("laptop"),
                tmp_path / "alice",
                nickname="alice",
                config='[tunnels]\nport_mapping = "off"\n',
            ) as alice,
        ):
            assert not alice.json("status").get("port_mapping")
            assert "PCP" not in router.said().split("Listening for NAT-PMP/PCP traffic")[-1]


@pytest.mark.parametrize("protocol", ["PCP", "UPnP"])
def test_between_symmetric_nats_a_mapping_makes_the_path_direct(tmp_path, protocol):
    with a_meeting(tmp_path, delay=0.0) as meeting:
        meeting.add_beacon(meeting.internet.server("beacon"))
        homes = meeting.internet.home("alice", "symmetric", net=2), meeting.internet.home("bob", "symmetric")
        with mapping_router(homes[0], tmp_path / "router", protocol) as router:
            meeting.start(*(home.host("laptop") for home in homes))
            external = wait_for(meeting.alice, "verified")["external"]
            meeting.first_byte()
            meeting.wait_for_path("direct")
            assert meeting.path()[1] == external
            assert router.home.public_address == external.partition(":")[0]
            meeting.wait_for_path("direct", whose="alice")
