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


async def test_the_ladder_tells_what_is_tried_with_whom(overlay: Overlay) -> None:
    done = await overlay("netcheck", "--ladder")
    lines = done.out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("This network"))
    assert "symmetric, random ports. What is tried" in lines[start]
    assert lines[start + 2].startswith("open ")
    assert "direct dial" in lines[start + 2]
    assert "99%" in lines[start + 2]
    assert "pings" in lines[start + 2]
    assert lines[-1].split()[0] == "relay"
    assert "What is tried" not in (await overlay("netcheck")).out


async def test_the_ladder_as_json_has_its_figures(overlay: Overlay) -> None:
    assert json.loads((await overlay("netcheck", "--json")).out)["ladders"] == []
    told = json.loads((await overlay("netcheck", "--ladder", "--json")).out)
    first = told["ladders"][0]
    assert first["peer"] == "open"
    assert first["rungs"][0]["strategy"] == "direct dial"
    assert first["rungs"][-1] == {
        "strategy": "relay",
        "why": "a beacon passes on what we send, over HTTPS",
        "is_direct": False,
        "success": 1.0,
        "seconds": 0.0,
        "datagrams": 0,
        "sockets": 0,
    }


async def test_the_ladder_with_one_peer_is_told(overlay: Overlay) -> None:
    done = await overlay("netcheck", "--ladder", "alice", "--max-age", "60")
    lines = done.out.splitlines()
    assert any(line.startswith("alice: open") and "direct dial" in line for line in lines)
    assert not any(line.startswith("port-restricted") for line in lines)
    assert [
        each["peer"] for each in (await overlay("netcheck", "--json", "--ladder", "alice")).json["ladders"]
    ] == ["alice: open"]


async def test_the_ladder_with_somebody_unknown_ends_as_ping_does(overlay: Overlay) -> None:
    done = await overlay("netcheck", "--ladder", "carol")
    assert (done.code, done.out) == (2, "")
    assert "carol" in done.err
