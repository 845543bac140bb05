"""Whatever happens to the networks under a running download, nothing is lost and it goes on by itself."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.gateways import wait_until
from tests.lab.meetings import MOST_SECONDS, steady_download, two_homes

if TYPE_CHECKING:
    from tests.lab.meetings import Meeting

pytestmark = [
    pytest.mark.needs("root", "ip", "nft", "conntrack", "tun", "curl"),
    pytest.mark.timeout(180),
]

SLEEP_SECONDS = 60.0
ANOTHER_LIVES, ONE_IS_MADE = 1.0, 3.0
"""What is aimed at where another path is there already, and where one must be made."""


def test_the_relay_is_killed_under_the_direct_path(tmp_path, figure):
    with two_homes(tmp_path) as (meeting, *_), steady_download(meeting, "direct") as transfer:
        meeting.beacons[0].kill()
    figure(transfer.gap, aim=ANOTHER_LIVES)
    assert transfer.gap < MOST_SECONDS


def test_the_relay_is_killed_under_a_relayed_download_and_the_next_beacon_takes_over(tmp_path, figure):
    with two_homes(tmp_path, nat="symmetric", beacons=2) as (meeting, *_):
        with steady_download(meeting, "relay") as transfer:
            meeting.beacons[0].kill()
        figure(transfer.gap, aim=ONE_IS_MADE)
        assert transfer.gap < MOST_SECONDS
        assert meeting.path() == ("relay", meeting.beacons[1].machine.address)


@pytest.mark.parametrize("signalled", [signal.SIGTERM, signal.SIGKILL], ids=["in order", "at once"])
def test_the_beacon_is_restarted_under_a_relayed_download(tmp_path, figure, signalled):
    with two_homes(tmp_path, nat="symmetric") as (meeting, *_):
        with steady_download(meeting, "relay") as transfer:
            (beacon,) = meeting.beacons
            beacon.stop() if signalled is signal.SIGTERM else beacon.kill()
            gone = time.monotonic()
            beacon.start()
            away = time.monotonic() - gone
        figure(
            max(0.0, transfer.gap - away),
            aim=ONE_IS_MADE,
            what="besides the time in which there was no beacon",
        )
        assert transfer.gap < MOST_SECONDS


@pytest.mark.parametrize("sender", ["alice", "bob"])
def test_the_direct_path_is_blackholed_one_way(tmp_path, figure, sender):
    with two_homes(tmp_path) as (meeting, alice_home, bob_home):
        homes = (alice_home, bob_home) if sender == "alice" else (bob_home, alice_home)
        with steady_download(meeting, "direct") as transfer:
            meeting.internet.blackhole(*homes)
            meeting.wait_for_path("relay", whose=sender)
        figure(transfer.gap, aim=ANOTHER_LIVES)
        assert transfer.gap < MOST_SECONDS


@pytest.mark.parametrize("whose", ["alice", "bob", "both"])
def test_the_nat_mapping_is_flushed(tmp_path, figure, whose):
    with two_homes(tmp_path) as (meeting, alice_home, bob_home):
        with steady_download(meeting, "direct") as transfer:
            for name, home in (("alice", alice_home), ("bob", bob_home)):
                if whose in (name, "both"):
                    home.flush_mapping()
        figure(transfer.gap, aim=ANOTHER_LIVES)
        assert transfer.gap < MOST_SECONDS
        figure(meeting.wait_for_path("direct", seconds=90), aim=5.0, what="direct again")


def test_a_router_is_switched_off_and_on_and_forgets_everything(tmp_path, figure):
    with two_homes(tmp_path) as (meeting, alice_home, _), steady_download(meeting, "direct") as transfer:
        alice_home.flush_mapping(tcp=True)
        meeting.internet.change_address(alice_home.router)
    figure(transfer.gap, aim=ONE_IS_MADE)
    assert transfer.gap < MOST_SECONDS


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_machine_changes_its_address(tmp_path, figure, who):
    with two_homes(tmp_path) as (meeting, *_):
        machine = getattr(meeting, who).namespace
        with steady_download(meeting, "direct") as transfer:
            meeting.internet.change_address(machine)
        figure(transfer.gap, aim=ONE_IS_MADE)
        assert transfer.gap < MOST_SECONDS
        figure(meeting.wait_for_path("direct", seconds=90), aim=5.0, what="direct again")


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_machine_moves_to_another_network(tmp_path, figure, who):
    with two_homes(tmp_path) as (meeting, *_):
        cafe = meeting.internet.home("cafe")
        machine = getattr(meeting, who).namespace
        with steady_download(meeting, "direct") as transfer:
            meeting.internet.move(machine, cafe)
        figure(transfer.gap, aim=ONE_IS_MADE)
        assert transfer.gap < MOST_SECONDS
        figure(meeting.wait_for_path("direct", seconds=90), aim=5.0, what="direct again")


def test_bob_comes_home_to_alices_lan_and_leaves_again(tmp_path, figure):
    with two_homes(tmp_path) as (meeting, alice_home, bob_home):
        laptop = meeting.bob.namespace
        with steady_download(meeting, "direct") as transfer:
            meeting.internet.move(laptop, alice_home)
            meeting.wait_for_path("LAN", seconds=30)
            figure(transfer.gap, aim=ONE_IS_MADE, what="arriving")
            transfer.mark()
            meeting.internet.move(laptop, bob_home)
            meeting.wait_for_path("direct", seconds=90)
        figure(transfer.gap, aim=ONE_IS_MADE, what="leaving")


def test_the_default_route_moves_to_another_link_and_the_first_link_goes(tmp_path, figure):
    with two_homes(tmp_path) as (meeting, _, bob_home):
        mobile, laptop = meeting.internet.provider("mobile"), meeting.bob.namespace
        with steady_download(meeting, "direct") as transfer:
            mobile.plug(laptop, "wwan0")
            laptop.prefer("wwan0")
            transfer.wait_for(20_000_000, 30)
            figure(transfer.gap, aim=ONE_IS_MADE, what="another default route")
            transfer.mark()
            bob_home.unplug(laptop)
        figure(transfer.gap, aim=ONE_IS_MADE, what="the first link goes")
        assert transfer.gap < MOST_SECONDS


@pytest.mark.timeout(300)
def test_gateways_sleep_for_a_minute_while_their_routers_remember_or_forget(tmp_path, figure):
    with (
        two_homes(tmp_path / "remember") as (meeting, *_),
        two_homes(tmp_path / "forget") as (forgotten, *homes),
        steady_download(forgotten, "direct") as transfer,
    ):
        put_to_sleep(forgotten)
        with steady_download(meeting, "direct") as first:
            put_to_sleep(meeting)
            asleep = time.monotonic() + SLEEP_SECONDS
            wait_until(lambda: time.monotonic() > asleep, SLEEP_SECONDS + 5)
            first.mark()
            wake(meeting)
        figure(first.gap, aim=ONE_IS_MADE, what="routers that remember")
        for home in homes:
            home.flush_mapping(tcp=True)
        transfer.mark()
        wake(forgotten)
    figure(transfer.gap, aim=ONE_IS_MADE, what="routers that forget")
    assert max(first.gap, transfer.gap) < MOST_SECONDS


def put_to_sleep(meeting: Meeting) -> None:
    for gateway in (meeting.alice, meeting.bob):
        gateway.signal(signal.SIGSTOP)


def wake(meeting: Meeting) -> None:
    for gateway in (meeting.alice, meeting.bob):
        gateway.signal(signal.SIGCONT)


def test_containers_that_come_and_go_disturb_nobody(tmp_path, figure):
    with two_homes(tmp_path) as (meeting, *_):
        laptop = meeting.bob.namespace
        with steady_download(meeting, "direct") as transfer:
            laptop.add_docker()
            for number in range(20):
                laptop.container_comes(number)
                laptop.container_goes(number)
            assert meeting.path()[0] == "direct"
        figure(transfer.gap, aim=0.5)


def test_a_download_as_fast_as_it_goes_survives_one_thing_after_another(tmp_path, figure):
    with two_homes(tmp_path, beacons=2) as (meeting, alice_home, bob_home):
        cafe = meeting.internet.home("cafe")
        transfer = meeting.download("steady")
        meeting.wait_for_path("direct")
        events = {
            "blackhole": lambda: meeting.internet.blackhole(alice_home, bob_home),
            "mended": meeting.internet.mend,
            "rebinding": bob_home.flush_mapping,
            "a relay dies": meeting.beacons[0].kill,
            "moved": lambda: meeting.internet.move(meeting.bob.namespace, cafe),
        }
        for what, happens in events.items():
            transfer.wait_for(1 << 20, 30)
            transfer.mark()
            happens()
            settled = time.monotonic() + 3.0
            wait_until(lambda until=settled: time.monotonic() > until, 5)
            transfer.wait_for(1 << 20, MOST_SECONDS + 5)
            figure(transfer.gap, aim=ONE_IS_MADE, what=what)
        meeting.source.end()
        transfer.finish(meeting.source, 120)
