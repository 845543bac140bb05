"""What moves survives the wire."""

from __future__ import annotations

import msgspec

from gateway.control.live import LiveReport
from tests.lab.control import FakeGateway


async def test_a_report_survives_the_wire() -> None:
    report = await FakeGateway().live()
    assert report.peers
    assert msgspec.json.decode(msgspec.json.encode(report), type=LiveReport) == report
