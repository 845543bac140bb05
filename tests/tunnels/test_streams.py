"""Facts about a tunnel's streams as asyncio transports, told by real endpoints on 127.0.0.1."""

from __future__ import annotations

import asyncio
import itertools
from random import Random

import pytest

from tests.lab.endpoints import Echo, Peer, lab, until
from tunnels import limits
from tunnels.errors import StreamReset, TunnelClosed
from tunnels.quic.engine import ENGINE_NAMES
from tunnels.streams import TunnelTransport
from tunnels.tunnel import MAX_DATAGRAM

PAIRS = list(itertools.product(ENGINE_NAMES, ENGINE_NAMES))[
    :3
]  # the fourth, twice the slow one, shows nothing new


@pytest.fixture
async def alice_and_bob():
    async with lab() as here:
        here.start("alice")
        here.start("bob")
        yield here


@pytest.fixture(params=PAIRS, ids=["-".join(pair) for pair in PAIRS])
async def pairs(request):
    async with lab() as here:
        here.start("alice", engine=request.param[0])
        here.start("bob", engine=request.param[1])
        yield here


async def opened(here, factory=Peer):
    """A stream from Alice to Bob that both know of: her protocol and his."""
    count = len(here.accepted["bob"]) + 1
    ours = await here.open("alice", "bob", factory)
    ours.transport.write(b"!")
    theirs = await here.peer_of("bob", count)
    if isinstance(theirs, Peer) and not isinstance(theirs, Echo):
        await until(lambda: theirs.received == b"!")
        theirs.received.clear()
    return ours, theirs


# --- bytes and the end ----------------------------------------------------------------------------------------


async def test_bytes_pass_both_ways_and_each_side_knows_the_other(pairs):
    ours, theirs = await opened(pairs)
    ours.transport.write(b"question")
    ours.transport.writelines([b" and", bytearray(b" more"), memoryview(b" of it")])
    await until(lambda: theirs.received == b"question and more of it")
    theirs.transport.write(b"answer")
    await until(lambda: ours.received == b"answer")
    assert ours.transport.get_extra_info("endpoint_id") == pairs.endpoints["bob"].endpoint_id
    assert theirs.transport.get_extra_info("endpoint_id") == pairs.endpoints["alice"].endpoint_id
    assert ours.transport.get_extra_info("peername") is None


async def test_asyncios_own_reader_and_writer_work_on_it(pairs):
    pairs.accepts["bob"] = Echo

    reader = asyncio.StreamReader()
    transport, protocol = await pairs.endpoints["alice"].open_stream(
        pairs.endpoints["bob"].endpoint_id, lambda: asyncio.StreamReaderProtocol(reader)
    )
    writer = asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
    data = Random(1).randbytes(3_000_000)

    async def send() -> None:
        for start in range(0, len(data), 70_000):
            writer.write(data[start : start + 70_000])
            await writer.drain()
        writer.write_eof()

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(send())
        assert await reader.read(-1) == data
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("first", ["opener", "acceptor"])
async def test_each_side_may_end_first_and_the_other_goes_on(pairs, first):
    ours, theirs = await opened(pairs)
    if first == "acceptor":
        ours, theirs = theirs, ours
    ours.transport.write(b"last words")
    ours.transport.write_eof()
    ours.transport.write(b"after the end")
    ours.transport.write_eof()
    await theirs.ended.wait()
    assert theirs.received == b"last words"
    theirs.transport.write(b"a long answer " * 10_000)
    theirs.transport.write_eof()
    await ours.ended.wait()
    assert ours.received == b"a long answer " * 10_000
    assert await ours.lost is None
    assert await theirs.lost is None
    assert ours.calls == ["made", "data", "end", "lost"]


async def test_a_protocol_that_wants_no_half_open_stream_has_it_closed_at_the_end(pairs):
    ours, theirs = await opened(pairs)
    ours.close_at_end = True
    theirs.transport.write(b"bye")
    theirs.transport.write_eof()
    assert await ours.lost is None
    assert await theirs.lost is None
    assert ours.received == b"bye"


