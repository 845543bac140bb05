"""`overlay ping` and `overlay resolve` tell who answers and what a name stands for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gateway.cli import names

if TYPE_CHECKING:
    import pytest

    from tests.gateway.cli.conftest import Overlay


async def test_a_pong_tells_time_and_path(overlay: Overlay) -> None:
    done = await overlay("ping", "alice", "--count", "1")
    assert (done.code, done.out) == (0, "pong from alice in 1.5 ms, direct at 192.0.2.1:7777\n")


async def test_several_pings_are_counted(overlay: Overlay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_BETWEEN_PINGS", 0.0)
    told = (await overlay("ping", "alice", "-c", "3", "--json")).json
    assert (told["sent"], told["received"], len(told["replies"])) == (3, 3, 3)


async def test_nobody_answering_is_a_failure_with_the_reason(overlay: Overlay) -> None:
    done = await overlay("ping", "bob", "-c", "1")
    assert (done.code, done.out) == (1, "")
    assert done.err == "overlay: ping: bob did not answer at any address we know; is it up?\n"
    done = await overlay("ping", "nobody", "-c", "1", "--json")
    assert json.loads(done.err)["code"] == "dial-unknown-name"


async def test_a_name_is_resolved(overlay: Overlay) -> None:
    done = await overlay("resolve", "alice")
    assert "127.80.3.1:8080/tcp is web (80)" in done.out
    assert (await overlay("resolve", "alice", "--json")).json["ip"] == "127.80.3.1"
    done = await overlay("resolve", "nobody")
    assert (done.code, done.err) == (1, "overlay: resolve: nobody is called nobody\n")
