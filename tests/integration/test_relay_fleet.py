"""Many beacons as one: two nodes on one Redis serve gateways that are homed on different nodes, and either may die."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.lab.beacons_real import redis
from tests.lab.gateways import wait_until
from tests.lab.meetings import MOST_SECONDS, a_meeting, home_of, steady_download

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.beacons_real import RedisProcess
    from tests.lab.meetings import Meeting

pytestmark = [
    pytest.mark.needs("root", "ip", "nft", "conntrack", "tun", "curl", "redis-server"),
    pytest.mark.timeout(180),
]


class Fleet(NamedTuple):
    """Alice is homed on the first node, bob on the second; both know both. Their NATs leave them only the relay."""

    meeting: Meeting
    redis: RedisProcess


@contextlib.contextmanager
def a_fleet(place: Path) -> Iterator[Fleet]:
    with a_meeting(place) as meeting, redis(meeting.internet.server("redis")) as store:
        for number in (1, 2):
            meeting.add_beacon(meeting.internet.server(f"node{number}"), store.section)
        urls = [beacon.url for beacon in meeting.beacons]
        homes = [meeting.internet.home(name, "symmetric") for name in ("alice", "bob")]
        meeting.start(*(home.host("laptop") for home in homes), alice_beacons=urls, bob_beacons=urls[::-1])
        yield Fleet(meeting, store)


def test_gateways_homed_on_different_nodes_reach_each_other(tmp_path, figure):
    with a_fleet(tmp_path) as (meeting, _):
        homes = [f"https://{beacon.machine.address}" for beacon in meeting.beacons]
        assert [home_of(gateway) for gateway in (meeting.alice, meeting.bob)] == homes
        seconds = meeting.first_byte()
        figure(seconds, aim=1.0)
        assert seconds < MOST_SECONDS
        with steady_download(meeting, "relay"):
            pass


@pytest.mark.parametrize("node", [0, 1], ids=["alices home", "bobs home"])
def test_a_node_dies_and_its_gateways_move_to_the_other(tmp_path, figure, node):
    with a_fleet(tmp_path) as (meeting, _):
        with steady_download(meeting, "relay") as transfer:
            meeting.beacons[node].kill()
            begun = time.monotonic()
            living = f"https://{meeting.beacons[1 - node].machine.address}"
            moving = (meeting.alice, meeting.bob)[node]
            wait_until(lambda: home_of(moving) == living, 15, "the gateway is at home on the living node")
            figure(time.monotonic() - begun, aim=5.0, what="moved")
        figure(transfer.gap, aim=3.0, what="longest silence")
        assert transfer.gap < MOST_SECONDS


def test_redis_is_restarted_empty_under_a_relayed_download(tmp_path, figure):
    with a_fleet(tmp_path) as (meeting, store):
        with steady_download(meeting, "relay") as transfer:
            store.kill()
            down = time.monotonic() + 3.0
            wait_until(lambda: time.monotonic() > down, 5)
            store.start()
        figure(transfer.gap, aim=1.0, what="longest silence")
        assert transfer.gap < MOST_SECONDS
        meeting.bob.stop()
        meeting.bob.start()
        seconds = meeting.first_byte()
        figure(seconds, aim=1.0, what="first byte of one who comes afterwards")
        assert seconds < MOST_SECONDS


def test_without_redis_gateways_on_one_node_still_meet(tmp_path):
    with a_fleet(tmp_path) as (meeting, store):
        meeting.first_byte()
        store.kill()
        meeting.beacons[1].kill()  # bob must move to alice's node, where no store is asked
        living = f"https://{meeting.beacons[0].machine.address}"
        wait_until(lambda: home_of(meeting.bob) == living, 20, "bob is at home where alice is")
        assert meeting.first_byte() < MOST_SECONDS