async def test_close_sends_everything_first(pairs):
    ours, theirs = await opened(pairs)
    data = Random(2).randbytes(5_000_000)
    ours.transport.write(data)
    ours.transport.close()
    ours.transport.write(b"too late")
    assert ours.transport.is_closing()
    await theirs.ended.wait()
    assert theirs.received == data
    assert await ours.lost is None
    theirs.transport.close()
    assert await theirs.lost is None


async def test_the_last_bytes_are_never_lost_to_a_reader_that_paused(pairs, monkeypatch):
    """The closing side tells its peer to stop after a while; what it had sent must not be thrown away for that."""
    monkeypatch.setattr(limits, "CLOSE_LINGER", 0.05)
    ours, theirs = await opened(pairs)
    theirs.transport.pause_reading()
    data = Random(3).randbytes(60_000)
    ours.transport.write(data)
    ours.transport.close()
    await ours.lost
    (driver,) = pairs.endpoints["bob"]._drivers
    theirs.transport.write(b"x")
    await until(
        lambda: (
            driver.tunnel.pending_bytes(theirs.transport.stream_id) == 0 and not driver.tunnel.stream_count
        )
    )
    assert theirs.calls == ["made", "data"]
    theirs.transport.resume_reading()
    assert await theirs.lost is None
    assert theirs.received == data
    assert theirs.calls == ["made", "data", "end", "lost"]


async def test_a_writer_to_a_closed_reader_hears_of_it_after_the_readers_last_bytes(pairs, monkeypatch):
    monkeypatch.setattr(limits, "CLOSE_LINGER", 0.05)
    ours, theirs = await opened(pairs)
    theirs.transport.write(bytes(10_000_000))
    assert theirs.paused
    ours.transport.pause_reading()
    ours.transport.write(b"enough")
    ours.transport.close()
    assert await asyncio.wait_for(theirs.lost, 10) is None
    assert theirs.received == b"enough"
    assert ours.transport.get_write_buffer_size() == theirs.transport.get_write_buffer_size() == 0


async def test_closing_while_the_peer_takes_no_more_ends_with_an_error(pairs, monkeypatch):
    monkeypatch.setattr(limits, "CLOSE_LINGER", 0.05)
    ours, theirs = await opened(pairs)
    theirs.transport.pause_reading()
    ours.transport.write(bytes(2_000_000))
    ours.transport.close()
    theirs.transport.close()
    assert isinstance(await asyncio.wait_for(ours.lost, 10), StreamReset)


async def test_what_a_peer_ended_in_order_is_delivered_even_if_its_tunnel_is_gone(alice_and_bob):
    ours, theirs = await opened(alice_and_bob)
    theirs.transport.pause_reading()
    ours.transport.write(b"complete")
    ours.transport.close()
    await until(lambda: theirs.transport._ended)
    await alice_and_bob.endpoints["alice"].close()
    await until(lambda: not alice_and_bob.endpoints["bob"].status())
    assert not theirs.lost.done()
    theirs.transport.resume_reading()
    assert isinstance(await theirs.lost, TunnelClosed)
    assert theirs.received == b"complete"
    assert theirs.calls[-2:] == ["end", "lost"]


async def test_what_a_peer_did_not_end_is_an_error_when_its_tunnel_is_gone(alice_and_bob):
    ours, theirs = await opened(alice_and_bob)
    theirs.transport.pause_reading()
    ours.transport.write(b"incomplete")
    await until(lambda: theirs.transport._buffer)
    await alice_and_bob.endpoints["alice"].close()
    assert isinstance(await theirs.lost, TunnelClosed)
    assert isinstance(await ours.lost, TunnelClosed)
    assert theirs.received == b""


# --- resets ---------------------------------------------------------------------------------------------------


async def test_abort_is_a_reset_for_the_peer(pairs):
    ours, theirs = await opened(pairs)
    ours.transport.abort()
    ours.transport.abort()
    ours.transport.close()
    ours.transport.write(b"x")
    assert await ours.lost is None
    error = await theirs.lost
    assert isinstance(error, StreamReset)
    assert isinstance(error, ConnectionResetError)
    assert error.code == 0x206
    await until(lambda: not any(status.streams for status in pairs.endpoints["alice"].status()))
    assert not any(status.streams for status in pairs.endpoints["bob"].status())


