"""A download that is measured: its silences are seen, and a byte that is lost or altered is too."""

from __future__ import annotations

import threading

import pytest

from tests.lab.gateways import wait_until
from tests.lab.meetings import a_meeting, path_in
from tests.lab.transfers import MEGABYTE

pytestmark = pytest.mark.needs("root", "ip", "nft", "conntrack", "tun", "curl")


def test_a_download_knows_its_longest_silence_and_that_everything_came(tmp_path):
    with a_meeting(tmp_path, delay=0) as meeting:
        home = meeting.internet.home("home")
        desk, laptop = home.host("desk"), home.host("laptop")
        meeting.start(desk, laptop)
        transfer = meeting.download("steady?rate=8000000")
        transfer.wait_for(MEGABYTE, 20)
        transfer.mark()
        meeting.internet.blackhole(desk, laptop)
        wait_until(lambda: transfer.gap >= 1.0, 10)
        meeting.internet.mend()
        transfer.wait_for(MEGABYTE, 20)
        assert transfer.gap >= 1.0
        transfer.mark()
        assert transfer.gap < 1.0
        meeting.source.end()
        transfer.finish(meeting.source)
        with pytest.raises(AssertionError, match="the download ended"):
            transfer.wait_for(1, 1)
        meeting.source.digests["/steady?rate=8000000"] = "another"
        with pytest.raises(AssertionError, match="not what was sent"):
            transfer.finish(meeting.source)


def test_a_download_that_is_cut_short_is_told(tmp_path):
    with a_meeting(tmp_path, delay=0) as meeting:
        home = meeting.internet.home("home")
        meeting.start(home.host("desk"), home.host("laptop"))
        transfer = meeting.download("bulk?bytes=30000000000")
        transfer.wait_for(MEGABYTE, 20)
        killer = threading.Thread(target=meeting.alice.kill)
        killer.start()
        meeting.bob.kill()
        killer.join()
        with pytest.raises(AssertionError, match="curl: "):
            transfer.finish(meeting.source)


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("pong from alice via relay eu1.example 23 ms", ("relay", "eu1.example")),
        ("pong from alice via 203.0.113.9:41641 (direct) 6 ms", ("direct", "203.0.113.9:41641")),
        ("pong from alice via [fe80::1%eth0]:7 (LAN) 0.4 ms", ("LAN", "[fe80::1%eth0]:7")),
        ("pong from alice via 192.0.2.9:7 (TURN at 192.0.2.1:3478) 9 ms", ("TURN", "192.0.2.9:7")),
        ("no answer from alice", None),
    ],
)
def test_the_path_is_read_from_a_line_of_ping(line, path):
    assert path_in(line) == path
