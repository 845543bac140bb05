"""What moves, told by real gateways: as much as a transfer carried, by the path that carried it, and kept when it ends."""

from __future__ import annotations

import subprocess
import urllib.request
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.lab.gateways import clean_environment, wait_until
from tests.lab.screens import Terminal
from tests.lab.worlds import alice_and_bob

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.control.live import LiveReport, PeerLiveReport
    from tests.lab.gateways import GatewayProcess
    from tests.lab.worlds import World

pytestmark = pytest.mark.needs("curl")
MEGABYTES = 8


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """With figures for Prometheus at bob."""
    place = tmp_path_factory.mktemp("world")
    (place / "bob").mkdir()
    (place / "bob" / "gateway.toml").write_text("[metrics]\nenabled = true\nport = 0\ncontacts = true\n")
    with alice_and_bob(place) as world:
        yield world


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


def test_prometheus_fetches_the_same_from_the_port_that_is_turned_on(world: World) -> None:
    report = world.bob.control.metrics()
    assert "overlay_gateway_received_bytes_total" in report.text
    assert 'contact="alice"' in report.text
    with urllib.request.urlopen(report.served_at, timeout=10) as answer:
        fetched = answer.read().decode()
    assert len(list(text_string_to_metric_families(fetched))) > 20


def test_top_draws_a_transfer_on_a_terminal_of_any_size(world: World) -> None:
    (world.alice.home.parent / "files" / "long").write_bytes(bytes(200 << 20))
    limited = ["curl", "-sS", "-o", "/dev/null", "--limit-rate", "4M", "--proxy"]
    with subprocess.Popen(
        [*limited, f"socks5h://{world.bob.listens('proxy')}", world.url("/files/long")],
        env=clean_environment(),
    ) as transfer:
        try:
            with Terminal(world.bob.command("top", "-d", "0.3"), 24, 120) as terminal:
                terminal.shows(r"alice +127\.0\.0\.1:\d+ .*[1-9]\.\d MB/s")
                terminal.shows(r"sorted by rate")
                terminal.types("s")
                terminal.shows(r"sorted by name")
                terminal.resize(10, 60)
                terminal.shows(r"^alice +127\S+ (\S+ )?.*[1-9]\.\d MB/s *$")
                terminal.types("q")
                assert terminal.wait() == 0
        finally:
            transfer.kill()


def test_what_went_counts_when_the_connection_is_over(world: World) -> None:
    before, seen = peer(world.bob)
    assert seen is not None
    world.alice.stop()
    wait_until(lambda: not world.bob.control.live().peers, what="the connection ends")
    assert world.bob.control.live().received >= before.received
