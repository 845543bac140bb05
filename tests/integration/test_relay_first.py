"""Two homes behind NATs meet over a relay and move to something better; a friend or coturn as relay; path policies."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.beacons_real import coturn
from tests.lab.gateways import wait_until
from tests.lab.meetings import (
    DELAY,
    MOST_SECONDS,
    a_meeting,
    path_in,
    put_on,
    steady_download,
    two_homes,
)
from tests.lab.transfers import MEGABYTE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.beacons_real import TurnProcess
    from tests.lab.meetings import Meeting
    from tests.lab.networks import Home, Nat

pytestmark = [
    pytest.mark.needs("root", "ip", "nft", "conntrack", "tun", "curl"),
    pytest.mark.timeout(180),
]

RELAY_ROUND_TRIP = 4 * DELAY
HALF_A_GIGABYTE = 500_000_000


def test_the_first_byte_comes_over_the_relay_and_a_direct_path_follows(tmp_path, figure):
    with two_homes(tmp_path) as (meeting, *_):
        meeting.restart_bob()
        begun = time.monotonic()
        seconds = meeting.first_byte()
        figure(seconds, aim=3 * RELAY_ROUND_TRIP + 0.3, what="first byte")
        assert seconds < MOST_SECONDS
        meeting.wait_for_path("direct")
        figure(time.monotonic() - begun, aim=2.0, what="direct path, as a new process learns it")
        assert meeting.path()[1].startswith(meeting.alice.namespace.public_address)


def test_a_ping_tells_of_the_relay_and_then_of_the_direct_path_and_why(tmp_path):
    with two_homes(tmp_path) as (meeting, alice, bob):
        meeting.restart_bob()
        meeting.internet.blackhole(alice, bob)  # the direct path is often there before the first pong
        meeting.internet.blackhole(bob, alice)
        with meeting.bob.saying("ping", "alice") as lines:
            said = [next(lines)]
            meeting.internet.mend()
            said += lines
        paths = [path for line in said if (path := path_in(line))]
        assert paths[0] == ("relay", meeting.beacons[0].machine.address)
        assert paths[-1][0] == "direct", "it stops early when the path is direct"
        explained = meeting.explained()
        assert "192.168.1.10" in explained, "the candidates of both sides are told"
        assert meeting.alice.namespace.public_address in explained


def test_half_a_gigabyte_that_begins_on_the_relay_ends_whole_on_the_direct_path(tmp_path, figure):
    with two_homes(tmp_path) as (meeting, *_):
        transfer = meeting.download(f"bulk?bytes={HALF_A_GIGABYTE}")
        transfer.wait_for(1, 20)
        transfer.mark()
        transfer.wait_for(1 << 20, 20)
        figure(meeting.wait_for_path("direct"), aim=2.0, what="direct path")
        transfer.finish(meeting.source, 120)
        assert transfer.received == HALF_A_GIGABYTE
        assert meeting.path()[0] == "direct"
        figure(transfer.gap, aim=1.0, what="longest silence")
        relayed = meeting.beacons[0].metrics()["overlay_beacon_relayed_bytes_total"]
        assert 1000 < relayed < HALF_A_GIGABYTE, "it began on the relay, and left it"


def test_between_symmetric_nats_the_relay_stays(tmp_path):
    with two_homes(tmp_path, nat="symmetric") as (meeting, *_):
        with steady_download(meeting, "relay"):
            assert meeting.path() == ("relay", meeting.beacons[0].machine.address)


@contextlib.contextmanager
def homes_with_coturn(place: Path, nat: Nat) -> Iterator[tuple[Meeting, TurnProcess, Home, Home]]:
    """Alice and bob behind such NATs, and a beacon that has a TURN server."""
    with a_meeting(place) as meeting, coturn(meeting.internet.server("coturn")) as turn:
        meeting.add_beacon(meeting.internet.server("beacon"), turn.section)
        homes = [meeting.internet.home(name, nat) for name in ("alice", "bob")]
        meeting.start(*(home.host("laptop") for home in homes))
        yield meeting, turn, *homes


@pytest.mark.needs("turnserver")
def test_between_symmetric_nats_coturn_relays_udp_where_the_beacon_has_one(tmp_path, figure):
    with homes_with_coturn(tmp_path, "symmetric") as (meeting, *_):
        meeting.first_byte()
        figure(meeting.wait_for_path("TURN", seconds=30), aim=3.0)
        with steady_download(meeting, "TURN"):
            before = meeting.beacons[0].metrics()["overlay_beacon_relayed_bytes_total"]
        relayed = meeting.beacons[0].metrics()["overlay_beacon_relayed_bytes_total"] - before
        assert relayed < MEGABYTE, "the beacon has no part in it"


@pytest.mark.needs("turnserver")
def test_where_coturn_is_started_anew_the_relay_takes_over_until_there_is_another_allocation(
    tmp_path, figure
):
    with homes_with_coturn(tmp_path, "symmetric") as (meeting, turn, *_):
        with steady_download(meeting, "TURN") as transfer:
            turn.kill()
            meeting.wait_for_path("relay", seconds=30)
            figure(transfer.gap, aim=1.0, what="longest silence")
            turn.start()
            figure(meeting.wait_for_path("TURN", seconds=60), aim=20.0, what="TURN again")


@pytest.mark.needs("turnserver")
def test_where_nats_show_both_to_coturn_at_other_ports_the_download_goes_on_by_turn(tmp_path, figure):
    with homes_with_coturn(tmp_path, "symmetric") as (meeting, _turn, alice, bob):
        with steady_download(meeting, "TURN") as transfer:
            for home in (alice, bob):
                home.flush_mapping()
            transfer.wait_for(MEGABYTE, MOST_SECONDS)
            figure(meeting.wait_for_path("TURN", seconds=60), aim=5.0, what="TURN again")
            transfer.wait_for(8 * MEGABYTE, MOST_SECONDS)
            figure(transfer.gap, aim=1.0, what="longest silence")
            assert meeting.wait_for_path("TURN", seconds=30) < 30


@pytest.mark.needs("turnserver")
def test_relay_only_may_use_coturn_and_direct_only_may_not(tmp_path):
    with homes_with_coturn(tmp_path, "port-restricted") as (meeting, *_):
        with steady_download(meeting, "direct"):
            meeting.bob.run("contacts", "path", "alice", "relay-only")
            meeting.wait_for_path("TURN", seconds=30)
            meeting.bob.run("contacts", "path", "alice", "direct-only")
            meeting.wait_for_path("direct", seconds=30)
        assert "TURN" not in meeting.explained().partition("Paths to alice")[2]


def test_customers_of_one_provider_without_hairpinning_keep_the_relay(tmp_path):
    with a_meeting(tmp_path) as meeting:
        meeting.add_beacon(meeting.internet.server("beacon"))
        provider = meeting.internet.provider("isp")
        meeting.start(
            *(meeting.internet.home(name, behind=provider).host("laptop") for name in ("alice", "bob"))
        )
        assert meeting.first_byte() < MOST_SECONDS
        with steady_download(meeting, "relay"):
            pass


def test_on_one_lan_the_path_is_the_lan_even_with_docker_on_both(tmp_path, figure):
    with a_meeting(tmp_path) as meeting:
        meeting.add_beacon(meeting.internet.server("beacon"))
        home = meeting.internet.home("home")
        machines = home.host("desk"), home.host("laptop")
        for machine in machines:
            machine.add_docker()
        meeting.start(*machines)
        figure(meeting.first_byte(), aim=3 * RELAY_ROUND_TRIP + 0.3, what="first byte")
        figure(meeting.wait_for_path("LAN"), aim=2.0, what="LAN path")
        assert meeting.path()[1].startswith("192.168.1.")


def test_policies_move_a_running_download_to_the_relay_and_back(tmp_path, figure):
    with two_homes(tmp_path) as (meeting, *_), steady_download(meeting, "direct") as transfer:
        meeting.bob.run("contacts", "path", "alice", "relay-only")
        meeting.wait_for_path("relay")
        meeting.bob.run("contacts", "path", "alice", "auto")
        meeting.wait_for_path("direct", seconds=30)
        figure(transfer.gap, aim=1.0)


def test_no_lan_keeps_off_the_lan_and_direct_only_off_the_relay(tmp_path):
    with a_meeting(tmp_path) as meeting:
        meeting.add_beacon(meeting.internet.server("beacon"))
        home = meeting.internet.home("home")
        meeting.start(home.host("desk"), home.host("laptop"))
        meeting.first_byte()
        meeting.wait_for_path("LAN")
        meeting.bob.run("contacts", "path", "alice", "no-lan")
        meeting.wait_for_path("relay")  # one address outside, and no hairpinning
        meeting.bob.run("contacts", "path", "alice", "direct-only")
        meeting.wait_for_path("LAN")


def test_direct_only_is_dialled_by_a_call_through_the_beacon_which_carries_no_datagram(tmp_path, figure):
    with two_homes(tmp_path) as (meeting, *_):
        meeting.bob.run("contacts", "path", "alice", "direct-only")
        meeting.restart_bob()
        before = meeting.beacons[0].metrics()["overlay_beacon_relayed_bytes_total"]
        figure(meeting.first_byte(), aim=1.0, what="first byte")
        assert meeting.path()[0] == "direct"
        assert meeting.beacons[0].metrics()["overlay_beacon_relayed_bytes_total"] - before < 5000, (
            "alice asks about the relay, too"
        )


def test_a_friend_with_a_public_address_lends_the_relay(tmp_path):
    with a_meeting(tmp_path) as meeting:
        friend = meeting.internet.server("friend")
        lend = (
            '[lend]\nenabled = true\nto = "all"\nhost = "0.0.0.0"\nport = 443\n'
            f'public_url = "https://{friend.address}"\n'
        )
        with put_on(friend, tmp_path / "carol", nickname="carol", config=lend) as carol:
            urls = [f"https://{friend.address}#{carol.id}"]
            homes = [meeting.internet.home(name, "symmetric") for name in ("alice", "bob")]
            meeting.start(*(home.host("laptop") for home in homes), alice_beacons=urls, bob_beacons=urls)
            assert meeting.first_byte() < MOST_SECONDS
            assert meeting.path() == ("relay", friend.address)


def test_the_status_tells_of_the_beacon_and_of_the_tunnels_path(tmp_path):
    with two_homes(tmp_path) as (meeting, *_):
        meeting.first_byte()
        meeting.wait_for_path("direct")
        beacon = meeting.beacons[0].machine.address
        wait_until(lambda: beacon in meeting.bob.run("status").stdout, what="the beacon is in the status")
        said = meeting.bob.run("status").stdout
        assert "direct" in said
        assert meeting.bob.namespace.public_address in said, "the address that the beacon observed"