async def test_abort_while_much_waits_ends_at_once(alice_and_bob):
    ours, theirs = await opened(alice_and_bob)
    theirs.transport.pause_reading()
    ours.transport.write(bytes(10_000_000))
    ours.transport.close()
    assert not ours.lost.done()
    ours.transport.abort()
    assert await ours.lost is None
    assert isinstance(await theirs.lost, StreamReset)


async def test_a_protocol_that_raises_loses_its_stream_and_no_other(alice_and_bob):
    class Clumsy(Peer):
        def data_received(self, data: bytes) -> None:
            raise ZeroDivisionError

    good, good_peer = await opened(alice_and_bob)
    alice_and_bob.accepts["bob"] = Clumsy
    bad = await alice_and_bob.open("alice", "bob")
    bad.transport.write(b"x")
    assert isinstance(await bad.lost, StreamReset)
    good.transport.write(b"still here")
    await until(lambda: good_peer.received == b"still here")
    (problem,) = alice_and_bob.problems
    assert isinstance(problem["exception"], ZeroDivisionError)
    alice_and_bob.problems.clear()


async def test_a_stream_nobody_can_take_is_reset(alice_and_bob):
    def broken() -> Peer:
        raise ZeroDivisionError

    alice_and_bob.accepts["bob"] = broken
    ours = await alice_and_bob.open("alice", "bob")
    ours.transport.write(b"x")
    assert isinstance(await ours.lost, StreamReset)
    assert len(alice_and_bob.problems) == 1
    alice_and_bob.problems.clear()
    with pytest.raises(ZeroDivisionError):
        await alice_and_bob.open("alice", "bob", broken)
    await until(lambda: alice_and_bob.endpoints["alice"].status()[0].streams == 0)


# --- backpressure ---------------------------------------------------------------------------------------------


async def test_a_paused_reader_holds_a_window_and_the_writer_waits(pairs):
    ours, theirs = await opened(pairs)
    theirs.transport.pause_reading()
    assert not theirs.transport.is_reading()
    total = 4_000_000
    ours.transport.write(bytes(total))
    assert ours.paused
    assert ours.transport.get_write_buffer_size() > limits.WRITE_BUFFER_HIGH
    incoming = theirs.transport._tunnel._streams[theirs.transport.stream_id].incoming
    granted = incoming.limit - incoming.consumed
    assert granted <= limits.STREAM_WINDOW
    await until(lambda: sum(map(len, theirs.transport._buffer)) == granted)
    await opened(pairs)  # the connection goes on, and this stream stays as it is
    assert sum(map(len, theirs.transport._buffer)) == granted
    assert theirs.received == b""
    theirs.transport.resume_reading()
    await until(lambda: len(theirs.received) == total)
    assert not ours.paused
    assert ours.calls.count("pause") == ours.calls.count("resume") == 1
    assert ours.transport.get_write_buffer_size() == 0


async def test_a_reader_that_pauses_at_every_piece_gets_everything_in_order(pairs):
    class Hesitant(Peer):
        def data_received(self, data: bytes) -> None:
            self.received += data
            self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self.transport.resume_reading)

    pairs.accepts["bob"] = Hesitant
    ours = await pairs.open("alice", "bob")
    data = Random(4).randbytes(2_000_000)
    ours.transport.write(data)
    ours.transport.write_eof()
    theirs = await pairs.peer_of("bob")
    await asyncio.wait_for(theirs.ended.wait(), 20)
    assert theirs.received == data


async def test_nothing_is_delivered_while_reading_is_paused_not_even_the_end(alice_and_bob):
    ours, theirs = await opened(alice_and_bob)
    theirs.transport.pause_reading()
    ours.transport.write(b"x")
    ours.transport.write_eof()
    await until(lambda: theirs.transport._ended)
    await asyncio.sleep(0)
    assert theirs.calls == ["made", "data"]
    assert theirs.received == b""
    theirs.transport.resume_reading()
    await theirs.ended.wait()
    assert theirs.received == b"x"


