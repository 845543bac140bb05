"""A contact whose gateway lies about where it is, what its network is like and who attests it: whoever it names gets next to nothing."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.gateways import GatewayProcess
from tests.lab.meetings import a_meeting, steady_download
from tunnels import limits as tunnel_limits
from tunnels.crossing import limits

if TYPE_CHECKING:
    from tests.lab.networks import Machine

pytestmark = [pytest.mark.needs("root", "ip", "nft", "conntrack", "curl"), pytest.mark.timeout(120)]

SECONDS = 10.0
ROOT = Path(__file__).parents[2]


SCRIPT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from tests.lab.lying_gateway import main; main()"
"""Of tests/lab/lying_gateway.py; what it lies about and `overlay`'s own arguments follow."""


def count_from(machine: Machine, source: str) -> None:
    """Count what comes to that machine from this address, by UDP or TCP; not what goes to all, as the search for a router."""
    machine.nft(
        "table ip told { counter got { }; chain came { type filter hook prerouting priority -400; "
        f"ip saddr {source} ip daddr {machine.address} meta l4proto {{ tcp, udp }} "
        'counter name "got"; }; }'
    )


def counted(machine: Machine) -> tuple[int, int]:
    """Packets and bytes."""
    told = json.loads(machine.run("nft", "-j", "list", "counter", "ip", "told", "got").stdout)
    found = next(entry["counter"] for entry in told["nftables"] if "counter" in entry)
    return found["packets"], found["bytes"]


@pytest.mark.parametrize(
    ("nat", "told"),
    [("port-restricted", "SEQUENTIAL"), ("port-restricted", "RANDOM"), ("symmetric", "PORT_RESTRICTED")],
)
def test_whoever_a_lying_contact_names_gets_a_few_small_packets_and_a_download_goes_on(tmp_path, nat, told):
    with a_meeting(tmp_path) as meeting:
        internet = meeting.internet
        machine = internet.server("beacon0")
        internet.plug(machine, "eth1")
        own = ", ".join(f'"{link.address}"' for link in machine.links.values())
        meeting.add_beacon(machine, f"[stun]\nbind = [{own}]\n")
        home = internet.home("alice", nat)
        alice, neighbour = home.host("laptop"), home.host("tv")
        victim = internet.server("victim")
        meeting.start(alice, internet.home("bob").host("laptop"))
        count_from(victim, home.public_address)
        count_from(neighbour, alice.address)
        mallory = GatewayProcess(
            tmp_path / "mallory",
            *("--beacon", meeting.beacons[0].url),
            nickname="mallory",
            namespace=internet.server("mallory"),
            bind=(),
            program=(
                *(sys.executable, "-c", SCRIPT, str(ROOT)),
                *(victim.address, f"{neighbour.address}:8080", told),
            ),
        )
        try:
            mallory.start()
            meeting.alice.run("contacts", "add", "mallory", mallory.id)
            mallory.run("join", meeting.alice.json("ticket")["ticket"], "--name", "alice")
            meeting.first_byte()
            with steady_download(meeting, "direct", "relay") as transfer:
                mallory.run("ping", "alice", "--count", "1")
                transfer.mark()
                begun = time.monotonic()
                while time.monotonic() - begun < SECONDS:
                    transfer.wait_for(1 << 20, 10)
                packets, size = counted(victim)
                seconds = time.monotonic() - begun
                descriptors = meeting.alice.descriptors()
            assert counted(neighbour) == (0, 0)
            said = meeting.alice.run("ping", "mallory", "--explain", "--count", "1", check=False).stdout
        finally:
            mallory.kill()
        pings = tunnel_limits.BLIND_PER_DESTINATION_BURST + seconds * tunnel_limits.BLIND_PER_DESTINATION
        knocks = limits.CROSSING_UNPROVEN_BURST + seconds * limits.CROSSING_UNPROVEN_PER_SECOND
        assert "trying" in said
        assert 0 < packets <= pings + knocks + tunnel_limits.MAX_CANDIDATES, said
        assert size / packets < 150
        assert descriptors < 400
