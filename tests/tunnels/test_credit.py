"""Facts about a stream's credit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnels import limits
from tunnels.credit import Incoming, Outgoing, WindowBudget, stream_window
from tunnels.errors import ProtocolViolation

writing = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 100_000)),
    st.tuples(st.just("take"), st.integers(-5, 70_000)),
    st.tuples(st.just("grant"), st.integers(0, 300_000)),
    st.tuples(st.just("shut"), st.just(0)),
    st.tuples(st.just("let"), st.integers(0, 100_000)),
    st.tuples(st.just("open"), st.just(0)),
)


@given(st.lists(writing, max_size=60))
def test_a_writer_never_goes_beyond_its_limit_and_no_byte_is_lost_or_reordered(actions):
    outgoing = Outgoing()
    added, sent = bytearray(), bytearray()
    granted = limits.MIN_STREAM_WINDOW
    gate = None
    for action, size in actions:
        if action == "add":
            data = bytes((len(added) + index) % 251 for index in range(size))
            added += data
            outgoing.add(data)
        elif action == "take":
            taken = outgoing.take(size)
            assert len(taken) <= max(size, 0)
            sent += taken
        elif action == "shut":
            outgoing.shut_gate()
            gate = len(sent)
        elif action == "let":
            outgoing.let(size)
            gate = None if gate is None else gate + size
        elif action == "open":
            outgoing.remove_gate()
            gate = None
        else:
            outgoing.granted(size)
            granted = max(granted, size)
        limit = granted if gate is None else min(granted, gate)
        assert outgoing.sent == len(sent) <= granted
        assert outgoing.pending_bytes == len(added) - len(sent)
        assert outgoing.wants_to_send == (bool(outgoing.pending_bytes) and len(sent) < limit)
    outgoing.remove_gate()
    outgoing.granted(len(added))
    while outgoing.pending_bytes:
        sent += outgoing.take(10_000)
    assert sent == added


@given(
    st.lists(st.tuples(st.integers(0, 2_000_000), st.floats(0, 1)), max_size=60),
    st.integers(1, 3000),
    st.floats(0, 1),
)
def test_a_reader_grants_at_most_a_window_beyond_what_it_consumed(steps, streams, rtt):
    incoming, budget, now = Incoming(0.0), WindowBudget(), 0.0
    for size, pause in steps:
        size = min(size, incoming.limit - incoming.received)
        incoming.receive(size)
        now += pause
        before, granted = incoming.window, incoming.limit
        if incoming.consume(size):
            grant = incoming.grant(now, rtt, streams, budget)
            # A window that shrank takes back nothing that was granted.
            assert grant == incoming.limit == max(granted, incoming.consumed + incoming.window)
            assert incoming.window <= max(2 * before, limits.STREAM_WINDOW)
        assert incoming.limit - incoming.consumed <= limits.MAX_STREAM_WINDOW
        assert incoming.limit > incoming.consumed  # a reader that keeps up is never without credit
    assert budget.left == limits.GATEWAY_WINDOW - incoming.window + limits.MIN_STREAM_WINDOW
    incoming.release(budget)
    assert budget.left == limits.GATEWAY_WINDOW


def test_a_peer_that_sends_beyond_its_credit_is_told_by_how_much():
    incoming = Incoming(0.0)
    incoming.receive(limits.MIN_STREAM_WINDOW)
    with pytest.raises(ProtocolViolation, match="3 bytes beyond its credit"):
        incoming.receive(3)


def test_a_stream_that_ended_is_granted_nothing_more():
    incoming = Incoming(0.0)
    incoming.receive(limits.MIN_STREAM_WINDOW)
    incoming.ended = True
    assert not incoming.consume(limits.MIN_STREAM_WINDOW)


def test_the_end_wants_to_be_sent_once_and_after_the_bytes():
    outgoing = Outgoing()
    outgoing.add(b"x" * (limits.MIN_STREAM_WINDOW + 1))
    outgoing.end_requested = True
    assert len(outgoing.take(10**9)) == limits.MIN_STREAM_WINDOW
    assert not outgoing.wants_to_send
    outgoing.granted(10**9)
    assert outgoing.take(10**9) == b"x"
    assert outgoing.wants_to_send
    outgoing.ended = True
    assert not outgoing.wants_to_send


def test_a_writer_that_was_stopped_holds_nothing_and_wants_nothing():
    outgoing = Outgoing()
    outgoing.add(b"abc")
    outgoing.take(1)
    outgoing.stop()
    assert (outgoing.pending_bytes, outgoing.wants_to_send, outgoing.take(5)) == (0, False, b"")


def test_one_huge_write_is_taken_piece_by_piece_without_copying_the_rest():
    class Counted(bytes):
        sliced = 0

        def __getitem__(self, key):
            piece = bytes.__getitem__(self, key)
            Counted.sliced += len(piece)
            return piece

    outgoing = Outgoing()
    outgoing.granted(10**9)
    outgoing.add(Counted(4_000_000))
    while outgoing.take(1000):
        pass
    assert Counted.sliced == 4_000_000


def test_windows_shrink_with_the_number_of_streams_between_two_bounds():
    windows = [stream_window(streams, 1e9, 1.0) for streams in range(5000)]
    assert windows == sorted(windows, reverse=True)
    assert windows[0] == windows[1] == limits.MAX_STREAM_WINDOW
    assert windows[-1] == limits.MIN_STREAM_WINDOW


@pytest.mark.parametrize(
    ("rate", "rtt", "window"),
    [
        (0, 0.0, limits.STREAM_WINDOW),  # somebody who reads nothing
        (1e6, 0.1, limits.STREAM_WINDOW),  # a megabyte a second is no more than half a window in flight
        (700e6, 0.0001, 2_800_000),  # the fastest reader on the same machine
        (100e6, 0.2, 40_000_000),  # a long fast path
        (1e9, 1.0, limits.MAX_STREAM_WINDOW),
    ],
)
def test_a_window_is_twice_what_the_reader_takes_in_a_round_trip(rate, rtt, window):
    assert stream_window(1, rate, rtt) == window


def test_a_long_fast_path_has_its_window_after_a_few_round_trips():
    """200 ms at 100 MB/s: credit never stops a writer that sends as fast as the path carries."""
    incoming, budget, now, round_trips = Incoming(0.0), WindowBudget(), 0.0, 0
    while incoming.window < 2 * 20_000_000:
        size = min(incoming.limit - incoming.received, 20_000_000)
        incoming.receive(size)
        now += 0.2
        round_trips += 1
        if incoming.consume(size):
            incoming.grant(now, 0.2, 1, budget)
        assert round_trips < 20
    assert round_trips <= 10


def test_when_the_budget_of_the_gateway_is_spent_streams_get_their_smallest_window_only():
    budget = WindowBudget(3 * limits.STREAM_WINDOW)
    streams = [Incoming(0.0) for _ in range(100)]
    for stream in streams:
        stream.receive(limits.MIN_STREAM_WINDOW)
        assert stream.consume(limits.MIN_STREAM_WINDOW)
        stream.grant(1.0, 0.01, 1, budget)
    assert budget.left == 0
    assert (
        sum(stream.window for stream in streams) == 3 * limits.STREAM_WINDOW + 100 * limits.MIN_STREAM_WINDOW
    )
    streams[0].release(budget)
    assert budget.left == limits.STREAM_WINDOW - limits.MIN_STREAM_WINDOW


def test_a_reader_that_slows_down_gives_its_window_back():
    incoming, budget = Incoming(0.0), WindowBudget()
    incoming.window = budget.resize(incoming.window, 40_000_000)
    incoming.limit = 40_000_000
    incoming.receive(30_000_000)
    assert incoming.consume(30_000_000)
    incoming.grant(1000.0, 0.2, 1, budget)
    assert incoming.window == limits.STREAM_WINDOW


@pytest.mark.parametrize(
    ("streams", "most"), [(1, 4 * limits.STREAM_WINDOW), (2000, limits.MIN_STREAM_WINDOW)]
)
def test_a_path_that_became_longer_is_believed_at_once_up_to_some_windows(streams, most):
    incoming, budget, now = Incoming(0.0), WindowBudget(), 0.0
    for _ in range(20):
        size = min(incoming.limit - incoming.received, 5_000_000)
        incoming.receive(size)
        now += 0.2
        if incoming.consume(size):
            incoming.grant(now, 0.006, streams, budget, recent_rtt=0.2)
    assert most // 2 <= incoming.window <= most
