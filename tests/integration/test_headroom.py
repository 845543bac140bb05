"""Real gateways that run out of descriptors and of disk: new connections are told so, old ones go on, and all is well afterwards."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.lab.disks import fill, tiny_disk
from tests.lab.echoes import Refusal, Tunnel, echo
from tests.lab.gateways import OVERLAY, GatewayProcess, gateway, introduce, running, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FEW, MORE = 150, 260


def few(descriptors: int) -> tuple[str, ...]:
    """Runs `overlay` with so few descriptors, for good."""
    return ("/bin/sh", "-c", f'ulimit -n {descriptors} && exec {OVERLAY} "$0" "$@"')


class World:
    """Alice with few descriptors, and bob with some more; an echo server behind alice."""

    def __init__(self, alice: GatewayProcess, bob: GatewayProcess, port: int) -> None:
        self.alice, self.bob, self.port = alice, bob, port
        self.open: list[Tunnel] = []

    def fill(self, host: str, at_most: int) -> str:
        """Open connections until one is refused: its answer."""
        for _ in range(at_most):
            try:
                self.open.append(Tunnel(self.bob, host, self.port))
            except Refusal as refusal:
                return str(refusal)
        raise AssertionError(f"{at_most} connections were opened to {host}")

    def end(self, count: int | None = None) -> None:
        for tunnel in self.open[:count]:
            tunnel.close()
        del self.open[:count]

    def opens(self, host: str) -> bool:
        try:
            tunnel = Tunnel(self.bob, host, self.port)
        except Refusal:
            return False
        self.open.append(tunnel)
        return tunnel.says_back(b"again")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("headroom")
    alice = GatewayProcess(place / "alice", nickname="alice", program=few(FEW))
    bob = GatewayProcess(place / "bob", nickname="bob", program=few(MORE))
    with echo() as port, running(alice, bob):
        introduce(alice, bob)
        alice.run("expose", "echo", f"127.0.0.1:{port}", "--allow", "bob")
        yield World(alice, bob, port)


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    yield shared
    shared.end()


def is_fine(gateway: GatewayProcess) -> bool:
    return not any("descriptors:" in warning for warning in gateway.json("status")["warnings"])


def idles(gateway: GatewayProcess) -> bool:
    """It uses less than half of a processor while nobody wants anything of it."""
    before, began = gateway.control.live().process.cpu_seconds, time.monotonic()
    time.sleep(1.5)
    used = gateway.control.live().process.cpu_seconds - before
    return used < (time.monotonic() - began) / 2


def test_a_serving_gateway_that_is_full_says_so_to_the_caller_and_goes_on(world: World) -> None:
    answer = world.fill("echo.alice.overlay", FEW)
    assert answer.startswith("HTTP/1.1 503")
    assert "no room for more connections" in answer
    assert len(world.open) > 20
    assert all(tunnel.says_back(b"still here") for tunnel in world.open)
    assert idles(world.alice)
    assert not is_fine(world.alice)
    assert world.alice.said().count("new connections are refused") == 1
    world.end(len(world.open) // 2)
    wait_until(lambda: world.opens("echo.alice.overlay"), 15)
    wait_until(lambda: is_fine(world.alice), 15)


def test_a_proxy_that_is_full_says_so_to_the_client_and_goes_on(world: World) -> None:
    answer = world.fill("127.0.0.1", MORE)
    assert answer.startswith("HTTP/1.1 503")
    assert "no room for more connections" in answer
    with urlopen_refused(world.bob.listens("front door"), "echo.alice.localhost") as refused:
        assert refused.code == 503
        assert "no room for more connections" in refused.read().decode().lower()
    # More than there are descriptors, at once: what cannot even be accepted is closed, and nothing spins.
    for _ in range(3):
        refused = [Knock(world.bob) for _ in range(MORE)]
        for each in refused:
            each.close()
    assert all(tunnel.says_back(b"still here") for tunnel in world.open)
    assert idles(world.bob)
    assert not is_fine(world.bob)
    assert world.bob.said().count("new connections are refused") == 1
    world.end(len(world.open) // 2)
    wait_until(lambda: world.opens("127.0.0.1"), 15)
    wait_until(lambda: is_fine(world.bob), 15)


def urlopen_refused(place: str, host: str) -> urllib.error.HTTPError:
    """What a front door answers that lets nobody in."""
    request = urllib.request.Request(f"http://{place}/", headers={"Host": host})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    return refused.value


class Knock:
    """A client that connects and says nothing."""

    def __init__(self, gateway: GatewayProcess) -> None:
        import socket

        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", gateway.port("proxy")))

    def close(self) -> None:
        self.socket.close()


def test_a_full_disk_is_told_and_the_gateway_goes_on(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with tiny_disk(home, kilobytes=3000), gateway(home, nickname="alice") as alice:
        fill(home)
        wait_until(lambda: any("disk:" in warning for warning in alice.json("status")["warnings"]), 15)
        assert alice.said().count("are left where") == 1
        with echo() as port:
            tunnel = Tunnel(alice, "127.0.0.1", port)
            assert tunnel.says_back(b"hello")
            tunnel.close()
        os.unlink(home / "ballast")
        wait_until(lambda: "disk: there is room again" in alice.said(), 15)
        wait_until(lambda: not any("disk:" in each for each in alice.json("status")["warnings"]), 15)
