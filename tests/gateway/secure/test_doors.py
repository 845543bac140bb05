"""Both doors as a client meets them, with a fake dialer behind: pages, TLS, DNS, coming and going of the authority."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from gateway.answers.base import time_now
from gateway.config.settings import FrontDoorSettings, HttpsSettings
from gateway.dialing import Failure
from gateway.secure.authority import Authority, certificate_file
from gateway.secure.doors import SecureDoors
from gateway.secure.limits import LEAF_BURST
from gateway.stream_header import ListedService
from resolver.names import ServiceProtocol
from tests.lab.dialer import FakeDialer
from tests.lab.http_servers import serve
from tunnels.identity import SecretKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WEB = ListedService("web", 80, 80, (ServiceProtocol.TCP,), public=False)
ALICE = SecretKey(os.urandom(32)).endpoint_id
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Lab:
    """Doors, and what is around them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.dialer = FakeDialer()
        self.requests: list[bytes] = []
        self.changes = 0
        self.admitted = True
        self.why = ""
        self.doors = self.make()

    def make(self, *, port: int = 0, https: bool = True) -> SecureDoors:
        return SecureDoors(
            FrontDoorSettings(port=port),
            HttpsSettings(port=0, enabled=https),
            self.directory,
            self.dialer,
            owner_of=lambda name: ALICE if name.owner == "alice" else None,
            services_at=self._services,
            alias_of=self._no_alias,
            admits=lambda peer: self.admitted,
            clock=time_now,
            changed=self._changed,
            refusal=lambda: self.why,
        )

    async def _services(self, name):
        return (WEB,)

    async def _no_alias(self, name):
        return None

    async def _changed(self) -> None:
        self.changes += 1

    async def backend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            if b"upgrade:" in self.requests[-1].lower():
                writer.write(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                writer.write((await reader.readexactly(4)).upper())
                return
            writer.write(ANSWER)

    def port(self, name: str) -> int:
        report = next(report for report in self.doors.reports() if report.name == name)
        return int(report.addresses[0].rpartition(":")[2])

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(certificate_file(self.directory)))


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    lab = Lab(tmp_path / "ca")
    async with serve(lab.backend) as place:
        lab.dialer.services["web.alice.overlay"] = place
        await lab.doors.start(lambda data, *, over_tcp, done: done(data[:2] + b"\x81\x80" + bytes(8)))
        yield lab
        await lab.doors.close()


async def install(lab: Lab, age: float = 0) -> None:
    await asyncio.to_thread(Authority.make(time_now() - age, "test").save, lab.directory)


async def ask(reader, writer, host: str, target: str = "/", *fields: str) -> bytes:
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", *fields, "", ""]
    writer.write("\r\n".join(lines).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        ),
        0,
    )
    return head + await reader.readexactly(length)


async def test_pages_are_served_on_one_kept_connection(lab):
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port("front door"))
    for _ in range(3):
        assert (await ask(reader, writer, "web.alice.localhost:7380")).endswith(b"hi")
    assert lab.dialer.dialed == [("web.alice.overlay", 80, None)]
    assert b"Host: web.alice.localhost:7380\r\n" in lab.requests[0]
    writer.close()


async def test_a_problem_is_a_page_and_the_connection_goes_on(lab):
    lab.dialer.failures["web.bob.overlay"] = Failure.OFFLINE
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port("front door"))
    said = await ask(reader, writer, "web.bob.localhost", "/", "Accept: text/html")
    assert said.startswith(b"HTTP/1.1 502")
    assert b"<h1>This endpoint does not answer</h1>" in said
    assert (await ask(reader, writer, "web.alice.localhost")).endswith(b"hi")
    assert (await ask(reader, writer, "evil.example")).startswith(b"HTTP/1.1 421")
    writer.close()


async def test_an_upgrade_becomes_a_stream_over_tcp_and_over_tls(lab):
    await install(lab)
    await lab.doors.reload()
    for door, tls in (("front door", None), ("https", lab.tls())):
        host = "web.alice.localhost"
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", lab.port(door), ssl=tls, server_hostname=host if tls else None
        )
        head = await ask(reader, writer, host, "/", "Connection: Upgrade", "Upgrade: websocket")
        assert head.startswith(b"HTTP/1.1 101")
        writer.write(b"ping")
        assert await reader.read() == b"PING"  # and the end of the service's side is the end of ours
        writer.close()


async def test_tls_is_there_while_there_is_an_authority(lab):
    assert lab.doors.reports()[1].note == "see: overlay ca install"
    assert not lab.doors.offers_https(WEB)
    await install(lab)
    await lab.doors.reload()
    await lab.doors.reload()
    assert lab.changes == 1
    assert lab.doors.offers_https(WEB)
    opened = await lab.doors.dialer.open_stream("web.alice.overlay", 443)
    opened.transport.abort()
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", lab.port("https"), ssl=lab.tls(), server_hostname="web.alice.localhost"
    )
    assert (await ask(reader, writer, "web.alice.localhost")).endswith(b"hi")
    assert b"X-Forwarded-Proto: https" in lab.requests[-1]
    certificate_file(lab.directory).unlink()
    await lab.doors.reload()
    assert (lab.changes, lab.doors.offers_https(WEB)) == (2, False)
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        assert await reader.read() == b""
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()


