"""`overlay status --published` tells what our records tell, and where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.gateway.cli.conftest import Overlay


async def test_it_tells_what_is_where_until_when_and_why_not(overlay: Overlay) -> None:
    lines = (await overlay("status", "--published")).out.splitlines()
    assert lines[0] == "For anybody who has our id"
    assert ["relays", "https://eu1.example"] in [line.split() for line in lines]
    assert "services  none" in [line.strip() for line in lines]
    assert "not told  addresses, nickname" in [line.strip() for line in lines]
    assert ["https://eu1.example", "1", "min", "5", "s", "ago", "6", "d", "23", "h", "in", "50", "min"] in [
        line.split() for line in lines
    ]
    assert ["dht", "not", "yet", "in", "5", "s", "no", "node", "answers"] in [line.split() for line in lines]
    assert lines[-2:] == ["For those on the same network", "  not published  [publish] lan is empty"]


async def test_it_tells_programs_the_same(overlay: Overlay) -> None:
    public, local = (await overlay("status", "--published", "--json")).json
    assert public["places"][0]["next_in"] == 3000
    assert local["why_not"] == "[publish] lan is empty"
