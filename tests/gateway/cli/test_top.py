"""`overlay top` is plain in a pipe, lines of JSON for programs, and drawn in place on a terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.gateway.cli.conftest import Alone, Overlay


async def test_once_prints_rates_as_a_plain_table(overlay: Overlay) -> None:
    done = await overlay("top", "--once", "-d", "0.1")
    summary, titles, row = done.out.splitlines()
    assert summary.startswith("1 peer  up 0 B/s  down 1.0 MB/s  2 streams  1 flows  cpu 0%  memory 50.0 MB")
    assert titles.split() == [
        "peer",
        "path",
        "rtt",
        "up",
        "down",
        "sent",
        "received",
        "streams",
        "flows",
        "up",
        "for",
    ]
    assert row.split("  ")[:6] == [
        "alice",
        "192.0.2.1:7777 (direct)",
        "1.5 ms",
        "0 B/s",
        "1.0 MB/s",
        "2.0 KB",
    ]
    assert "\x1b" not in done.out


async def test_each_look_is_a_line_of_json(overlay: Overlay) -> None:
    done = await overlay("top", "--json", "-n", "3", "-d", "0.1")
    looks = [json.loads(line) for line in done.out.splitlines()]
    assert [look["down"] for look in looks] == [0, 1e6, 1e6]
    assert looks[1]["peers"][0]["down"] == 1e6
    assert looks[0]["cpu"] is None


def test_without_a_gateway_there_is_nothing_to_see(alone: Alone) -> None:
    assert alone("top").code == 5
