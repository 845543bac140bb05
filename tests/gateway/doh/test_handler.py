"""DNS over HTTPS as a program meets it, with the real responder behind."""

from __future__ import annotations

import asyncio
import contextlib
from base64 import urlsafe_b64encode
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession, TCPConnector, web
from dnslib import RCODE, DNSQuestion, DNSRecord

from gateway.doh.handler import DohHandler
from resolver.limits import QUERY_BYTES
from resolver.responder import Responder
from resolver.zone import Zone
from tests.lab.resolver_facts import WEB_ADDRESS, FakeNames

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MEDIA = {"Content-Type": "application/dns-message"}


@contextlib.asynccontextmanager
async def serving(respond) -> AsyncIterator[tuple[ClientSession, str]]:
    app = web.Application(client_max_size=1)  # as the dashboard's has it
    app.add_routes(DohHandler(respond).routes())
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    async with ClientSession(connector=TCPConnector()) as session:
        yield session, f"http://127.0.0.1:{port}/dns-query"
    await runner.cleanup()


@contextlib.asynccontextmanager
async def resolving() -> AsyncIterator[tuple[ClientSession, str]]:
    responder = Responder(Zone(IPv4Network("127.64.0.0/10"), ttl=60), FakeNames())
    async with serving(responder.respond) as served:
        yield served
    await responder.close()


def query(name: str) -> bytes:
    made = DNSRecord(q=DNSQuestion(name))
    made.header.id = 0
    return made.pack()


def parameter(data: bytes) -> dict[str, str]:
    return {"dns": urlsafe_b64encode(data).rstrip(b"=").decode()}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_both_methods_give_the_answers_of_the_dns_server(method):
    async with resolving() as (session, url):
        asked = query("web.alice.overlay")
        words = {"params": parameter(asked)} if method == "GET" else {"data": asked, "headers": MEDIA}
        async with session.request(method, url, **words) as said:
            reply = DNSRecord.parse(await said.read())
            assert said.status == 200
            assert said.headers["Content-Type"] == "application/dns-message"
            assert said.headers["Cache-Control"] == "max-age=60"
        assert str(reply.rr[0].rdata) == str(WEB_ADDRESS)
        assert reply.header.id == 0


async def test_names_elsewhere_are_refused_as_the_dns_server_does():
    async with (
        resolving() as (session, url),
        session.get(url, params=parameter(query("example.com"))) as said,
    ):
        assert said.status == 200
        assert DNSRecord.parse(await said.read()).header.rcode == RCODE.REFUSED
        assert said.headers["Cache-Control"] == "max-age=0"


@pytest.mark.parametrize(
    ("method", "words", "status"),
    [
        ("GET", {}, 400),
        ("GET", {"params": {"dns": "!"}}, 400),
        ("POST", {"data": query("a.overlay")}, 415),
        ("POST", {"data": b"x", "headers": MEDIA}, 400),
        ("POST", {"data": bytes(QUERY_BYTES + 1), "headers": MEDIA}, 413),
        ("PUT", {"data": query("a.overlay"), "headers": MEDIA}, 405),
        ("HEAD", {}, 405),
        ("GET", {"params": parameter(query("a.overlay")), "headers": {"Origin": "http://evil.example"}}, 403),
        ("GET", {"params": parameter(query("a.overlay")), "headers": {"Sec-Fetch-Site": "cross-site"}}, 403),
        ("POST", {"data": b"\x80" * 12, "headers": MEDIA}, 400),
    ],
)
async def test_what_is_no_query_of_a_resolver_gets_no_answer(method, words, status):
    async with resolving() as (session, url), session.request(method, url, **words) as said:
        assert said.status == status
        assert said.headers["Content-Type"] != "application/dns-message"


async def test_a_query_that_does_not_arrive_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("gateway.doh.handler.DOH_BODY_SECONDS", 0.05)
    async with resolving() as (_, url):
        port = int(url.split(":")[2].split("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /dns-query HTTP/1.1\r\nHost: x\r\nContent-Type: application/dns-message\r\n"
            b"Content-Length: 20\r\n\r\n1234"
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        writer.close()


async def test_whoever_leaves_before_the_answer_harms_nobody():
    asked: asyncio.Future = asyncio.get_running_loop().create_future()
    async with serving(lambda data, *, over_tcp, done: asked.set_result(done)) as (session, url):
        asking = asyncio.get_running_loop().create_task(
            session.get(url, params=parameter(query("a.overlay")))
        )
        done = await asked
        asking.cancel()
        done(b"late")
        done(None)
