"""Two transports joined: bytes, half-close, resets and backpressure pass through, on asyncio and on uvloop."""

from __future__ import annotations

import asyncio
import gc
import resource
from typing import TYPE_CHECKING

import pytest
import uvloop

from gateway.limits import SPLICE_WRITE_BUFFER
from gateway.splice import Held, Splice, as_transport, reset, splice
from tests.lab.streams import take, tcp_pair, tunnel_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_Pair = tuple[asyncio.Transport, asyncio.Transport]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[None, None, None]], None]:
    """Run a coroutine on the loop of each kind; a problem the loop would only log fails the test."""
    problems: list[object] = []

    async def watched(coroutine: Coroutine[None, None, None]) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))
        async with asyncio.timeout(30):
            await coroutine

    def runner(coroutine: Coroutine[None, None, None]) -> None:
        factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as loop_runner:
            loop_runner.run(watched(coroutine))
        assert problems == []

    return runner


class _Ends:
    """A client and a server with a splice between them: client - (a b) - server."""

    def __init__(self, client: _Pair, server: _Pair, *, from_first: bytes, from_second: bytes) -> None:
        self.near, inner_a = client
        inner_b, self.far = server
        self.inner = (inner_a, inner_b)
        self.splice = Splice(inner_a, inner_b, from_first=from_first, from_second=from_second)

    @classmethod
    async def make(cls, *, tunnel: bool = False, from_first: bytes = b"", from_second: bytes = b"") -> _Ends:
        second: _Pair = await tunnel_pair() if tunnel else await tcp_pair()
        return cls(await tcp_pair(), second, from_first=from_first, from_second=from_second)

    async def closed(self) -> None:
        async with asyncio.timeout(10):
            await self.splice.wait_closed()


def test_bytes_pass_both_ways_and_are_counted(run) -> None:
    async def scenario() -> None:
        ends = await _Ends.make()
        client, server = take(ends.near), take(ends.far)
        ends.near.write(b"hello")
        ends.far.write(b"good day")
        await server.until(lambda r: r.data == b"hello")
        await client.until(lambda r: r.data == b"good day")
        assert (ends.splice.bytes_from_first, ends.splice.bytes_from_second) == (5, 8)
        assert repr(ends.splice) == "Splice(5 bytes there, 8 back, open)"
        ends.near.close()
        ends.far.close()
        await ends.closed()
        assert repr(ends.splice) == "Splice(5 bytes there, 8 back, closed)"

    run(scenario())


def test_bytes_read_before_the_splice_go_first(run) -> None:
    async def scenario() -> None:
        ends = await _Ends.make(from_first=b"early ", from_second=b"banner ")
        client, server = take(ends.near), take(ends.far)
        ends.near.write(b"late")
        ends.far.write(b"text")
        await server.until(lambda r: r.data == b"early late")
        await client.until(lambda r: r.data == b"banner text")
        ends.splice.abort()
        await ends.closed()

    run(scenario())


@pytest.mark.parametrize("tunnel", [False, True])
@pytest.mark.parametrize("client_first", [True, False])
def test_half_close_leaves_the_other_direction_open(run, client_first: bool, tunnel: bool) -> None:
    async def scenario() -> None:
        ends = await _Ends.make(tunnel=tunnel)
        first, second = (ends.near, ends.far) if client_first else (ends.far, ends.near)
        first_seen, second_seen = take(first), take(second)
        first.write(b"question" * 10_000)
        first.write_eof()
        await second_seen.ends()
        assert second_seen.data == b"question" * 10_000
        assert not first_seen.ended
        second.write(b"answer" * 100_000)
        second.write_eof()
        await first_seen.ends()
        assert first_seen.data == b"answer" * 100_000
        assert first_seen.error is None
        await ends.closed()
        assert all(transport.is_closing() for transport in ends.inner)
        first.close()
        second.close()

    run(scenario())


@pytest.mark.parametrize("tunnel", [False, True])
@pytest.mark.parametrize("from_client", [True, False])
def test_a_reset_passes_as_a_reset(run, from_client: bool, tunnel: bool) -> None:
    async def scenario() -> None:
        ends = await _Ends.make(tunnel=tunnel)
        killer, victim = (ends.near, ends.far) if from_client else (ends.far, ends.near)
        take(killer)
        seen = take(victim)
        killer.write(b"x")
        await seen.until(lambda r: r.data == b"x")
        reset(killer)
        await seen.loses()
        assert isinstance(seen.error, ConnectionResetError)
        assert not seen.ended
        await ends.closed()

    run(scenario())


def test_a_full_answer_is_delivered_though_its_sender_then_reset(run) -> None:
    """A server that answers, ends and resets the rest of an upload has still answered."""

    async def scenario() -> None:
        ends = await _Ends.make()
        take(ends.far)
        ends.far.write(b"413 too large")
        ends.far.write_eof()
        client = take(ends.near)
        await client.ends()
        ends.far.abort()
        while not ends.splice.closed.done() and not ends.near.is_closing():
            ends.near.write(b"upload" * 1000)
            await asyncio.sleep(0)
        assert client.data == b"413 too large"
        await ends.closed()
        ends.near.close()

    run(scenario())


