"""Facts about UPnP with a router that lies, or is asked by another name; real ones are in tests/integration."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address

import pytest
from aiohttp import web
from async_upnp_client.const import HttpRequest
from async_upnp_client.exceptions import UpnpCommunicationError

from tunnels import limits
from tunnels.errors import Unreachable
from tunnels.transports import igd
from tunnels.transports.igd import Igd, is_at, location_of

ROUTER = "192.168.1.1"
LOOPBACK = IPv4Address("127.0.0.1")


@pytest.mark.parametrize(
    ("url", "is_its"),
    [
        ("http://192.168.1.1:5000/rootDesc.xml", True),
        ("http://192.168.1.1/", True),
        ("https://192.168.1.1/", False),
        ("http://192.168.1.2/", False),
        ("http://192.168.1.1.example/", False),
        ("http://user@192.168.1.1/", False),
        ("http://192.168.1.1@evil.example/", False),
        ("http://router.local/", False),
        ("http://192.168.1.1:0/", False),
        ("http://192.168.1.1:99999/", False),
        ("http://[::1", False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_only_plain_http_at_the_routers_own_address_is_asked(url, is_its):
    assert is_at(url, ROUTER) is is_its


@pytest.mark.parametrize(
    ("answer", "location"),
    [
        (b"HTTP/1.1 200 OK\r\nST: x\r\nLOCATION: http://192.168.1.1/d\r\n\r\n", "http://192.168.1.1/d"),
        (b"HTTP/1.0 200 OK\nlocation:http://192.168.1.1/d\n\n", "http://192.168.1.1/d"),
        (b"HTTP/1.1 404 No\r\nLOCATION: http://192.168.1.1/d\r\n\r\n", ""),
        (b"NOTIFY * HTTP/1.1\r\nLOCATION: http://192.168.1.1/d\r\n\r\n", ""),
        (b"\xff\xfe", ""),
        (b"", ""),
    ],
)
def test_the_location_is_found_in_an_answer_and_in_nothing_else(answer, location):
    assert location_of(answer) == location


class Router(asyncio.DatagramProtocol):
    """Answers searches on loopback with what it is told to."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def connection_made(self, transport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr) -> None:
        self.transport.sendto(self.answer, addr)


async def search(monkeypatch, answer: bytes) -> str:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Router(answer), local_addr=("127.0.0.1", 0))
    monkeypatch.setattr(igd, "_PORT", transport.get_extra_info("sockname")[1])
    monkeypatch.setattr(igd, "_MULTICAST", "127.0.0.1")
    monkeypatch.setattr(limits, "UPNP_SEARCH", 0.3)
    try:
        return await igd._search(LOOPBACK, LOOPBACK)
    finally:
        transport.close()


async def test_a_router_is_found_by_asking_it(monkeypatch):
    answer = b"HTTP/1.1 200 OK\r\nLOCATION: http://127.0.0.1:5000/d\r\n\r\n"
    assert await search(monkeypatch, answer) == "http://127.0.0.1:5000/d"


async def test_a_router_that_names_another_machine_is_not_believed(monkeypatch):
    with pytest.raises(Unreachable, match="does not answer"):
        await search(monkeypatch, b"HTTP/1.1 200 OK\r\nLOCATION: http://10.0.0.1:8080/admin\r\n\r\n")


async def served(handler) -> tuple[web.AppRunner, str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}/d"


async def test_redirects_are_not_followed_and_answers_are_bounded():
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/large":
            return web.Response(body=bytes(limits.UPNP_BODY + 1))
        raise web.HTTPFound("http://10.0.0.1/")

    runner, url = await served(handler)
    requester = igd._Requester(LOOPBACK)
    assert (await requester.async_http_request(HttpRequest("GET", url, {}, None))).status_code == 302
    with pytest.raises(UpnpCommunicationError):
        await requester.async_http_request(HttpRequest("GET", url.replace("/d", "/large"), {}, None))
    with pytest.raises(UpnpCommunicationError):
        await requester.async_http_request(HttpRequest("GET", "http://10.0.0.1/", {}, None))
    await runner.cleanup()


@pytest.mark.parametrize(
    "body", ["", "<not xml", "<root/>", "<root xmlns='urn:schemas-upnp-org:device-1-0'><device/></root>"]
)
async def test_a_description_that_is_none_is_an_error_in_words(monkeypatch, body):
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=body)

    runner, url = await served(handler)

    async def found(router: IPv4Address, own_ip: IPv4Address) -> str:
        return url

    monkeypatch.setattr(igd, "_search", found)
    with pytest.raises(Unreachable):
        await Igd(LOOPBACK, LOOPBACK).add(41641, 41641, 7200)
    await Igd(LOOPBACK, LOOPBACK).remove(41641)
    await runner.cleanup()
