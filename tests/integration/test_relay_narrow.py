"""Networks that let almost nothing out, and no beacon at all: what works must work there too."""

from __future__ import annotations

import time

import pytest

from tests.lab.gateways import wait_until
from tests.lab.meetings import MOST_SECONDS, a_meeting, steady_download
from tests.lab.networks import PROXY_PORT

pytestmark = [
    pytest.mark.needs("root", "ip", "nft", "conntrack", "tun", "curl"),
    pytest.mark.timeout(180),
]

QUIET_SECONDS = 35.0
"""Longer than a NAT keeps a UDP flow and than our heartbeat: what only seems to be up is found out."""


def stays_up(meeting, figure) -> None:
    """A download runs for some seconds; after a quiet time, the next request is served as fast as any."""
    with steady_download(meeting, "relay") as transfer:
        transfer.wait_for(20_000_000, 30)
    figure(transfer.gap, aim=1.0, what="longest silence")
    quiet = time.monotonic() + QUIET_SECONDS
    wait_until(lambda: time.monotonic() > quiet, QUIET_SECONDS + 5)
    seconds = meeting.first_byte()
    figure(seconds, aim=0.5, what="first byte after a quiet time")
    assert seconds < 3.0


@pytest.mark.parametrize("both", [False, True], ids=["one side", "both sides"])
def test_where_only_tcp_443_gets_out_the_relay_serves(tmp_path, figure, both):
    with a_meeting(tmp_path) as meeting:
        meeting.add_beacon(meeting.internet.server("beacon"))
        home, office = meeting.internet.home("alice"), meeting.internet.home("office")
        office.tcp443_only()
        if both:
            home.tcp443_only()
        meeting.start(home.host("laptop"), office.host("desk"))
        seconds = meeting.first_byte()
        figure(seconds, aim=3.0, what="first byte")
        assert seconds < MOST_SECONDS
        stays_up(meeting, figure)


@pytest.mark.needs("tinyproxy")
def test_where_only_an_http_proxy_gets_out_the_relay_serves(tmp_path, figure):
    with a_meeting(tmp_path) as meeting:
        meeting.add_beacon(meeting.internet.server("beacon"))
        proxy = meeting.internet.connect_proxy()
        home, office = meeting.internet.home("alice"), meeting.internet.home("office")
        for each in (home, office):
            each.proxy_only(proxy)
        meeting.start(
            home.host("laptop"),
            office.host("desk"),
            config=f'[beacons]\nproxy = "http://{proxy.address}:{PROXY_PORT}"\n',
        )
        seconds = meeting.first_byte()
        figure(seconds, aim=3.0, what="first byte")
        assert seconds < MOST_SECONDS
        stays_up(meeting, figure)


def test_a_network_that_begins_to_refuse_udp_moves_a_download_to_the_relay_and_back(tmp_path, figure):
    with a_meeting(tmp_path) as meeting:
        meeting.add_beacon(meeting.internet.server("beacon"))
        home, office = meeting.internet.home("alice"), meeting.internet.home("office")
        meeting.start(home.host("laptop"), office.host("desk"))
        with steady_download(meeting, "direct") as transfer:
            office.tcp443_only()
            meeting.wait_for_path("relay")
            figure(transfer.gap, aim=1.0, what="to the relay")
            office.open_up()
            transfer.mark()
            meeting.wait_for_path("direct", seconds=90)
        figure(transfer.gap, aim=1.0, what="back")


@pytest.mark.parametrize("beacon", ["none was ever there", "it is gone"])
def test_two_contacts_on_one_lan_need_no_beacon(tmp_path, figure, beacon):
    with a_meeting(tmp_path) as meeting:
        if beacon == "it is gone":
            meeting.add_beacon(meeting.internet.server("beacon"))
        home = meeting.internet.home("home")
        meeting.start(home.host("desk"), home.host("laptop"))
        if beacon == "it is gone":
            meeting.first_byte()
            meeting.internet.cut_off(meeting.beacons[0].machine)
            for gateway in (meeting.alice, meeting.bob):
                gateway.stop()
                gateway.start()
        seconds = meeting.first_byte()
        figure(seconds, aim=1.0)
        assert seconds < MOST_SECONDS


@pytest.mark.parametrize("beacon", ["none was ever there", "it is gone"])
def test_a_contact_with_a_public_address_needs_no_beacon(tmp_path, figure, beacon):
    with a_meeting(tmp_path) as meeting:
        if beacon == "it is gone":
            meeting.add_beacon(meeting.internet.server("beacon"))
        meeting.start(meeting.internet.server("alice"), meeting.internet.home("bob").host("laptop"))
        if beacon == "it is gone":
            meeting.first_byte()
            meeting.internet.cut_off(meeting.beacons[0].machine)
            for gateway in (meeting.alice, meeting.bob):
                gateway.stop()
                gateway.start()
        seconds = meeting.first_byte()
        figure(seconds, aim=1.0)
        assert seconds < MOST_SECONDS
