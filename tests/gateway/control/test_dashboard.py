"""A login survives the wire."""

from __future__ import annotations

import msgspec

from gateway.control.dashboard import LoginReport
from tests.lab.control import FakeGateway


async def test_a_login_survives_the_wire() -> None:
    report = await FakeGateway().dashboard_login()
    assert msgspec.json.decode(msgspec.json.encode(report), type=LoginReport) == report
