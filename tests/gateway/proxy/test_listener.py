"""The proxy's port: limits, floods, bad input, reload, start and stop."""

from __future__ import annotations

import asyncio
import random
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import ConfigurationError
from gateway.headroom.limits import HEADROOM_REFUSALS
from gateway.limits import PROXY_REFUSALS
from gateway.proxy.client import Client
from gateway.proxy.listener import ProxyListener, ProxySettings
from gateway.proxy.requests import Credentials
from tests.lab.dialer import FakeDialer, Tasks
from tests.lab.http_proxy import LabProxy, proxy, until
from tests.lab.http_servers import echo, http_app, serve

SOCKS5 = b"\5\1\0\5\1\0\3\x09a.overlay\0\7"
GRANTED = b"\5\0\5\0\0\1\0\0\0\0\0\0"
GET = b"GET http://web.overlay/ HTTP/1.1\r\nHost: web.overlay\r\n\r\n"

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(lab: LabProxy, data: bytes = b"") -> Connection:
    reader, writer = await asyncio.open_connection(*lab.listener.address)
    writer.write(data)
    return reader, writer


async def served(lab: LabProxy) -> Connection:
    reader, writer = await connect(lab, SOCKS5)
    assert await reader.readexactly(len(GRANTED)) == GRANTED
    return reader, writer