async def test_the_marks_of_the_write_buffer_apply_at_once(alice_and_bob):
    ours, theirs = await opened(alice_and_bob)
    theirs.transport.pause_reading()
    ours.transport.set_write_buffer_limits(high=10_000_000)
    ours.transport.write(bytes(1_000_000))
    assert not ours.paused
    ours.transport.set_write_buffer_limits(high=100_000, low=50_000)
    assert ours.paused
    assert ours.transport.get_write_buffer_limits() == (50_000, 100_000)
    ours.transport.set_write_buffer_limits(high=10_000_000)
    assert not ours.paused
    for wrong in ({"high": 5, "low": 6}, {"low": -1}):
        with pytest.raises(ValueError, match="must be at least"):
            ours.transport.set_write_buffer_limits(**wrong)
    assert ours.transport.get_write_buffer_limits() == (2_500_000, 10_000_000)


async def test_no_mark_set_while_closing_cuts_off_what_waits(alice_and_bob, monkeypatch):
    monkeypatch.setattr(limits, "CLOSE_LINGER", 0.02)
    ours, theirs = await opened(alice_and_bob)
    theirs.transport.pause_reading()
    ours.transport.write(bytes(3_000_000))
    ours.transport.close()
    ours.transport.set_write_buffer_limits(high=10_000_000)
    assert not ours.transport._lost
    theirs.transport.resume_reading()
    await theirs.ended.wait()
    assert len(theirs.received) == 3_000_000


async def test_twenty_stalled_streams_do_not_slow_another(alice_and_bob):
    stalled = []
    for _ in range(20):
        ours, theirs = await opened(alice_and_bob)
        theirs.transport.pause_reading()
        ours.transport.write(bytes(2_000_000))
        stalled.append(theirs)
    ours, theirs = await opened(alice_and_bob)
    data = Random(5).randbytes(5_000_000)
    ours.transport.write(data)
    await until(lambda: theirs.received == data)
    assert all(sum(map(len, each.transport._buffer)) <= limits.STREAM_WINDOW for each in stalled)


async def test_a_thousand_streams_at_once(pairs):
    pairs.accepts["bob"] = Echo
    streams = [await pairs.open("alice", "bob") for _ in range(1000)]
    for number, stream in enumerate(streams):
        stream.transport.write(b"%d " % number * 100)
        stream.transport.write_eof()
    assert await asyncio.wait_for(asyncio.gather(*(stream.lost for stream in streams)), 30) == [None] * 1000
    assert all(stream.received == b"%d " % number * 100 for number, stream in enumerate(streams))
    assert [status.streams for status in pairs.endpoints["alice"].status()] == [0]
    await until(lambda: not any(status.streams for status in pairs.endpoints["bob"].status()))
    for endpoint in pairs.endpoints.values():
        (driver,) = endpoint._drivers
        assert not driver._streams


# --- protocols ------------------------------------------------------------------------------------------------


async def test_what_comes_before_a_protocol_is_set_is_delivered_to_the_first(alice_and_bob):
    driver = await alice_and_bob.endpoints["alice"].connect(alice_and_bob.endpoints["bob"].endpoint_id)
    alice_and_bob.accepts["bob"] = Echo
    transport = driver.open_transport()
    transport.write(b"early")
    transport.write_eof()
    await until(lambda: transport._ended)
    late = Peer()
    late.transport = transport
    late.calls.append("made")
    transport.set_protocol(late)
    assert transport.get_protocol() is late
    assert await late.lost is None
    assert late.received == b"early"


async def test_a_protocol_that_takes_over_gets_all_that_follows(alice_and_bob):
    ours, theirs = await opened(alice_and_bob)
    theirs.transport.pause_reading()
    ours.transport.write(b"for the second")
    await until(lambda: theirs.transport._buffer)
    second = Peer()
    second.connection_made(theirs.transport)
    theirs.transport.set_protocol(second)
    theirs.transport.resume_reading()
    await until(lambda: second.received == b"for the second")
    ours.transport.abort()
    assert isinstance(await second.lost, StreamReset)
    assert not theirs.lost.done()


