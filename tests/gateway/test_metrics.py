"""The figures are what the gateway tells people, bounded whoever connects, as Prometheus's own tool wants them."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from asyncio.subprocess import PIPE
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.control.live import LiveReport, PeerLiveReport, ProcessReport
from gateway.expose.acceptor import AcceptorStatus
from gateway.metrics import Counts, text
from gateway.proxy.listener import ProxyStatus
from tests.lab.control import ALICE, FakeGateway

DASHBOARD = Path(__file__).parents[2] / "configs" / "grafana-overlay.json"
COUNTS = Counts(
    ProxyStatus(
        address=("127.0.0.1", 1080),
        connections=3, handshakes=1, associations=1, flows=2, accepted=10, refused=1, evicted=0,
    ),
    AcceptorStatus(streams=4, pending=1, flows=2),
)  # fmt: skip


async def figures(*, contacts: bool = False, live: LiveReport | None = None) -> str:
    gateway = FakeGateway()
    return text(await gateway.status(), live or await gateway.live(), COUNTS, contacts=contacts).decode()


def samples(told: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(told)
        for sample in family.samples
    }


async def test_the_figures_are_what_people_are_told() -> None:
    found = samples(await figures())
    assert found["overlay_gateway_peers", "direct"] == 1
    assert found["overlay_gateway_peers", "relay"] == 0
    assert found["overlay_gateway_received_bytes_total", "direct"] == 1_000_000
    assert found["overlay_gateway_beacons", "connected"] == 1
    assert found["overlay_gateway_info", "0.1.0"] == 1
    assert found["overlay_gateway_proxy_accepted_total",] == 10
    assert found["overlay_gateway_served_streams",] == 4
    assert found["process_resident_memory_bytes",] == 50_000_000


async def test_contacts_have_figures_only_if_asked_for_and_strangers_never() -> None:
    live = LiveReport(
        moment=1.0,
        started=0.0,
        process=ProcessReport(),
        peers=(
            PeerLiveReport(endpoint_id=ALICE, petname="alice", sent=7, rtt=0.25),
            *(PeerLiveReport(endpoint_id=f"stranger{number}") for number in range(1000)),
        ),
    )
    assert "alice" not in await figures(live=live)
    told = await figures(live=live, contacts=True)
    found = samples(told)
    assert found["overlay_gateway_contact_sent_bytes_total", "alice"] == 7
    assert found["overlay_gateway_contact_rtt_seconds", "alice"] == 0.25
    assert found["overlay_gateway_peers", "direct"] == 1001
    assert "stranger" not in told
    assert ALICE not in told
    assert len(found) < 100


async def test_what_the_system_does_not_tell_is_left_out() -> None:
    live = LiveReport(moment=1.0, started=0.0, process=ProcessReport())
    found = samples(await figures(live=live))
    assert ("process_resident_memory_bytes",) not in found
    assert ("process_cpu_seconds_total",) in found


@pytest.mark.needs("promtool")
async def test_prometheus_has_nothing_to_object_to() -> None:
    tool = shutil.which("promtool")
    assert tool is not None
    told = await figures(contacts=True)
    process = await asyncio.create_subprocess_exec(
        tool, "check", "metrics", stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    out, err = await process.communicate(told.encode())
    assert (process.returncode, out, err) == (0, b"", b"")


async def test_the_dashboard_asks_for_figures_that_there_are() -> None:
    there = {name for name, *_ in samples(await figures(contacts=True))}
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert len(expressions) >= 10
    for expression in expressions:
        asked = set(re.findall(r"\b(?:overlay|process)_\w+", expression))
        assert asked
        assert asked <= there, expression
    places = [msgspec.convert(panel["gridPos"], dict[str, int]) for panel in dashboard["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
