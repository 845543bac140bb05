"""`overlay resolve` tells what a name stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.gateway.cli.conftest import Overlay


async def test_a_name_is_resolved(overlay: Overlay) -> None:
    done = await overlay("resolve", "alice")
    assert "127.80.3.1:8080/tcp is web (80)" in done.out
    assert (await overlay("resolve", "alice", "--json")).json["ip"] == "127.80.3.1"
    done = await overlay("resolve", "nobody")
    assert (done.code, done.err) == (1, "overlay: resolve: nobody is called nobody\n")


async def test_why_an_endpoint_is_looked_for_where_it_is(overlay: Overlay) -> None:
    lines = (await overlay("resolve", "alice", "--explain")).out.splitlines()
    (beacon,) = (line for line in lines if line.startswith("https://eu1.example"))
    assert beacon.split() == [
        "https://eu1.example",
        "found",
        "20",
        "ms",
        "1",
        "min",
        "5",
        "s",
        "ago,",
        "in",
        "use",
    ]
    assert any(line.split() == ["dht", "failed:", "no", "node", "answers", "1500", "ms"] for line in lines)
    assert any(line.split() == ["local", "network", "no", "record", "100", "ms"] for line in lines)
    assert any("1 h 1 min" in line and line.endswith("in use") for line in lines)
    assert any(line.split() == ["192.0.2.1:7777", "typed", "by", "hand,", "ticket"] for line in lines)
    report = (await overlay("resolve", "alice", "--explain", "--json")).json
    assert [each["in_use"] for each in report["records"]] == [True, False]
    assert (await overlay("resolve", "nobody", "--explain")).code == 1
