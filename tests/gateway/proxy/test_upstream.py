"""Through an outside proxy, which here is our own."""

from __future__ import annotations

import asyncio
import warnings

import pytest

from gateway.dialing import DialError, Failure
from gateway.errors import ConfigurationError
from gateway.proxy.direct import DirectDialer
from gateway.proxy.requests import Credentials
from gateway.proxy.upstream import UpstreamProxy
from tests.lab.http_proxy import proxy
from tests.lab.http_servers import echo, scripted, serve

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pproxy  # noqa: F401 - its first compilation warns on Python 3.12

SCHEMES = ["socks5", "http"]


class _Collect(asyncio.Protocol):
    def __init__(self, early: bytes) -> None:
        self.data = early
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.data += data

    def eof_received(self) -> None:
        self.ended.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("login", ["", "ann:p%23w@"])
async def test_a_stream_opens_through_it_and_nothing_is_lost(scheme: str, login: str) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello ")
        writer.write(await reader.readexactly(4))
        await reader.read()
        writer.write_eof()

    async with proxy(Credentials("ann", "p#w") if login else None) as lab, serve(greet) as place:
        lab.dialer.services["far.example"] = place
        dialer = DirectDialer(upstream=UpstreamProxy.parse(f"{scheme}://{login}{lab.place}"))
        opened = await dialer.open_stream("far.example", 7)
        collect = _Collect(opened.early)
        opened.transport.set_protocol(collect)
        opened.transport.resume_reading()
        opened.transport.write(b"ping")
        opened.transport.write_eof()
        await asyncio.wait_for(collect.ended.wait(), 5)
        assert collect.data == b"hello ping"
        opened.transport.abort()


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_what_it_refuses_is_told(scheme: str) -> None:
    async with proxy() as lab:
        dialer = DirectDialer(upstream=UpstreamProxy.parse(f"{scheme}://{lab.place}"))
        with pytest.raises(DialError, match=r"far\.example:7 cannot be reached: the outside proxy") as caught:
            await dialer.open_stream("far.example", 7)
        assert caught.value.failure is Failure.TARGET_UNREACHABLE


@pytest.mark.parametrize("answer", [b"junk\r\n\r\n", b""])
async def test_an_http_proxy_that_is_none_is_told(answer: bytes) -> None:
    async with serve(scripted(answer, close=True)) as (host, port):
        dialer = DirectDialer(upstream=UpstreamProxy.parse(f"http://{host}:{port}"))
        with pytest.raises(DialError, match=f"the outside proxy {host}:{port} does not answer"):
            await dialer.open_stream("far.example", 7)


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_proxy_that_is_away_is_told_as_such(scheme: str) -> None:
    async with serve(echo) as (host, port):
        pass
    dialer = DirectDialer(upstream=UpstreamProxy.parse(f"{scheme}://{host}:{port}"))
    with pytest.raises(DialError, match=f"the outside proxy {host}:{port} does not answer"):
        await dialer.open_stream("far.example", 7)


async def test_a_proxy_that_is_ourselves_is_refused() -> None:
    async with proxy() as lab, serve(echo) as place:
        lab.dialer.services["far.example"] = place
        dialer = DirectDialer(upstream=UpstreamProxy.parse(f"http://{lab.place}"))
        dialer.own_address = lab.listener.address
        with pytest.raises(DialError, match="itself"):
            await dialer.open_stream("far.example", 7)


async def test_udp_is_refused_with_the_reason() -> None:
    with pytest.raises(DialError, match="carries only TCP"):
        await DirectDialer(upstream=UpstreamProxy("http", "127.0.0.1", 1)).open_flow(
            "a", 1, print, lambda: None
        )


@pytest.mark.parametrize(
    "uri", ["", "socks5://", "socks5://host", "ftp://host:1", "http://host:x", "http://host:1/path", "host:1"]
)
def test_a_setting_that_is_not_understood_says_what_is_expected(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="write it socks5://host:port"):
        UpstreamProxy.parse(uri)


def test_the_setting_is_read_and_its_password_never_shown() -> None:
    upstream = UpstreamProxy.parse("socks5h://ann:s%40crt@[::1]:1080")
    assert upstream == UpstreamProxy("socks5", "::1", 1080, "ann", "s@crt")
    assert "crt" not in repr(upstream)
