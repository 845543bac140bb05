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
