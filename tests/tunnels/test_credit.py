"""Facts about a stream's credit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnels import limits
from tunnels.credit import Incoming, Outgoing, stream_window
from tunnels.errors import ProtocolViolation

writing = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 100_000)),
    st.tuples(st.just("take"), st.integers(-5, 70_000)),
    st.tuples(st.just("grant"), st.integers(0, 300_000)),
)


@given(st.lists(writing, max_size=60))
def test_a_writer_never_goes_beyond_its_limit_and_no_byte_is_lost_or_reordered(actions):
    outgoing = Outgoing()
    added, sent = bytearray(), bytearray()
    granted = limits.MIN_STREAM_WINDOW
    for action, size in actions:
        if action == "add":
            data = bytes((len(added) + index) % 251 for index in range(size))
            added += data
            outgoing.add(data)
        elif action == "take":
            taken = outgoing.take(size)
            assert len(taken) <= max(size, 0)
            sent += taken
        else:
            outgoing.granted(size)
            granted = max(granted, size)
        assert outgoing.sent == len(sent) <= granted
        assert outgoing.pending_bytes == len(added) - len(sent)
        assert outgoing.wants_to_send == (bool(outgoing.pending_bytes) and len(sent) < granted)
    outgoing.granted(len(added))
    while outgoing.pending_bytes:
        sent += outgoing.take(10_000)
    assert sent == added


@given(st.lists(st.integers(0, 200_000), max_size=60), st.integers(1, 1000))
def test_a_reader_grants_at_most_a_window_beyond_what_it_consumed(sizes, streams):
    incoming = Incoming()
    window = stream_window(streams)
    for size in sizes:
        size = min(size, incoming.limit - incoming.received)
        incoming.receive(size)
        grant = incoming.consume(size, window)
        if grant is not None:
            assert grant == incoming.limit == incoming.consumed + window
        assert incoming.limit - incoming.consumed <= max(window, limits.MIN_STREAM_WINDOW)
        assert incoming.limit > incoming.consumed  # a reader that keeps up is never without credit


def test_a_peer_that_sends_beyond_its_credit_is_told_by_how_much():
    incoming = Incoming()
    incoming.receive(limits.MIN_STREAM_WINDOW)
    with pytest.raises(ProtocolViolation, match="3 bytes beyond its credit"):
        incoming.receive(3)


def test_a_stream_that_ended_is_granted_nothing_more():
    incoming = Incoming()
    incoming.receive(1000)
    incoming.ended = True
    assert incoming.consume(1000, limits.STREAM_WINDOW) is None


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
    windows = [stream_window(streams) for streams in range(5000)]
    assert windows == sorted(windows, reverse=True)
    assert windows[0] == windows[1] == limits.STREAM_WINDOW
    assert windows[-1] == limits.MIN_STREAM_WINDOW
