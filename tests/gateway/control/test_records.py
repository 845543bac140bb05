"""What is told of records survives the wire."""

from __future__ import annotations

import msgspec

from gateway.control.records import ExplainRequest, ExplanationReport, PublishedReport
from tests.lab.control import FakeGateway


async def test_reports_survive_the_wire() -> None:
    explanation = await FakeGateway().explain(ExplainRequest(name="alice"))
    assert explanation.sources
    assert msgspec.json.decode(msgspec.json.encode(explanation), type=ExplanationReport) == explanation
    published = await FakeGateway().published()
    assert msgspec.json.decode(msgspec.json.encode(published), type=tuple[PublishedReport, ...]) == published
