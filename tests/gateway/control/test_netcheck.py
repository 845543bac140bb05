"""What `overlay netcheck` is told survives the wire, and absurd requests are refused."""

from __future__ import annotations

import msgspec
import pytest

from gateway.control.netcheck import NetcheckReport, NetcheckRequest
from tests.lab.control import FakeGateway


async def test_a_report_survives_the_wire() -> None:
    report = await FakeGateway().netcheck(NetcheckRequest(ladder=True))
    assert report.ladders
    assert msgspec.json.decode(msgspec.json.encode(report), type=NetcheckReport) == report


@pytest.mark.parametrize("age", ["-1", "1e9", '"now"'])
def test_absurd_ages_are_refused(age: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(f'{{"max_age": {age}}}', type=NetcheckRequest)