@pytest.mark.parametrize("early", [0, 5_000_000])
def test_a_stalled_reader_holds_a_bounded_amount(run, early: int) -> None:
    """Also when the bytes owed at the start already exceed the bound."""

    async def scenario() -> None:
        ends = await _Ends.make(from_first=b"e" * early)
        chunk, sent = b"c" * 65536, early
        ends.near.set_write_buffer_limits(high=0)
        most = 0
        idle = 0
        while idle < 50:  # until nothing moves: kernel buffers and ours are full
            if ends.near.get_write_buffer_size() == 0:
                ends.near.write(chunk)
                sent += len(chunk)
                idle = 0
            else:
                idle += 1
            await asyncio.sleep(0.001)
            most = max(most, ends.inner[1].get_write_buffer_size())
        assert most <= max(early, SPLICE_WRITE_BUFFER + 256 * 1024)  # 256 KiB is one read of the loop
        assert not ends.inner[0].is_reading()
        if early:
            assert ends.splice.bytes_from_first == 0
        server = take(ends.far)
        ends.near.write_eof()
        await server.ends()
        assert len(server.data) == sent
        ends.far.close()
        await ends.closed()
        ends.near.close()

    run(scenario())


def test_one_way_stalls_while_the_other_flows(run) -> None:
    async def scenario() -> None:
        ends = await _Ends.make()
        ends.near.write(b"c" * 20_000_000)  # the server never reads it
        client = take(ends.near)
        ends.far.write(b"s" * 5_000_000)
        await client.until(lambda r: len(r.data) == 5_000_000)
        ends.splice.abort()
        await ends.closed()
        await client.loses()
        reset(ends.far)

    run(scenario())


def test_cancelling_resets_both_even_when_a_flush_is_pending(run) -> None:
    async def scenario() -> None:
        ends = await _Ends.make()
        task = asyncio.get_running_loop().create_task(ends.splice.wait_closed())
        client = take(ends.near)
        ends.near.write(b"c" * 20_000_000)
        ends.near.write_eof()
        ends.far.write_eof()
        await client.ends()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server = take(ends.far)
        await client.loses()
        await server.loses()
        assert isinstance(server.error, ConnectionResetError)
        await asyncio.wait_for(ends.splice.closed, 10)

    run(scenario())


@pytest.mark.parametrize("which", [0, 1])
def test_a_transport_gone_before_the_splice_resets_the_other(run, which: int) -> None:
    async def scenario() -> None:
        client, server = await tcp_pair(), await tcp_pair()
        inner = (client[1], server[0])
        inner[which].abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # its connection_lost has been delivered to nobody
        seen = take((server[1], client[0])[which])
        joined = await asyncio.wait_for(splice(inner[0], inner[1], from_first=b"x", from_second=b"y"), 10)
        await seen.loses()
        assert isinstance(seen.error, ConnectionResetError)
        assert joined.closed.done()
        client[0].close()
        server[1].close()

    run(scenario())


def test_a_unix_socket_is_reset_by_closing(run, tmp_path) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        accepted: asyncio.Future[asyncio.BaseTransport] = loop.create_future()

        class _Server(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                accepted.set_result(transport)

        server = await loop.create_unix_server(_Server, str(tmp_path / "s"))
        transport, _ = await loop.create_unix_connection(asyncio.Protocol, str(tmp_path / "s"))
        far = await accepted
        reset(transport)
        await take(as_transport(far)).ends()
        far.close()
        server.close()
        await server.wait_closed()

    run(scenario())


def test_a_thousand_connections_at_once(run) -> None:
    """Each one costs two small objects: no task, no thread."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 5000:
        pytest.skip("this machine allows too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 5000), hard))

    async def scenario() -> None:
        many = [await _Ends.make() for _ in range(1000)]
        assert len(asyncio.all_tasks()) == 1
        seen = [(take(ends.near), take(ends.far)) for ends in many]
        for number, ends in enumerate(many):
            ends.near.write(b"%d" % number * 10)
            ends.near.write_eof()
        for number, (ends, (_, server)) in enumerate(zip(many, seen, strict=True)):
            await server.ends()
            assert server.data == b"%d" % number * 10
            ends.far.write(bytes(server.data))
            ends.far.close()
        for ends, (client, _) in zip(many, seen, strict=True):
            await client.ends()
            await ends.closed()
            ends.near.close()

    run(scenario())
    gc.collect()


@pytest.mark.parametrize("farewell", [b"", b"banner"])
def test_a_held_socket_loses_neither_bytes_nor_its_end(run, farewell: bytes) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        held: asyncio.Queue[Held] = asyncio.Queue()

        class _Accepting(Held):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                held.put_nowait(self)

        server = await loop.create_server(_Accepting, "127.0.0.1", 0)
        client, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
        client.write(farewell)
        client.write_eof()
        waiting = await held.get()
        await asyncio.sleep(0.05)  # long enough for both to arrive and be held
        assert waiting.early == farewell
        inner, far = await tcp_pair()
        seen = take(far)
        joined = Splice(waiting.transport, inner, from_first=waiting.early)
        await seen.ends()
        assert seen.data == farewell
        far.close()
        await asyncio.wait_for(joined.wait_closed(), 10)
        client.close()
        server.close()
        await server.wait_closed()

    run(scenario())
