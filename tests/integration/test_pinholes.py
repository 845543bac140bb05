"""A real gateway in a home with IPv6 asks real miniupnpd for a pinhole; a real beacon comes in by it."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from tests.lab.beacons_real import beacon
from tests.lab.gateways import wait_until
from tests.lab.ipv6_homes import LAPTOP, Ipv6Home, PinholeDaemon
from tests.lab.meetings import put_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.gateways import GatewayProcess

pytestmark = [
    pytest.mark.needs("root", "ip", "nft", "conntrack", "miniupnpd"),
    pytest.mark.timeout(120),
]


@pytest.fixture
def home() -> Iterator[Ipv6Home]:
    with Ipv6Home() as home:
        yield home


def pinhole_of(gateway: GatewayProcess) -> dict[str, str]:
    return gateway.json("status")["pinhole"]


def test_a_pinhole_is_opened_verified_over_ipv6_told_and_closed(home, tmp_path):
    with (
        beacon(tmp_path / "beacon", home.server, sections='[stun]\nbind = ["2001:db8:2::2"]\n') as running,
        PinholeDaemon(home, tmp_path / "router").running() as router,
        put_on(home.laptop, tmp_path / "alice", nickname="alice", beacons=[running.url]) as alice,
    ):
        wait_until(
            lambda: pinhole_of(alice)["state"] == "verified", 20, f"{pinhole_of(alice)}: {router.said()}"
        )
        at = f"[{LAPTOP}]:{alice.port('tunnels')}"
        assert pinhole_of(alice)["external"] == at
        assert pinhole_of(alice)["router"] == "fe80::1%eth0"
        packed = int(ip_address(LAPTOP))
        assert f"{packed:#034x}" in router.pinholes()
        assert "IPv6 pinhole" in alice.run("status").stdout
        report = alice.json("netcheck")
        assert report["firewall"]["external"] == at
        assert report["firewall"]["protocols"] == [{"protocol": "PCP", "support": "grants", "reason": ""}]
        assert report["ipv6"]["nats"] == [0, 0]
        alice.stop()
        wait_until(lambda: not router.pinholes(), what="the pinhole is closed")


def test_a_router_without_pinholes_is_no_problem(home, tmp_path):
    with (
        beacon(tmp_path / "beacon", home.server, sections='[stun]\nbind = ["2001:db8:2::2"]\n') as running,
        put_on(home.laptop, tmp_path / "alice", nickname="alice", beacons=[running.url]) as alice,
    ):
        wait_until(lambda: "does not answer" in pinhole_of(alice)["problem"], 20, "it gave up")
        assert "IPv6 pinhole" not in alice.run("status").stdout
        report = alice.json("netcheck")
        assert report["firewall"]["protocols"][0]["support"] == "absent"
        assert report["ipv6"]["filtering"] == "unknown", "the server has one address"
