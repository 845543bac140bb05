"""For which services TLS ends in the gateway, and which are passed through."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from gateway.answers.base import time_now
from gateway.dialing import DialError, Failure
from gateway.secure.authority import Authority
from gateway.secure.leaves import Leaves
from gateway.secure.serving import HttpDoor
from gateway.secure.terminating import TerminatingDialer, is_plain_http, plain_port
from gateway.splice import Held
from gateway.stream_header import ListedService
from resolver.names import OverlayName, ServiceProtocol
from tests.lab.dialer import FakeDialer, Tasks
from tests.lab.http_servers import echo, serve

TCP, UDP = ServiceProtocol.TCP, ServiceProtocol.UDP


def offered(name: str, first: int, last: int = 0, *protocols: ServiceProtocol) -> ListedService:
    return ListedService(name, first, last or first, protocols or (TCP,), public=False)


@pytest.mark.parametrize(
    ("host", "services", "port"),
    [
        ("web.alice.overlay", [offered("web", 80)], 80),
        ("alice.overlay", [offered("web", 80), offered("ssh", 22)], 80),
        ("dev.alice.overlay", [offered("dev", 3000)], 3000),
        ("web.alice.overlay", [offered("web", 80), offered("api", 443)], 80),
        ("alice.overlay", [offered("web", 80), offered("api", 443)], None),
        ("web.alice.overlay", [offered("web", 443)], None),
        ("web.alice.overlay", [offered("web", 80, 500)], None),
        ("api.alice.overlay", [offered("api", 8443)], None),
        ("ssh.alice.overlay", [offered("ssh", 22)], None),
        ("web.alice.overlay", [offered("web", 80, 80, UDP)], None),
        ("alice.overlay", [offered("web", 80), offered("dev", 3000)], None),
        ("web.alice.overlay", [], None),
    ],
)
def test_tls_ends_here_for_what_is_certainly_plain_http(host, services, port):
    assert plain_port(OverlayName.parse(host), services) == port


def test_plain_http_is_what_is_shown_with_http():
    assert is_plain_http(offered("web", 80))
    assert not is_plain_http(offered("web", 443))
    assert not is_plain_http(offered("web", 80, 80, UDP))


class Overlay:
    """A dialer with its surroundings."""

    def __init__(self, tasks: Tasks, *, has_authority: bool = True) -> None:
        self.inner = FakeDialer()
        self.services = (offered("web", 80), offered("ssh", 22))
        self.aliases: dict[str, OverlayName | str] = {}
        self.authority = Authority.make(time_now(), "")
        leaves = Leaves(self.authority, time_now) if has_authority else None
        self.asked: list[OverlayName] = []
        self.dialer = TerminatingDialer(
            self.inner,
            lambda name: None,
            self._services,
            self._alias,
            lambda: leaves,
            tasks.spawn,
            HttpDoor(self.inner, lambda sock: False),
        )

    async def _services(self, name: OverlayName) -> tuple[ListedService, ...]:
        self.asked.append(name)
        return self.services

    async def _alias(self, name: OverlayName) -> OverlayName | str | None:
        return self.aliases.get(str(name))


@pytest.fixture
async def tasks():
    tasks = Tasks()
    yield tasks
    await tasks.close()


async def test_what_has_no_http_is_dialed_as_it_was_asked_for(tasks):
    overlay = Overlay(tasks)
    async with serve(echo) as place:
        overlay.inner.services["ssh.alice.overlay"] = overlay.inner.services["example.com"] = place
        overlay.inner.services["web.alice.overlay"] = place
        for host, port in (("ssh.alice.overlay", 443), ("example.com", 443), ("web.alice.overlay", 80)):
            (await overlay.dialer.open_stream(host, port, user="u")).transport.abort()
            assert overlay.inner.dialed[-1] == (host, port, "u")
    assert [str(name) for name in overlay.asked] == [
        "ssh.alice.overlay"
    ]  # port 80 and the web cost no question


async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")


async def test_whoever_speaks_to_the_proxy_as_a_user_is_that_user_behind_tls_too(tasks):
    overlay = Overlay(tasks)
    overlay.inner.failures["dev.alice.overlay"] = Failure.PROFILE
    overlay.services = (offered("web", 80), offered("dev", 3000))
    trusted = ssl.create_default_context(cadata=overlay.authority.pem.decode())
    async with serve(answered) as place:
        overlay.inner.services["web.alice.overlay"] = place
        for host, user, said in (
            ("web.alice.overlay", "work", b"200 OK"),
            ("web.alice.overlay", None, b"200 OK"),
            ("dev.alice.overlay", "work", b"403 Forbidden"),
        ):
            opened = await overlay.dialer.open_stream(host, 443, user=user)
            sock = opened.transport.get_extra_info("socket").dup()
            opened.transport.abort()
            reader, writer = await asyncio.open_connection(sock=sock, ssl=trusted, server_hostname=host)
            writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert said in await reader.readuntil(b"\r\n\r\n")
            writer.close()
            assert overlay.inner.dialed[-1][::2] == (host, user)


async def test_without_an_authority_nothing_is_looked_at(tasks):
    overlay = Overlay(tasks, has_authority=False)
    overlay.inner.failures["web.alice.overlay"] = Failure.OFFLINE
    with pytest.raises(DialError):
        await overlay.dialer.open_stream("web.alice.overlay", 443)
    assert not overlay.asked


@pytest.mark.parametrize(
    ("alias", "ends_here"),
    [
        ("web.alice.overlay", True),
        ("ssh.alice.overlay", False),
        ("web.bob.overlay", False),
        ("example.com", False),
    ],
)
async def test_an_alias_is_what_it_stands_for_unless_that_is_somebody_elses(tasks, alias, ends_here):
    overlay = Overlay(tasks)
    overlay.aliases["blog.alice.overlay"] = OverlayName.parse(alias) if alias.endswith("overlay") else alias
    async with serve(echo) as place:
        overlay.inner.services["blog.alice.overlay"] = place
        opened = await overlay.dialer.open_stream("blog.alice.overlay", 443)
        assert (overlay.inner.dialed == []) == ends_here
        opened.transport.set_protocol(Held())
        opened.transport.abort()


async def test_aliases_in_a_circle_end(tasks):
    overlay = Overlay(tasks)
    overlay.aliases = {
        "a.alice.overlay": OverlayName.parse("b.alice.overlay"),
        "b.alice.overlay": OverlayName.parse("a.alice.overlay"),
    }
    overlay.inner.failures["a.alice.overlay"] = Failure.NO_SERVICE
    with pytest.raises(DialError):
        await overlay.dialer.open_stream("a.alice.overlay", 443)
    assert len(overlay.asked) < 20
