"""A gateway that stops says so on the path that is in use, also where that goes by a socket made for crossing NATs."""

from __future__ import annotations

import pytest

from tests.lab.gateways import wait_until
from tests.lab.kinds import KINDS
from tests.lab.meetings import a_meeting

pytestmark = [
    pytest.mark.needs("root", "ip", "nft", "conntrack", "tun", "curl"),
    pytest.mark.timeout(120),
]


@pytest.mark.parametrize(
    ("alices", "bobs", "path"),
    [
        ("port-restricted", "symmetric-sequential", "direct"),
        ("symmetric-sequential", "port-restricted", "direct"),
        ("udp-blocked", "udp-blocked", "TCP"),
    ],
)
def test_the_peer_of_a_gateway_that_stops_knows_at_once(tmp_path, alices, bobs, path):
    with a_meeting(tmp_path) as meeting:
        beacon = meeting.internet.server("beacon")
        meeting.internet.plug(beacon, "eth1")
        bind = ", ".join(f'"{link.address}"' for link in beacon.links.values())
        meeting.add_beacon(beacon, f"[stun]\nbind = [{bind}]\n")
        meeting.start(
            *(
                KINDS[kind].build(meeting.internet, name, tmp_path)
                for name, kind in (("a", alices), ("b", bobs))
            )
        )
        meeting.first_byte()
        for whose in ("alice", "bob"):
            meeting.wait_for_path(path, seconds=30, whose=whose)
        meeting.bob.stop()
        wait_until(lambda: meeting.path("alice")[0] == "none", 5, "alice knows that bob is gone")