async def test_its_repr_says_where_it_stands_and_with_whom(alice_and_bob):
    ours, _ = await opened(alice_and_bob)
    assert "open" in repr(ours.transport)
    assert alice_and_bob.endpoints["bob"].endpoint_id.short in repr(ours.transport)
    ours.transport.close()
    await ours.lost
    assert "closed" in repr(ours.transport)
    assert isinstance(ours.transport, TunnelTransport)
    assert not hasattr(ours.transport, "__dict__")


async def test_only_bytes_are_written(alice_and_bob):
    ours, _ = await opened(alice_and_bob)
    for wrong in ("text", 5, [1]):
        with pytest.raises(TypeError):
            ours.transport.write(wrong)


# --- datagrams ------------------------------------------------------------------------------------------------


async def test_datagrams_pass_both_ways_beside_the_stream(pairs):
    ours, theirs = await opened(pairs)
    sent = [b"%d" % number + b"d" * (number * 20) for number in range(50)]
    for data in sent:
        assert ours.transport.send_datagram(data)
    await until(lambda: len(theirs.datagrams) == len(sent))
    assert sorted(theirs.datagrams) == sorted(sent)
    assert theirs.transport.send_datagram(b"x" * MAX_DATAGRAM)
    await until(lambda: ours.datagrams == [b"x" * MAX_DATAGRAM])
    assert theirs.received == b""


async def test_a_datagram_that_fits_no_frame_or_no_stream_is_refused(alice_and_bob):
    ours, theirs = await opened(alice_and_bob)
    assert not ours.transport.send_datagram(b"x" * (MAX_DATAGRAM + 1))
    assert ours.transport.send_datagram(b"")
    await until(lambda: theirs.datagrams == [b""])
    ours.transport.close()
    assert not ours.transport.send_datagram(b"x")


async def test_datagrams_to_a_protocol_that_takes_none_are_dropped(alice_and_bob):
    class Plain(asyncio.Protocol):
        pass

    alice_and_bob.accepts["bob"] = Plain
    ours, _ = await opened(alice_and_bob)
    assert ours.transport.send_datagram(b"unwanted")
    alice_and_bob.accepts["bob"] = Peer
    ours, theirs = await opened(alice_and_bob)
    assert ours.transport.send_datagram(b"wanted")
    await until(lambda: theirs.datagrams == [b"wanted"])


# --- counting, and holding back -------------------------------------------------------------------------------


class Meter:
    """Lets so much go as it is told; what waits is let go by hand."""

    def __init__(self, transport: TunnelTransport, *, sending: int = 0, receiving: int = 0) -> None:
        self.transport = transport
        self.lets = {"sent": sending, "received": receiving}
        self.waiting = {"sent": 0, "received": 0}
        self.dropping = False
        self.stops: list[bool] = []
        self.ends = 0
        transport.set_meter(self)
        transport.shut_gates()

    def _ask(self, direction: str, size: int) -> int:
        let = min(size, self.lets[direction])
        self.lets[direction] -= let
        self.waiting[direction] += size - let
        return let

    def wants_to_send(self, size: int) -> int:
        return self._ask("sent", size)

    def wants_to_receive(self, size: int) -> int:
        return self._ask("received", size)

    def may_send_datagram(self, size: int) -> bool:
        return not self.dropping

    def may_receive_datagram(self, size: int) -> bool:
        return not self.dropping

    def stopped(self, *, sending: bool) -> None:
        self.stops.append(sending)

    def ended(self) -> None:
        self.ends += 1
        self.final = self.transport.bytes_sent, self.transport.bytes_received


async def test_what_is_written_goes_as_it_is_let_and_the_writer_waits(pairs):
    ours, theirs = await opened(pairs)
    meter = Meter(ours.transport, sending=1000)
    data = Random(5).randbytes(300_000)
    ours.transport.write(data)
    await until(lambda: len(theirs.received) == 1000)
    assert ours.paused
    assert ours.transport.bytes_sent == 1001
    meter.transport.let_send(100_000)
    await until(lambda: len(theirs.received) == 101_000)
    assert ours.paused
    meter.transport.let_send(199_000)
    await until(lambda: len(theirs.received) == 300_000)
    assert theirs.received == data
    assert not ours.paused
    assert meter.waiting == {"sent": 299_000, "received": 0}


