"""Two homes that let no UDP out: gateways in them reach each other by a direct TCP connection."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.gateways import wait_until
from tests.lab.meetings import a_meeting, steady_download
from tests.lab.transfers import MEGABYTE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.meetings import Meeting
    from tests.lab.networks import Home

pytestmark = [
    pytest.mark.needs("root", "ip", "nft", "conntrack", "tun", "curl"),
    pytest.mark.timeout(180),
]

TCP_ONLY = "meta l4proto tcp accept"
PATIENCE = 45.0
"""Seconds: both measure their networks first, which takes the longest where nothing comes back."""


@contextlib.contextmanager
def two_homes_without_udp(place: Path, *, blocked: int = 2) -> Iterator[tuple[Meeting, Home, Home]]:
    """Alice and bob in homes of which the last so many let out TCP only."""
    with a_meeting(place) as meeting:
        meeting.add_beacon(meeting.internet.server("beacon"))
        homes = meeting.internet.home("alice"), meeting.internet.home("bob")
        for home in homes[-blocked:]:
            home.allow_only(TCP_ONLY)
        meeting.start(*(home.host("laptop") for home in homes))
        yield meeting, *homes


@pytest.mark.parametrize("blocked", [2, 1])
def test_where_udp_is_blocked_a_download_moves_from_the_relay_to_a_direct_tcp_connection(
    tmp_path, figure, blocked
):
    with two_homes_without_udp(tmp_path, blocked=blocked) as (meeting, alice, bob):
        begun = time.monotonic()
        meeting.first_byte()
        with steady_download(meeting, "relay", "TCP"):
            meeting.wait_for_path("TCP", seconds=PATIENCE)
            figure(time.monotonic() - begun, aim=8.0, what="direct TCP path")
            assert meeting.path()[1].startswith(alice.public_address)
            meeting.wait_for_path("TCP", whose="alice", seconds=5)
            assert meeting.path("alice")[1].startswith(bob.public_address)
            before = meeting.beacons[0].metrics()["overlay_beacon_relayed_bytes_total"]
        relayed = meeting.beacons[0].metrics()["overlay_beacon_relayed_bytes_total"] - before
        assert relayed < MEGABYTE, "the beacon has no part in it"
        assert "(TCP" in meeting.bob.run("ping", "alice", "--count", "1").stdout


def test_where_routers_refuse_what_comes_unasked_it_is_tried_until_both_have_opened(tmp_path):
    with two_homes_without_udp(tmp_path) as (meeting, *homes):
        for home in homes:
            home.router.nft("insert rule ip home own iifname eth0 ct state new reject with tcp reset")
        meeting.first_byte()
        with steady_download(meeting, "relay", "TCP"):
            meeting.wait_for_path("TCP", seconds=PATIENCE)


def test_a_tcp_path_that_dies_gives_way_to_the_relay_and_comes_back(tmp_path, figure):
    with two_homes_without_udp(tmp_path) as (meeting, alice, bob):
        meeting.first_byte()
        with steady_download(meeting, "relay", "TCP") as transfer:
            meeting.wait_for_path("TCP", seconds=PATIENCE)
            transfer.mark()
            for home in (alice, bob):
                home.forget_flows()
            meeting.internet.blackhole(alice, bob)
            meeting.internet.blackhole(bob, alice)
            meeting.wait_for_path("relay", seconds=30)
            transfer.wait_for(MEGABYTE, 20)
            figure(transfer.gap, aim=1.0, what="longest silence")
            meeting.internet.mend()
            figure(meeting.wait_for_path("TCP", seconds=120), aim=20.0, what="TCP again")


def test_where_udp_comes_back_the_tcp_path_is_left_for_it(tmp_path):
    with two_homes_without_udp(tmp_path) as (meeting, *homes):
        meeting.first_byte()
        with steady_download(meeting, "relay", "TCP"):
            meeting.wait_for_path("TCP", seconds=PATIENCE)
            for home in homes:
                home.allow_only("accept")
            meeting.wait_for_path("direct", seconds=120)
        wait_until(lambda: meeting.path()[0] == "direct", what="it stays")


def test_a_firewall_that_lets_out_port_443_only_leaves_the_relay(tmp_path):
    with two_homes_without_udp(tmp_path) as (meeting, *homes):
        for home in homes:
            home.tcp443_only()
        meeting.restart_bob()
        meeting.first_byte()
        with steady_download(meeting, "relay"):
            wait_until(
                lambda: "TCP simultaneous open did not work" in meeting.explained(),
                60,
                what="it was tried in vain",
            )
            assert meeting.path()[0] == "relay"
