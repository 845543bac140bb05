"""What moves, told by real gateways: as much as a transfer carried, by the path that carried it, and kept when it ends."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.lab.gateways import clean_environment, wait_until

if TYPE_CHECKING:
    from gateway.control.live import LiveReport, PeerLiveReport
    from tests.lab.gateways import GatewayProcess
    from tests.lab.worlds import World

pytestmark = pytest.mark.needs("curl")
MEGABYTES = 8


def peer(gateway: GatewayProcess) -> tuple[LiveReport, PeerLiveReport | None]:
    report = gateway.control.live()
    return report, next(iter(report.peers), None)


def test_what_a_transfer_moved_is_counted_at_both_ends(world: World) -> None:
    payload = world.alice.home.parent / "files" / "moved"
    payload.write_bytes(bytes(MEGABYTES << 20))
    before, _ = peer(world.bob)
    command = ["curl", "-sS", "-o", "/dev/null", "--proxy", f"socks5h://{world.bob.listens('proxy')}"]
    subprocess.run([*command, world.url("/files/moved")], check=True, timeout=30, env=clean_environment())
    after, seen = peer(world.bob)
    assert seen is not None
    assert (seen.petname, seen.endpoint_id) == ("alice", world.alice.id)
    assert MEGABYTES << 20 < seen.received < (MEGABYTES << 20) * 1.2
    assert 0 < seen.sent < seen.received
    assert seen.path in ("direct", "LAN")
    assert seen.where.startswith("127.0.0.1:")
    assert seen.rtt is not None
    assert 0 < seen.rtt < 5
    assert sum(moved.received for moved in seen.moved) == seen.received
    assert after.received >= seen.received
    assert after.moment > before.moment > before.started
    assert after.process.cpu_seconds > before.process.cpu_seconds
    assert after.process.rss is not None
    assert after.process.tasks > 0
    _, other = peer(world.alice)
    assert other is not None
    assert other.petname == "bob"
    assert MEGABYTES << 20 < other.sent < (MEGABYTES << 20) * 1.2


def test_what_went_counts_when_the_connection_is_over(world: World) -> None:
    before, seen = peer(world.bob)
    assert seen is not None
    world.alice.stop()
    wait_until(lambda: not world.bob.control.live().peers, what="the connection ends")
    assert world.bob.control.live().received >= before.received
