"""Contacts of contacts with real gateways: found through a friend while no root lives, let in by two words, and out by either."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from tests.lab.gateways import GatewayProcess, free_port, introduce, running, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)

HEARS_WITHIN = 25.0
"""Seconds until news has gone over two gateways, none of which asks another more often than each five seconds."""


@contextlib.contextmanager
def echo_server() -> Iterator[int]:
    """A server behind dave that says what it hears."""

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(1000):
                connection.sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def through(gateway: GatewayProcess, host: str) -> Iterator[tuple[str, socket.socket]]:
    """A connection by the gateway's proxy, and what the proxy answered."""
    address, _, port = gateway.listens("proxy").rpartition(":")
    with socket.create_connection((address, int(port)), 30) as connection:
        connection.sendall(f"CONNECT {host}:7 HTTP/1.1\r\nHost: {host}:7\r\n\r\n".encode())
        yield connection.recv(4096).partition(b"\r\n")[0].decode(), connection


def status_of(gateway: GatewayProcess, host: str) -> str:
    with through(gateway, host) as (answer, _):
        return answer.split()[1]


def has_ended(connection: socket.socket) -> bool:
    connection.settimeout(0.2)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


class Town:
    """Alice introduces; carol and dave may be introduced, bob may not. All know alice and nobody else."""

    def __init__(self, place: Path) -> None:
        self.dave_port = free_port()
        self.alice = self._make(place, "alice", introduce=True)
        self.bob = self._make(place, "bob")
        self.carol = self._make(place, "carol", introducible=True)
        self.dave = self._make(
            place,
            "dave",
            f'[tunnels]\nport = {self.dave_port}\naddresses = ["127.0.0.1:{self.dave_port}"]\n'
            '[publish]\npublic = ["relays", "services", "addresses"]\n',
            introducible=True,
        )
        self.all = (self.alice, self.bob, self.carol, self.dave)

    def _make(self, place: Path, name: str, config: str = "", **social: bool) -> GatewayProcess:
        return GatewayProcess(place / name, nickname=name, config=config + self.settings(**social))

    def settings(self, *, introduce: bool = False, introducible: bool = False) -> str:
        return (
            '[beacons]\nurls = ["http://127.0.0.1:9"]\n[lan]\nenabled = false\n'
            f"[social]\nintroduce = {str(introduce).lower()}\nintroducible = {str(introducible).lower()}\n"
        )

    def meet(self, port: int) -> str:
        """All get to know alice, dave opens a service to whom she introduces; its name."""
        for other in (self.bob, self.carol, self.dave):
            self.alice.run("contacts", "add", other.nickname, other.id)
            other.run("join", self.alice.json("ticket")["ticket"], "--name", "alice")
        done = self.dave.run(
            "expose", "echo", f"127.0.0.1:{port}", "--port", "7", "--allow", "contacts-of:alice"
        )
        assert "offered as port 7/tcp to contacts-of:alice." in done.stdout
        return f"echo.{self.dave.id}.overlay"


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path)
    with running(*made.all):
        yield made


def test_a_friend_of_a_friend_gets_in_and_goes_when_either_of_them_says_so(town: Town) -> None:
    with echo_server() as port:
        host = town.meet(port)
        wait_until(lambda: status_of(town.carol, host) == "200", HEARS_WITHIN, "dave lets carol in")
        sources = {
            each["source"]: each for each in town.carol.json("resolve", town.dave.id, "--explain")["sources"]
        }
        assert sources["contacts of contacts"]["finding"] == "found"
        assert {name for name, each in sources.items() if each["finding"] == "found"} == {
            "contacts of contacts"
        }

        # Bob is alice's contact as much, and did not agree to be told of. He knows dave, or would not even find him.
        assert status_of(town.bob, host) != "200"
        town.bob.run("contacts", "add", "dave", town.dave.id, "--address", f"127.0.0.1:{town.dave_port}")
        assert status_of(town.bob, host) == "404"
        assert town.bob.id not in (town.dave.home / "state" / "circles.json").read_text()

        with through(town.carol, host) as (answer, stream):
            assert answer.split()[1] == "200"
            stream.sendall(b"hello")
            assert stream.recv(5) == b"hello"
            town.alice.run("contacts", "rm", "carol")
            wait_until(
                lambda: has_ended(stream), HEARS_WITHIN, "carol's stream ends, for alice knows her no more"
            )
        assert status_of(town.carol, host) == "404"

        town.alice.run("contacts", "add", "carol", town.carol.id)
        town.carol.run("ping", "alice", "--count", "1")
        wait_until(lambda: status_of(town.carol, host) == "200", HEARS_WITHIN, "dave lets carol in again")
        with through(town.carol, host) as (_, stream):
            (town.alice.home / "gateway.toml").write_text(town.settings(introduce=False))
            assert "social.introduce" in town.alice.run("reload").stdout
            wait_until(
                lambda: has_ended(stream), HEARS_WITHIN, "carol's stream ends, for alice introduces nobody"
            )
        warned = town.dave.run("services").stderr
        assert "echo allows contacts-of:alice, and nobody is introduced (yet): alice needs" in warned


def test_who_does_not_agree_any_more_is_out(town: Town) -> None:
    with echo_server() as port:
        host = town.meet(port)
        wait_until(lambda: status_of(town.carol, host) == "200", HEARS_WITHIN, "dave lets carol in")
        with through(town.carol, host) as (_, stream):
            (town.carol.home / "gateway.toml").write_text(town.settings(introducible=False))
            town.carol.run("reload")
            wait_until(
                lambda: has_ended(stream), HEARS_WITHIN, "carol's stream ends, for she is told of no more"
            )


def test_a_group_lets_its_members_in_and_whoever_leaves_it_out(tmp_path: Path) -> None:
    with (
        echo_server() as port,
        running(
            GatewayProcess(tmp_path / "alice", nickname="alice"),
            GatewayProcess(tmp_path / "bob", nickname="bob"),
        ) as (alice, bob),
    ):
        introduce(alice, bob)
        done = alice.run("expose", "echo", f"127.0.0.1:{port}", "--allow", "group:family", check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert "overlay contacts group add family NAME" in done.stderr
        assert "undo: overlay --home" in alice.run("contacts", "group", "add", "family", "bob").stdout
        done = alice.run("expose", "echo", f"127.0.0.1:{port}", "--port", "7", "--allow", "group:family")
        assert "to group:family." in done.stdout
        assert alice.json("contacts", "group", "ls") == [
            {"group": "family", "members": ["bob"], "services": ["echo"], "changed": []}
        ]
        with through(bob, "echo.alice.overlay") as (answer, stream):
            assert answer.split()[1] == "200"
            alice.run("contacts", "rename", "bob", "robert")
            stream.sendall(b"still here")
            assert stream.recv(10) == b"still here"
            alice.run("contacts", "group", "rm", "family", "robert")
            wait_until(
                lambda: has_ended(stream), what="bob's stream ends, for he is not in the group any more"
            )
        assert status_of(bob, "echo.alice.overlay") == "403"
        assert "nobody is in it" in alice.run("services").stderr
