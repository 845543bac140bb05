"""`overlay netcheck` tells how the network behaves, and what would help."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.gateway.cli.conftest import Overlay


async def test_findings_and_remedies_are_told(overlay: Overlay) -> None:
    done = await overlay("netcheck")
    assert done.code == 0
    assert "IPv4 mapping" in done.out
    assert "→ forward UDP 41641" in done.out
    assert done.err.splitlines() == ["asking our beacon's STUN servers…", "measured in 0.4 s"]


async def test_the_age_of_an_older_measurement_is_told(overlay: Overlay) -> None:
    done = await overlay("netcheck", "--max-age", "600")
    assert "measured 5 min ago in 0.4 s" in done.err


@pytest.mark.parametrize(("blocked", "code"), [(False, 0), (True, 1)])
async def test_json_holds_everything_and_the_exit_code_tells_whether_udp_works(
    overlay: Overlay, blocked, code
) -> None:
    overlay.gateway.udp_blocked = blocked
    done = await overlay("netcheck", "--json")
    assert (done.code, done.err) == (code, "")
    told = json.loads(done.out)
    assert told["udp_blocked"] is blocked
    assert told["ipv4"]["span"] == [1024, 2047]


async def test_that_nobody_can_be_asked_is_one_line_with_the_remedy(overlay: Overlay) -> None:
    overlay.gateway.udp_blocked = None
    done = await overlay("netcheck")
    assert done.code == 1
    assert done.out == ""
    assert "overlay up --beacon URL" in done.err
