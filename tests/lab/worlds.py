"""Alice and bob: two real gateways on loopback that know each other, and a web server behind alice, for bob."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from tests.lab.gateways import GatewayProcess, introduce, running
from tests.lab.web import WebServer, web_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class World(NamedTuple):
    """What a test of the whole works with."""

    alice: GatewayProcess
    bob: GatewayProcess
    web: WebServer

    def url(self, path: str = "/") -> str:
        return f"http://web.alice.overlay{path}"


@contextlib.contextmanager
def alice_and_bob(place: Path) -> Iterator[World]:
    """Start them with their homes below `place`; what stands in `place / "files"` is served at /files."""
    files = place / "files"
    files.mkdir()
    with (
        web_server(files) as web,
        running(*(GatewayProcess(place / name, nickname=name) for name in ("alice", "bob"))) as (alice, bob),
    ):
        introduce(alice, bob, lambda: alice.run("expose", "web", f"127.0.0.1:{web.port}", "--allow", "bob"))
        yield World(alice, bob, web)
