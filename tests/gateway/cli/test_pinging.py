"""`overlay ping` tells who answers, by which path, and why by that one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway.cli import pinging

if TYPE_CHECKING:
    from tests.gateway.cli.conftest import Overlay


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinging, "_BETWEEN_PINGS", 0.0)


async def test_a_direct_pong_is_enough(overlay: Overlay) -> None:
    done = await overlay("ping", "alice")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "pong from alice via 192.0.2.1:7777 (direct) 1.5 ms",
        "alice: 1 sent, 1 received, 0% lost; round trip min/avg/max 1.5/1.5/1.5 ms; path: direct",
    ]


async def test_it_goes_on_until_the_path_is_direct(overlay: Overlay) -> None:
    overlay.gateway.relayed_pings = 2
    done = await overlay("ping", "alice")
    assert done.out.splitlines()[:3] == [
        "pong from alice via relay eu1.example 23.4 ms (connected in 120 ms)",
        "pong from alice via relay eu1.example 23.4 ms",
        "pong from alice via 192.0.2.1:7777 (direct) 1.5 ms",
    ]
    assert "3 sent, 3 received, 0% lost; round trip min/avg/max 1.5/16.1/23.4 ms" in done.out


async def test_without_a_direct_path_it_ends_and_tells_what_to_do(overlay: Overlay) -> None:
    overlay.gateway.relayed_pings = 99
    done = await overlay("ping", "alice")
    assert done.code == 0
    assert done.out.count("pong from alice via relay eu1.example") == 10
    assert done.out.endswith("path: relay\n")
    assert "ping alice --explain tells what was tried" in done.err


async def test_a_count_is_kept_to_whatever_the_path(overlay: Overlay) -> None:
    done = await overlay("ping", "alice", "-c", "3")
    assert done.out.count("pong from alice") == 3
    assert done.err == ""
    told = (await overlay("ping", "alice", "-c", "3", "--json")).json
    assert (told["sent"], told["received"], len(told["replies"])) == (3, 3, 3)
    assert told["replies"][0]["via"] == "192.0.2.1:7777 (direct)"


async def test_exit_codes_are_those_of_ping(overlay: Overlay) -> None:
    done = await overlay("ping", "bob", "-c", "1")
    assert (done.code, done.out) == (1, "")
    assert done.err == "overlay: ping: bob did not answer at any address we know; is it up?\n"
    done = await overlay("ping", "nobody", "--json")
    assert (done.code, done.out) == (2, "")
    assert json.loads(done.err)["code"] == "dial-unknown-name"


async def test_decisions_are_told_as_they_are_made_and_paths_at_the_end(overlay: Overlay) -> None:
    overlay.gateway.relayed_pings = 1
    lines = [line.rstrip() for line in (await overlay("ping", "alice", "--explain")).out.splitlines()]
    assert lines[:4] == [
        "pong from alice via relay eu1.example 23.4 ms (connected in 120 ms)",
        "  2.0 s ago  use relay eu1.example: it answered first",
        "pong from alice via 192.0.2.1:7777 (direct) 1.5 ms",
        "  1.0 s ago  use 192.0.2.1:7777: direct (2 times)",
    ]
    assert "Paths to alice; auto is the policy" in lines
    (direct,) = [line.split() for line in lines if line.startswith("→")]
    assert direct == ["→", "192.0.2.1:7777", "direct", "configured", "usable", "never", "never"]
    assert any(line.split()[-6:] == ["23.4", "ms", "0.5", "s", "ago", "never"] for line in lines)
    assert "198.51.100.7:7  direct  server-reflexive" in lines
    assert lines[-1].startswith("alice: 2 sent, 2 received")


async def test_an_explanation_is_json_too(overlay: Overlay) -> None:
    told = (await overlay("ping", "alice", "--explain", "--json")).json
    assert told["paths"]["paths"][0]["selected"] is True
    assert told["paths"]["own_candidates"][0]["kind"] == "server-reflexive"


async def test_a_tunnel_that_ends_between_ping_and_explanation_is_no_crash(
    overlay: Overlay, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = overlay.gateway.paths
    monkeypatch.setattr(overlay.gateway, "paths", lambda name: ask("bob"))
    done = await overlay("ping", "alice", "--explain")
    assert done.code == 0
    assert "  paths: no tunnel with bob is up; try: overlay ping bob" in done.out


async def test_interrupted_it_sums_up_what_came(overlay: Overlay, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pinging.time, "sleep", interrupt)
    done = await overlay("ping", "alice", "-c", "5")
    assert done.code == 0
    assert "1 sent, 1 received" in done.out


def test_times_have_three_digits() -> None:
    assert [pinging._number(one) for one in (6.0, 23.0, 23.44, 0.0816, 1234.5)] == [
        "6",
        "23",
        "23.4",
        "0.0816",
        "1234",
    ]