async def ended(reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""


async def test_five_hundred_streams_at_once_work() -> None:
    async def one(lab: LabProxy, number: int) -> None:
        reader, writer = await served(lab)
        barrier.discard(number)
        await until(lambda: not barrier, 30)
        writer.write(b"%06d" % number)
        assert await reader.readexactly(6) == b"%06d" % number
        writer.close()

    barrier = set(range(500))
    async with proxy() as lab, serve(echo) as place:
        lab.dialer.services["a.overlay"] = place
        await asyncio.gather(*(one(lab, number) for number in range(500)))
        await until(lambda: lab.listener.status().connections == 0)
        assert lab.listener.status().accepted == 500
        assert lab.listener.status().evicted == 0


@pytest.mark.parametrize(
    "start", [b"", b"\5", b"\5\1\0\5\1", b"\4\1\0\x50", b"GET http://web.overlay/ HTTP/1.1\r\nA: "]
)
async def test_a_slow_first_request_ends_at_its_deadline_and_hurts_nobody(start: bytes) -> None:
    async with proxy(handshake_seconds=0.3) as lab, serve(http_app("web")) as place:
        lab.dialer.services["web.overlay"] = place
        slow = [await connect(lab, start) for _ in range(50)]
        good_reader, good = await connect(lab, GET)
        assert await good_reader.readuntil(b"/ 0\n")
        for reader, writer in slow:
            answer = await ended(reader)
            if start.startswith(b"GET"):
                assert answer.startswith(b"HTTP/1.1 408")
            writer.close()
        good.write(GET)
        assert await good_reader.readuntil(b"/ 0\n")
        good.close()


async def test_trickling_does_not_stretch_the_deadline() -> None:
    async with proxy(handshake_seconds=0.3) as lab:
        reader, writer = await connect(lab, b"GET http://web.overlay/ HTTP/1.1\r\nA: ")
        end = asyncio.ensure_future(ended(reader))  # noqa: TID251
        while not end.done():
            writer.write(b"x")
            await asyncio.sleep(0.01)
        assert (await end).startswith(b"HTTP/1.1 408")
        writer.close()


async def test_the_oldest_unfinished_handshake_gives_way() -> None:
    async with proxy(max_handshakes=10) as lab, serve(echo) as place:
        lab.dialer.services["a.overlay"] = place
        half_open = [await connect(lab, b"\5") for _ in range(10)]
        await until(lambda: lab.listener.status().handshakes == 10)
        _, good = await served(lab)
        assert await ended(half_open[0][0]) == b""
        assert lab.listener.status().evicted == 1
        assert lab.listener.status().handshakes == 9
        good.close()
        for _, writer in half_open:
            writer.close()


@pytest.mark.parametrize(
    ("data", "answer"), [(SOCKS5, b"\5\xff"), (GET, b"HTTP/1.1 503"), (GET, b"no room for more connections")]
)
async def test_a_process_that_has_no_room_says_so_to_a_few_and_closes_the_others(
    data: bytes, answer: bytes
) -> None:
    rooms = [""]
    async with proxy(refusal=lambda: rooms[0]) as lab, serve(echo) as place:
        lab.dialer.services["a.overlay"] = place
        reader, writer = await served(lab)
        rooms[0] = "this gateway has no room for more connections: too many files are open"
        refused, client = await connect(lab, data)
        assert answer in await ended(refused)
        client.close()
        silent = [await connect(lab) for _ in range(HEADROOM_REFUSALS + 5)]
        assert [await ended(reader) for reader, _ in silent[HEADROOM_REFUSALS:]] == [b""] * 5
        assert not lab.listener.may_associate()
        rooms[0] = ""
        assert lab.listener.may_associate()
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        for _, each in silent:
            each.close()
        writer.close()


@pytest.mark.parametrize(
    ("data", "answer"), [(SOCKS5, b"\5\xff"), (b"\4\1\0\x50\x7f\0\0\1\0", b"\0\x5b"), (GET, b"HTTP/1.1 503")]
)
async def test_beyond_the_cap_clients_are_told_and_others_go_on(data: bytes, answer: bytes) -> None:
    async with proxy(max_connections=5) as lab, serve(echo) as place:
        lab.dialer.services["a.overlay"] = place
        full = [await served(lab) for _ in range(5)]
        reader, writer = await connect(lab, data)
        assert (await ended(reader)).startswith(answer)
        writer.close()
        silent = [await connect(lab) for _ in range(PROXY_REFUSALS + 10)]
        assert [await ended(reader) for reader, _ in silent[PROXY_REFUSALS:]] == [b""] * 10
        assert lab.listener.status().refused == PROXY_REFUSALS + 11
        for reader, writer in full:
            writer.write(b"ping")
            assert await reader.readexactly(4) == b"ping"
        full[0][1].close()
        await until(lambda: lab.listener.status().connections == 4)
        full.append(await served(lab))
        for _, writer in [*full, *silent]:
            writer.close()


async def test_a_stalled_client_holds_a_bounded_amount_and_others_go_on() -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while True:
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()

    async with proxy() as lab, serve(flood) as place, serve(http_app("web")) as web:
        lab.dialer.services |= {"a.overlay": place, "web.overlay": web}
        _, stalled = await connect(lab, SOCKS5)
        stalled.transport.pause_reading()  # type: ignore[attr-defined]
        before = -1
        while sent != before:
            before = sent
            reader, writer = await connect(lab, GET * 20)
            for _ in range(20):
                await reader.readuntil(b"/ 0\n")
            writer.close()
        assert sent < 30_000_000
        stalled.transport.abort()


async def test_another_configuration_holds_for_new_requests_and_drops_no_connection() -> None:
    async with proxy() as lab, serve(echo) as place, serve(http_app("web")) as web:
        lab.dialer.services |= {"a.overlay": place, "web.overlay": web}
        reader, writer = await served(lab)
        http_reader, http_writer = await connect(lab, GET)
        await http_reader.readuntil(b"/ 0\n")
        lab.listener.configure(ProxySettings(lab.dialer, Credentials("ann", "pw")))
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        http_writer.write(GET)
        assert (await http_reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 407")
        new_reader, new_writer = await connect(lab, SOCKS5)
        assert await ended(new_reader) == b"\5\xff"
        for each in (writer, http_writer, new_writer):
            each.close()


async def test_closing_ends_every_client_and_frees_the_port() -> None:
    async with proxy() as lab, serve(echo) as place:
        lab.dialer.services["a.overlay"] = place
        clients = [
            await served(lab),
            await connect(lab, b"\5"),
            await connect(lab, b"GET "),
            await connect(lab),
        ]
        clients.append(await connect(lab, b"\5\1\0\5\3\0\1\0\0\0\0\0\0"))
        await clients[-1][0].readexactly(12)
        await until(lambda: lab.listener.status().connections == 5)
        port = lab.listener.address[1]
        await lab.listener.close()
        for reader, writer in clients:
            assert await ended(reader) == b""
            writer.close()
        assert not lab.tasks.tasks
        assert lab.listener.status().connections == lab.listener.status().associations == 0
        again = ProxyListener(ProxySettings(lab.dialer), lab.tasks.spawn, port=port)
        await again.start()
        await again.close()


async def test_a_taken_port_is_one_line_with_a_remedy() -> None:
    async with proxy() as lab:
        second = ProxyListener(ProxySettings(FakeDialer()), Tasks().spawn, port=lab.listener.address[1])
        with pytest.raises(
            ConfigurationError, match=re.escape(lab.place) + ".*uses this port.*gateway.toml"
        ) as caught:
            await second.start()
        assert "\n" not in str(caught.value)


async def test_an_address_that_is_not_ours_is_one_line() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot listen on 192\.0\.2\.1:0"):
        await ProxyListener(ProxySettings(FakeDialer()), Tasks().spawn, host="192.0.2.1", port=0).start()


async def test_it_tells_what_it_is_doing() -> None:
    async with proxy() as lab:
        _, writer = await connect(lab, b"\5")
        await until(lambda: lab.listener.status().handshakes == 1)
        assert re.fullmatch(
            r"<ProxyListener 127\.0\.0\.1:\d+, 1 clients, 1 in handshake>", repr(lab.listener)
        )
        assert lab.listener.status().address == lab.listener.address
        writer.close()


# Bad input: straight into the protocol, over a transport that only remembers, so that 20 000 inputs take seconds.


class _Wire(asyncio.Transport):
    """A transport without a network."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.closing = False
        self.paused = False
        self.written = 0
        self.protocol: asyncio.BaseProtocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Nobody listens."""

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written += len(data)

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close


SEEDS = [
    SOCKS5,
    b"\5\2\0\2\1\3ann\2pw" + SOCKS5[3:],
    b"\4\1\0\x50\0\0\0\1ann\0a.overlay\0",
    GET,
    b"CONNECT a.overlay:443 HTTP/1.1\r\nHost: a.overlay\r\n\r\n",
    b"POST http://a.overlay/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST http://a.overlay/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"\x16\3\1\0\xa5\1\0\0\xa1\3\3",
]


def mutate(seed: bytes, chance: random.Random) -> bytes:
    data = bytearray(seed)
    for _ in range(chance.randrange(1, 6)):
        position = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data[position:position] = chance.randbytes(chance.randrange(1, 5))
            case 1:
                del data[position : position + chance.randrange(1, 5)]
            case 2 if position < len(data):
                data[position] = chance.randrange(256)
            case _:
                data[position:] = chance.choice(SEEDS)[chance.randrange(8) :]
    return bytes(data)


async def throw_at(listener: ProxyListener, data: bytes, pieces: int) -> None:
    wire = _Wire()
    client = Client(listener)
    wire.set_protocol(client)
    client.connection_made(wire)
    step = max(1, len(data) // pieces)
    for start in range(0, len(data), step):
        while wire.paused and not wire.closing:
            before = wire.protocol
            await asyncio.sleep(0)
            if wire.protocol is before and wire.paused:
                break
        if wire.closing or not isinstance(wire.protocol, asyncio.Protocol):
            break
        wire.protocol.data_received(data[start : start + step])
    await asyncio.sleep(0)
    client.abort()
    await asyncio.wait_for(client.wait_closed(), 5)
    assert wire.written < 10_000


async def test_twenty_thousand_mutated_inputs_do_no_harm() -> None:
    chance = random.Random(7)
    async with proxy() as lab:
        for number in range(20_000):
            data = (
                mutate(chance.choice(SEEDS), chance)
                if number % 4
                else chance.randbytes(chance.randrange(1, 60))
            )
            if data:
                await throw_at(lab.listener, data, chance.choice((1, 1, 2, 5)))
        assert lab.listener.status().connections == 0
        assert not lab.tasks.crashes


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(min_size=1, max_size=200),
        st.sampled_from(SEEDS).flatmap(lambda seed: st.binary(max_size=20).map(lambda tail: seed + tail)),
    )
)
def test_no_input_crashes_a_client(data: bytes) -> None:
    async def run() -> None:
        async with proxy() as lab:
            await throw_at(lab.listener, data, 3)
            assert not lab.tasks.crashes

    asyncio.run(run())
