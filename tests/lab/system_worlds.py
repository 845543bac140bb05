"""Alice and bob on one machine with a resolver of its own, and bob's gateway asked by that: names work in every program there."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.lab.gateways import GatewayProcess, introduce, running, wait_until
from tests.lab.system_dns import RESOLVERS, SystemMachine, system_machine
from tests.lab.web import WebServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = "http://web.alice.overlay/"


@dataclass(frozen=True, slots=True)
class SystemWorld:
    """Commands of `machine` see its resolver; alice exposes `web` there, which bob opens at PAGE."""

    machine: SystemMachine
    alice: GatewayProcess
    bob: GatewayProcess
    web: WebServer

    def dns(self, *words: str, check: bool = True):
        """`overlay dns …` of bob's gateway, as root."""
        return self.bob.run("dns", *words, check=check, timeout=60)

    def opens(self) -> bool:
        """Whether curl gets the page by the system's resolver alone."""
        done = self.machine.run("curl", "-sS", "--max-time", "10", PAGE, check=False)
        return "Hello from alice" in done.stdout

    @contextlib.contextmanager
    def told(self, resolver: str) -> Iterator[None]:
        """The machine has this resolver, which has been told of bob's gateway; both are taken back."""
        unit = RESOLVERS[resolver](self.machine)
        try:
            self.dns("install")
            yield
        finally:
            self.dns("remove", check=False)
            self.machine.systemctl("stop", unit)
            self.machine.run("rm", "-f", "/etc/resolv.conf")


@contextlib.contextmanager
def system_world(place: Path) -> Iterator[SystemWorld]:
    """Two gateways and a web server on a machine that has no resolver yet: see RESOLVERS and `SystemWorld.told`.

    What stands in `place / "files"` is served at /files.
    """
    files = place / "files"
    files.mkdir()
    with system_machine(place) as machine:
        alice, bob = (
            GatewayProcess(place / name, nickname=name, namespace=machine) for name in ("alice", "bob")
        )
        with running(alice, bob), contextlib.ExitStack() as stack:
            with machine.entered():
                web = WebServer(files)
            stack.callback(web.close)
            introduce(alice, bob)
            alice.run("expose", "web", f"127.0.0.1:{web.port}", "--allow", "bob")
            port = str(bob.port("dns"))
            wait_until(
                lambda: machine.dig("web.alice.overlay", "-p", port, server="127.0.0.1"),
                what="bob knows alice's service",
            )
            yield SystemWorld(machine, alice, bob, web)
