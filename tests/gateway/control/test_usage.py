"""What `overlay usage` and `overlay limits` ask and are told survives the wire, and what makes no sense does not."""

from __future__ import annotations

import msgspec
import pytest

from gateway.control.usage import ChangedLimitsReport, LimitsReport, SetLimitsRequest, UsageReport
from tests.lab.control import FakeGateway


async def test_reports_survive_the_wire() -> None:
    gateway = FakeGateway()
    changed = await gateway.set_limits(SetLimitsRequest(kind="contact", name="bob", rate=1))
    for report, kind in (
        (await gateway.usage(), UsageReport),
        (await gateway.limits(), LimitsReport),
        (changed, ChangedLimitsReport),
    ):
        assert msgspec.json.decode(msgspec.json.encode(report), type=kind) == report


@pytest.mark.parametrize(
    "request_",
    [
        "{}",
        '{"kind": "enemy"}',
        '{"kind": "contact", "name": ""}',
        '{"kind": "default", "rate": 0}',
        '{"kind": "default", "rate": 9223372036854775807}',
        '{"kind": "default", "weight": 1001}',
        '{"kind": "default", "unset": ["colour"]}',
        '{"kind": "default", "colour": "blue"}',
    ],
)
def test_what_makes_no_sense_is_refused(request_: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(request_, type=SetLimitsRequest)
