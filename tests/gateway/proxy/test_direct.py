"""Hosts outside the overlay."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from gateway.dialing import DialError, Failure, OpenedStream
from gateway.proxy.direct import DirectDialer
from gateway.proxy.listener import ProxySettings
from gateway.splice import reset
from tests.lab.http_proxy import proxy
from tests.lab.http_servers import echo, serve
from tests.lab.http_udp import udp_socket

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Collect(asyncio.Protocol):
    def __init__(self) -> None:
        self.received = asyncio.Queue[bytes]()

    def data_received(self, data: bytes) -> None:
        self.received.put_nowait(data)


async def ping(opened: OpenedStream) -> None:
    collect = _Collect()
    opened.transport.set_protocol(collect)
    opened.transport.resume_reading()
    opened.transport.write(b"ping")
    assert await asyncio.wait_for(collect.received.get(), 5) == b"ping"
    opened.transport.abort()


async def failure(host: str, port: int, timeout: float = 5.0) -> Failure:
    with pytest.raises(DialError) as caught:
        await DirectDialer(timeout=timeout).open_stream(host, port)
    assert "\n" not in str(caught.value)
    assert host in str(caught.value)
    return caught.value.failure


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as bound:  # bound and not listening: connections are refused
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_stream_opens(host: str) -> None:
    async with serve(echo) as (_, port):
        opened = await DirectDialer().open_stream(host, port)
        assert not opened.transport.is_reading()  # type: ignore[attr-defined]
        await ping(opened)


async def test_failures_are_told_apart(closed_port: int) -> None:
    assert await failure("127.0.0.1", closed_port) is Failure.TARGET_REFUSED
    assert await failure("localhost", closed_port) is Failure.TARGET_REFUSED
    assert await failure("a..b", 80) is Failure.UNKNOWN_NAME
    assert await failure("x" * 64 + ".example", 80) is Failure.UNKNOWN_NAME
    assert await failure("ff02::1", 80) is Failure.TARGET_UNREACHABLE


async def test_a_host_that_does_not_answer_is_given_up() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = []
        for _ in range(3):  # fill its queue, so that the kernel answers no more
            extra = socket.socket()
            extra.setblocking(False)
            extra.connect_ex(full.getsockname())
            waiting.append(extra)
        assert await failure("127.0.0.1", full.getsockname()[1], timeout=0.2) is Failure.TARGET_UNREACHABLE
        for extra in waiting:
            extra.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
async def test_the_proxy_does_not_go_round_in_circles(host: str, bound: str) -> None:
    async with proxy() as lab:
        dialer = DirectDialer()
        dialer.own_address = (bound, lab.listener.address[1])
        lab.listener.configure(ProxySettings(dialer))
        port = lab.listener.address[1]
        reader, writer = await asyncio.open_connection(*lab.listener.address)
        writer.write(f"GET http://{host}:{port}/ HTTP/1.0\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 5)
        assert answer.startswith(b"HTTP/1.1 403")
        assert b"is this proxy itself" in answer
        writer.close()
        assert lab.listener.status().accepted == 2


async def test_datagrams_go_and_come() -> None:
    got: asyncio.Queue[bytes] = asyncio.Queue()
    ended: list[None] = []
    async with udp_socket(echo=True) as service:
        flow = await DirectDialer().open_flow(
            "localhost", service.address[1], got.put_nowait, lambda: ended.append(None)
        )
        flow.send(b"x" * 9000)
        assert await asyncio.wait_for(got.get(), 5) == b"x" * 9000
        flow.close()
        flow.close()
        flow.send(b"late")
    assert ended == []


async def test_a_udp_service_that_is_away_ends_nothing() -> None:
    async with udp_socket() as gone:
        port = gone.address[1]
    flow = await DirectDialer().open_flow("127.0.0.1", port, lambda _: None, lambda: None)
    for _ in range(3):
        flow.send(b"x")
        await asyncio.sleep(0)
    flow.close()
    with pytest.raises(DialError) as caught:
        await DirectDialer().open_flow("a..b", 1, lambda _: None, lambda: None)
    assert caught.value.failure is Failure.UNKNOWN_NAME


async def test_cancelling_leaves_nothing_open() -> None:
    async with serve(echo) as (host, port):
        async with asyncio.timeout(0.5):
            opened = await DirectDialer().open_stream(host, port)
        reset(opened.transport)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await DirectDialer().open_stream("localhost", port)