@pytest.mark.parametrize(
    "first", [b"GET / HTTP/1.1\r\nHost: web.alice.localhost\r\n\r\n", b"\x16\x03\x01\x00\x05junk!", b""]
)
async def test_what_is_no_tls_ends_and_nothing_else_does(lab, first, caplog):
    await install(lab)
    await lab.doors.reload()
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port("https"))
    writer.write(first)
    writer.write_eof()
    with contextlib.suppress(ConnectionError):
        assert not (await reader.read()).startswith(b"HTTP")
    writer.close()
    assert "crashed" not in caplog.text
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", lab.port("https"), ssl=lab.tls(), server_hostname="web.alice.localhost"
    )
    assert (await ask(reader, writer, "web.alice.localhost")).endswith(b"hi")
    writer.close()


async def test_other_users_are_told_nothing(lab):
    lab.admitted = False
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port("front door"))
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()


async def test_without_room_both_doors_say_so_and_end_the_connection(lab):
    await install(lab)
    await lab.doors.reload()
    lab.why = "this gateway has no room for more connections"
    for name, tls in (("front door", None), ("https", lab.tls())):
        server_name = "web.alice.localhost" if tls else None
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", lab.port(name), ssl=tls, server_hostname=server_name
        )
        answer = await ask(reader, writer, "web.alice.localhost")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"This gateway has no room for more connections." in answer
        assert await reader.read() == b""
        writer.close()
    assert lab.requests == []
    lab.why = ""
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port("front door"))
    assert (await ask(reader, writer, "web.alice.localhost")).endswith(b"hi")
    writer.close()


async def test_a_page_that_asks_for_names_of_nobody_keeps_nobody_out(lab):
    await install(lab)
    await lab.doors.reload()

    async def shakes_hands(host: str) -> bool:
        try:
            _, writer = await asyncio.open_connection(
                "127.0.0.1", lab.port("https"), ssl=lab.tls(), server_hostname=host
            )
        except (ssl.SSLError, ConnectionError):
            return False
        writer.close()
        return True

    strangers = [SecretKey(os.urandom(32)).endpoint_id for _ in range(int(LEAF_BURST))]
    shaken = [await shakes_hands(f"{stranger}.localhost") for stranger in strangers]
    shaken += [await shakes_hands(f"n{number}.nobody.localhost") for number in range(30)]
    assert False in shaken
    assert await shakes_hands("web.alice.localhost")
    assert await shakes_hands("dns.localhost")


async def test_dns_is_answered_at_its_own_name_only(lab):
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port("front door"))
    said = await ask(
        reader, writer, "dns.localhost", "/dns-query?dns=AAABAAABAAAAAAAAA3dlYgVhbGljZQdvdmVybGF5AAABAAE"
    )
    assert said.startswith(b"HTTP/1.1 200")
    assert b"application/dns-message" in said
    assert (await ask(reader, writer, "dns.localhost", "/")).startswith(b"HTTP/1.1 404")
    assert (await ask(reader, writer, "web.alice.localhost", "/dns-query?dns=AAAB")).endswith(b"hi")
    writer.close()


async def test_without_a_dns_server_there_is_no_dns_over_https(tmp_path):
    lab = Lab(tmp_path)
    await lab.doors.start(None)
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port("front door"))
    assert (await ask(reader, writer, "dns.localhost", "/dns-query")).startswith(b"HTTP/1.1 404")
    writer.close()
    await lab.doors.close()


async def test_a_port_that_is_taken_keeps_nobody_from_starting(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        doors = Lab(tmp_path).make(port=taken.getsockname()[1])
        await doors.start(None)
        report = doors.reports()[0]
        assert (report.addresses, report.enabled) == ((), True)
        assert "[front_door] port" in report.note
        await doors.close()


async def test_an_authority_that_is_damaged_or_has_expired_serves_nobody(tmp_path, caplog):
    lab = Lab(tmp_path / "ca")
    await install(lab, age=3000 * 86400)
    doors = lab.make()
    await doors.start(None)
    assert "has expired" in caplog.text
    certificate_file(lab.directory).write_bytes(b"junk")
    await doors.reload()
    assert "overlay ca remove" in caplog.text
    assert doors.reports()[1].addresses == ()
    await doors.close()


async def test_https_can_be_off(tmp_path):
    lab = Lab(tmp_path)
    await install(lab)
    doors = lab.make(https=False)
    await doors.start(None)
    assert doors.reports()[1].note == "[https] enabled is false"
    assert not doors.offers_https(WEB)
    await doors.close()
