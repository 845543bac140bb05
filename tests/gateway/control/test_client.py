"""A command gets the daemon's reports and errors, and is told plainly when there is no daemon or another one."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from typing import TYPE_CHECKING, TypeVar

import pytest

from gateway.control.client import ControlClient
from gateway.control.contacts import AddContactRequest, RenameContactRequest
from gateway.control.names import PingRequest, ResolveRequest
from gateway.control.services import ExposeRequest
from gateway.control.tickets import JoinRequest, TicketRequest
from gateway.dialing import DialError, Failure
from gateway.errors import ConfigurationError, GatewayError, NotRunning, UsageError
from gateway.home import Home
from tests.lab.control import ALICE, SETTINGS, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = Home(tmp_path / "home")
    found.create()
    return found


async def ask(home: Home, question: Callable[[ControlClient], T]) -> T:
    """Run a blocking call beside the server."""
    return await asyncio.to_thread(lambda: question(ControlClient(home, timeout=5.0)))


@pytest.mark.parametrize(
    "ask_of", ["whois", "paths", "unexpose", "remove_contact", "leave_topic", "topic_peers"]
)
async def test_an_empty_name_is_the_persons_mistake(home: Home, ask_of: str) -> None:
    async with serving(home):
        with pytest.raises(UsageError, match="a name is empty"):
            await ask(home, lambda c: getattr(c, ask_of)(""))


async def test_every_method_of_the_gateway_can_be_called(home: Home) -> None:
    async with serving(home) as gateway:
        assert (await ask(home, lambda c: c.status())) == await gateway.status()
        request = ExposeRequest(name="web", settings=SETTINGS)
        exposed = await ask(home, lambda c: c.expose(request))
        assert exposed.settings == SETTINGS
        assert (await ask(home, lambda c: c.services())) == (exposed,)
        assert (await ask(home, lambda c: c.unexpose("web"))) == exposed
        added = await ask(
            home,
            lambda c: c.add_contact(
                AddContactRequest(petname="x", id_or_ticket=ALICE, addresses=("1.2.3.4:5",))
            ),
        )
        assert added.addresses == ("1.2.3.4:5",)
        renamed = await ask(home, lambda c: c.rename_contact("x", RenameContactRequest(petname="y")))
        assert renamed.petname == "y"
        assert len(await ask(home, lambda c: c.contacts())) == 2
        assert (await ask(home, lambda c: c.remove_contact("y"))) == renamed
        assert (await ask(home, lambda c: c.ticket(TicketRequest(expires_in=5.0)))).expires == 1e9 + 5
        preview = JoinRequest(ticket="overlay1abc", preview=True)
        assert (await ask(home, lambda c: c.join(preview))).contact.petname == "carol"
        assert "carol" not in gateway.book
        assert (await ask(home, lambda c: c.ping(PingRequest(name="alice")))).rtt_ms == 1.5
        assert (await ask(home, lambda c: c.resolve(ResolveRequest(name="alice")))).ip == "127.80.3.1"
        assert (await ask(home, lambda c: c.reload())).restart == ("proxy.port",)
        await ask(home, lambda c: c.down())
        assert gateway.asked_down.is_set()


async def test_the_daemons_errors_are_raised_here(home: Home) -> None:
    async with serving(home) as gateway:
        with pytest.raises(UsageError, match="no service is called web"):
            await ask(home, lambda c: c.unexpose("web"))
        with pytest.raises(DialError, match="bob did not answer") as caught:
            await ask(home, lambda c: c.ping(PingRequest(name="bob")))
        assert caught.value.failure is Failure.OFFLINE
        gateway.configuration_is_wrong = True
        with pytest.raises(ConfigurationError, match="did you mean `port`"):
            await ask(home, lambda c: c.reload())


async def test_a_request_that_breaks_a_bound_is_refused_with_the_reason(home: Home) -> None:
    async with serving(home):
        for name in ("", "x" * 300):
            with pytest.raises(UsageError, match=r"length"):
                await ask(home, lambda c, name=name: c.ping(PingRequest(name=name)))


async def test_a_strange_name_in_a_path_stays_one_name(home: Home) -> None:
    async with serving(home):
        for name in ("a/b", "../status", "%2e", "ä b", "x?y#z"):
            with pytest.raises(UsageError, match="no service is called") as caught:
                await ask(home, lambda c, name=name: c.unexpose(name))
            assert f"called {name};" in str(caught.value)


def test_no_daemon_is_told_with_the_remedy(home: Home) -> None:
    with pytest.raises(NotRunning, match=r"none runs on .*; start it with `overlay --home .* up`"):
        ControlClient(home).status()


async def test_the_socket_of_a_dead_daemon_is_no_daemon(home: Home) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(home.control_socket()))
    with pytest.raises(NotRunning):
        await ask(home, lambda c: c.status())


def answering(home: Home, answer: bytes) -> threading.Thread:
    """A daemon that answers one connection with these bytes."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.fspath(home.control_socket()))
    listener.listen()

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"", "the daemon hung up"),
        (b"SSH-2.0-OpenSSH\r\n", "the daemon hung up"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}", "the daemon hung up"),
        (
            b"HTTP/1.1 200 OK\r\nOverlay-Version: 9.0\r\nContent-Length: 2\r\n\r\n{}",
            "the daemon is 9.0 and this command",
        ),
        (
            b"HTTP/1.1 500 Oh\r\nOverlay-Version: 0.1.0\r\nContent-Length: 0\r\n\r\n",
            "answered 500 Oh; see `overlay logs`",
        ),
        (
            b'HTTP/1.1 404 No\r\nContent-Length: 48\r\n\r\n{"error": "control: no", "code": "unknown-path"}',
            "control: no; the daemon is of an unknown version and this command",
        ),
    ],
)
def test_a_daemon_that_makes_no_sense_is_told(home: Home, answer: bytes, told: str) -> None:
    thread = answering(home, answer)
    with pytest.raises(GatewayError, match=told):
        ControlClient(home, timeout=5.0).status()
    thread.join()


def test_a_daemon_that_hangs_is_told(home: Home) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(home.control_socket()))
        listener.listen()
        with pytest.raises(GatewayError, match="did not answer in time"):
            ControlClient(home, timeout=0.1).status()


async def test_a_home_with_a_long_path_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    home = Home(tmp_path / ("x" * 120))
    async with serving(home):
        assert (await ask(home, lambda c: c.status())).nickname == "me"
