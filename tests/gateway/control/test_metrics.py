"""The figures survive the wire."""

from __future__ import annotations

import msgspec

from gateway.control.metrics import MetricsReport
from tests.lab.control import FakeGateway


async def test_a_report_survives_the_wire() -> None:
    report = await FakeGateway().metrics()
    assert msgspec.json.decode(msgspec.json.encode(report), type=MetricsReport) == report
