"""One client of the proxy: streams, half-close, WebSocket, leaving early, and clients other than curl."""

from __future__ import annotations

import asyncio
import warnings
from typing import TYPE_CHECKING

import pytest

from gateway.dialing import Failure
from gateway.splice import as_transport, reset
from tests.lab.http_proxy import LabProxy, proxy, until
from tests.lab.http_servers import answer_after_end, echo, http_app, scripted, serve
from tests.lab.http_websocket import talk, websocket_echo

if TYPE_CHECKING:
    from aiohttp import web

SOCKS4A = b"\4\1\0\x07\0\0\0\1\0a.overlay\0"
SOCKS5 = b"\5\1\0\5\1\0\3\x09a.overlay\0\7"
CONNECT = b"CONNECT a.overlay:7 HTTP/1.1\r\nHost: a.overlay:7\r\n\r\n"
GRANTED = {
    SOCKS4A: b"\0\x5a\0\0\0\0\0\0",
    SOCKS5: b"\5\0\5\0\0\1\0\0\0\0\0\0",
    CONNECT: b"HTTP/1.1 200 Connection established\r\n\r\n",
}
WAYS = pytest.mark.parametrize("way", [SOCKS4A, SOCKS5, CONNECT], ids=["socks4a", "socks5", "connect"])


async def dial(lab: LabProxy, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(*lab.listener.address)
    writer.write(data)
    return reader, writer


@WAYS
async def test_request_and_response_over_half_close_arrive_whole(way: bytes) -> None:
    async with proxy() as lab, serve(answer_after_end) as place:
        lab.dialer.services["a.overlay"] = place
        reader, writer = await dial(lab, way)
        assert await reader.readexactly(len(GRANTED[way])) == GRANTED[way]
        writer.write(b"x" * 1_000_000)
        writer.write_eof()
        assert await reader.read() == b"got 1000000"
        writer.close()


@WAYS
async def test_bytes_and_end_sent_before_the_answer_are_not_lost(way: bytes) -> None:
    async with proxy() as lab, serve(answer_after_end) as place:
        lab.dialer.services["a.overlay"] = place
        lab.dialer.gate = asyncio.Event()
        reader, writer = await dial(lab, way + b"hello")
        writer.write_eof()
        await until(lambda: lab.dialer.waiting)
        lab.dialer.gate.set()
        assert await reader.read() == GRANTED[way] + b"got 5"
        writer.close()


@WAYS
async def test_a_server_that_speaks_first_is_heard(way: bytes) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await reader.read(1)

    async with proxy() as lab, serve(greet) as place:
        lab.dialer.services["a.overlay"] = place
        reader, writer = await dial(lab, way)
        assert await reader.readexactly(len(GRANTED[way]) + 5) == GRANTED[way] + b"hello"
        writer.close()


@WAYS
async def test_one_byte_at_a_time_is_enough(way: bytes) -> None:
    async with proxy() as lab, serve(echo) as place:
        lab.dialer.services["a.overlay"] = place
        reader, writer = await asyncio.open_connection(*lab.listener.address)
        for byte in way + b"ping":
            writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        assert await reader.readexactly(len(GRANTED[way]) + 4) == GRANTED[way] + b"ping"
        writer.close()


@WAYS
async def test_a_reset_passes_through(way: bytes) -> None:
    async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        reset(as_transport(writer.transport))

    async with proxy() as lab, serve(resetting) as place:
        lab.dialer.services["a.overlay"] = place
        reader, writer = await dial(lab, way + b"xyz")
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1000)
        writer.close()
        await until(lambda: lab.listener.status().connections == 0)


@WAYS
async def test_a_failure_is_answered_and_the_connection_ends(way: bytes) -> None:
    async with proxy() as lab:
        lab.dialer.failures["a.overlay"] = Failure.OFFLINE
        reader, writer = await dial(lab, way + b"early bytes that nobody will read")
        answer = await reader.read()
        expected = {SOCKS4A: b"\0\x5b" + bytes(6), SOCKS5: b"\5\0\5\4\0\1" + bytes(6)}.get(
            way, b"HTTP/1.1 502"
        )
        assert answer.startswith(expected)
        writer.close()
        await until(lambda: lab.listener.status().connections == 0)


async def test_an_http_client_that_leaves_stops_its_dial() -> None:
    async with proxy() as lab:
        lab.dialer.gate = asyncio.Event()
        _, writer = await dial(lab, b"GET http://a.overlay/ HTTP/1.0\r\n\r\n")
        await until(lambda: lab.dialer.waiting)
        reset(as_transport(writer.transport))
        await until(lambda: not lab.dialer.waiting and lab.listener.status().connections == 0)


@pytest.mark.parametrize("size", [10, 300_000])
async def test_a_websocket_works_through_the_http_proxy(size: int) -> None:
    heads: list[web.Request] = []
    async with proxy() as lab, websocket_echo(heads) as place:
        lab.dialer.services["chat.overlay"] = place
        await talk("ws://chat.overlay/chat", size, proxy=f"http://{lab.place}")
        assert heads[0].headers["Host"] == "chat.overlay"
        # and byte by byte, with the first frame sent ahead
        reader, writer = await dial(
            lab,
            b"GET http://chat.overlay/chat HTTP/1.1\r\nHost: chat.overlay\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            b"\x82\x82\0\0\0\0hi",
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101")
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        assert await reader.readexactly(4) == b"\x82\x02hi"
        writer.close()


async def test_a_stale_upstream_does_not_show() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with proxy() as lab, serve(scripted(answer, close=True)) as place:
        lab.dialer.services["a.overlay"] = place
        reader, writer = await dial(lab, b"")
        for _ in range(5):
            writer.write(b"GET http://a.overlay/ HTTP/1.1\r\nHost: a.overlay\r\n\r\n")
            assert await reader.readexactly(len(answer)) == answer
        writer.close()


async def test_junk_and_tls_are_told_what_is_spoken_here() -> None:
    async with proxy() as lab:
        for junk, expected in ((b"\0\1\2", b"SOCKS4a"), (b"\x16\3\1", b"TLS")):
            reader, writer = await dial(lab, junk)
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 400")
            assert expected in answer
            writer.close()


@pytest.mark.parametrize("scheme", ["socks5", "http"])
async def test_pproxy_is_served(scheme: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pproxy
    async with proxy() as lab, serve(echo) as place:
        lab.dialer.services["a.overlay"] = place
        reader, writer = await pproxy.Connection(f"{scheme}://{lab.place}").tcp_connect("a.overlay", 7)
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        writer.close()


async def test_a_http_proxy_client_of_another_make_is_served() -> None:
    import aiohttp

    async with proxy() as lab, serve(http_app("alice")) as a, serve(http_app("bob")) as b:
        lab.dialer.services |= {"alice.overlay": a, "bob.overlay": b}
        async with aiohttp.ClientSession() as session:
            for name in ("alice", "bob", "alice"):
                async with session.post(
                    f"http://{name}.overlay/x", data=b"\r\n\0", proxy=f"http://{lab.place}"
                ) as response:
                    assert await response.read() == f"{name} POST /x 3\n".encode() + b"\r\n\0"