async def test_what_comes_is_passed_on_as_it_is_let_in_order_and_the_peer_waits(pairs):
    ours, theirs = await opened(pairs)
    meter = Meter(theirs.transport, receiving=1000)
    data = Random(6).randbytes(2_000_000)
    ours.transport.write(data)
    await until(lambda: meter.waiting["received"] > 50_000)
    assert theirs.received == data[:1000]
    assert ours.paused
    given = 0
    while len(theirs.received) < len(data):
        await until(lambda: meter.waiting["received"] > given)  # noqa: B023 - used at once
        piece = min(meter.waiting["received"] - given, 70_001)
        given += piece
        meter.transport.let_receive(piece)
        assert len(theirs.received) == 1000 + given
    assert theirs.received == data
    assert theirs.transport.bytes_received == len(data) + 1


async def test_gates_that_are_removed_let_everything_through(alice_and_bob):
    ours, theirs = await opened(alice_and_bob)
    ours.transport.write(bytes(500_000))
    Meter(ours.transport)
    Meter(theirs.transport)
    ours.transport.write(bytes(500_000))
    ours.transport.write_eof()
    ours.transport.remove_gates()
    await until(lambda: theirs.transport._buffer)
    theirs.transport.remove_gates()
    await asyncio.wait_for(theirs.ended.wait(), 10)
    assert len(theirs.received) == 1_000_000


async def test_an_end_waits_for_what_was_written_before_it(alice_and_bob):
    ours, theirs = await opened(alice_and_bob)
    meter = Meter(ours.transport)
    ours.transport.write(bytes(5000))
    ours.transport.close()
    theirs.transport.write(b"on its way")
    await asyncio.sleep(0.05)
    assert not theirs.ended.is_set()
    assert meter.ends == 0
    ours.transport.let_send(5000)
    await asyncio.wait_for(theirs.ended.wait(), 10)
    assert len(theirs.received) == 5000
    await until(lambda: meter.ends == 1)
    assert meter.final == (5001, 0)


async def test_a_reset_counts_only_what_went(alice_and_bob):
    ours, theirs = await opened(alice_and_bob)
    meter = Meter(ours.transport, sending=700)
    ours.transport.write(bytes(50_000))
    await until(lambda: len(theirs.received) == 700)
    ours.transport.abort()
    assert meter.final == (701, 0)
    assert set(meter.stops) == {True, False}
    await until(lambda: theirs.lost.done())
    assert meter.ends == 1


async def test_the_end_of_the_peer_is_told_after_what_waits(alice_and_bob):
    ours, theirs = await opened(alice_and_bob)
    meter = Meter(theirs.transport)
    ours.transport.write(bytes(3000))
    ours.transport.close()
    await until(lambda: meter.waiting["received"] == 3000)
    assert not theirs.ended.is_set()
    theirs.transport.let_receive(3000)
    assert theirs.ended.is_set()
    assert len(theirs.received) == 3000


async def test_datagrams_are_dropped_at_shut_gates_or_counted(alice_and_bob):
    ours, theirs = await opened(alice_and_bob)
    meter = Meter(ours.transport)
    assert ours.transport.send_datagram(b"x" * 100)
    await until(lambda: theirs.datagrams == [b"x" * 100])
    assert ours.transport.bytes_sent == 101
    meter.dropping = True
    assert ours.transport.send_datagram(b"y" * 100)
    assert ours.transport.bytes_sent == 101
    theirs.transport.send_datagram(b"z")
    ours.transport.datagram_received(b"z")
    assert ours.transport.bytes_received == 0


async def test_a_meter_that_comes_too_late_is_told_of_the_end_at_once(alice_and_bob):
    ours, _ = await opened(alice_and_bob)
    ours.transport.abort()
    ended = []

    class Late:
        def ended(self) -> None:
            ended.append(True)

    ours.transport.set_meter(Late())
    ours.transport.shut_gates()
    assert ended == [True]
