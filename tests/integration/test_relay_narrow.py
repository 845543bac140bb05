"""Networks that let almost nothing out, and no beacon at all: what works must work there too."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.gateways import wait_until
from tests.lab.meetings import MOST_SECONDS, a_meeting, steady_download
from tests.lab.networks import PROXY_PORT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.meetings import Meeting

pytestmark = [
    pytest.mark.needs("root", "ip", "nft", "conntrack", "tun", "curl"),
    pytest.mark.timeout(180),
]

QUIET_SECONDS = 35.0
"""Longer than a NAT keeps a UDP flow and than our heartbeat: what only seems to be up is found out."""


class NarrowNetworks:
    """Meetings in networks that let almost nothing out. They stay for all tests here, so that their quiet times are one."""

    NAMES = ("TCP 443 from one side", "TCP 443 from both sides", "an HTTP proxy")

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        self._place, self._stack = place, stack
        self._meetings: dict[str, Meeting] = {}
        self._quiet_since: dict[str, float] = {}

    def start(self, name: str) -> Meeting:
        """Alice and bob, who have not spoken yet."""
        meeting = self._stack.enter_context(a_meeting(self._place / str(self.NAMES.index(name))))
        meeting.add_beacon(meeting.internet.server("beacon"))
        home, office = meeting.internet.home("alice"), meeting.internet.home("office")
        config = ""
        if name == "an HTTP proxy":
            proxy = meeting.internet.connect_proxy()
            for each in (home, office):
                each.proxy_only(proxy)
            config = f'[beacons]\nproxy = "http://{proxy.address}:{PROXY_PORT}"\n'
        else:
            office.tcp443_only()
            if name == "TCP 443 from both sides":
                home.tcp443_only()
        meeting.start(home.host("laptop"), office.host("desk"), config=config)
        self._meetings[name] = meeting
        return meeting

    def leave_in_quiet(self, name: str) -> None:
        """Nobody says anything there from now on."""
        self._quiet_since[name] = time.monotonic()

    def after_quiet(self, name: str) -> Meeting:
        """The meeting, once it was quiet for QUIET_SECONDS; one in which nobody spoke yet begins here."""
        if name not in self._quiet_since:
            self.start(name).first_byte()
            self.leave_in_quiet(name)
        until = self._quiet_since[name] + QUIET_SECONDS
        wait_until(lambda: time.monotonic() > until, QUIET_SECONDS + 5)
        return self._meetings[name]


@pytest.fixture(scope="module")
def narrow(tmp_path_factory) -> Iterator[NarrowNetworks]:
    with contextlib.ExitStack() as stack:
        yield NarrowNetworks(tmp_path_factory.mktemp("narrow"), stack)


in_each = pytest.mark.parametrize(
    "name",
    [
        *NarrowNetworks.NAMES[:2],
        pytest.param(NarrowNetworks.NAMES[2], marks=pytest.mark.needs("tinyproxy")),
    ],
)


@in_each
def test_in_a_narrow_network_the_relay_serves(narrow, figure, name):
    meeting = narrow.start(name)
    seconds = meeting.first_byte()
    figure(seconds, aim=3.0, what="first byte")
    assert seconds < MOST_SECONDS
    with steady_download(meeting, "relay") as transfer:
        transfer.wait_for(20_000_000, 30)
    figure(transfer.gap, aim=1.0, what="longest silence")
    narrow.leave_in_quiet(name)


@in_each
def test_there_after_a_quiet_time_a_request_is_served_as_fast_as_any(narrow, figure, name):
    seconds = narrow.after_quiet(name).first_byte()
    figure(seconds, aim=0.5, what="first byte after a quiet time")
    assert seconds < 3.0


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
