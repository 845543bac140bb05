"""Datagrams on a stream survive however the stream is cut; what cannot be one is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.flows.framing import Deframer, FramingError, frame
from gateway.limits import DATAGRAM_BYTES


@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(1, 50))
def test_datagrams_are_read_back_however_the_stream_is_cut(datagrams: list[bytes], size: int) -> None:
    wire = b"".join(frame(data) for data in datagrams)
    deframer = Deframer()
    read = [data for at in range(0, len(wire), size) for data in deframer.feed(wire[at : at + size])]
    assert read == datagrams


@given(st.lists(st.binary(max_size=70_000), max_size=5))
def test_random_bytes_are_datagrams_or_a_framing_error(chunks: list[bytes]) -> None:
    deframer = Deframer()
    with contextlib.suppress(FramingError):
        for chunk in chunks:
            assert all(len(data) <= DATAGRAM_BYTES for data in deframer.feed(chunk))


def test_the_largest_datagram_is_that_of_udp() -> None:
    assert Deframer().feed(frame(bytes(DATAGRAM_BYTES))) == [bytes(DATAGRAM_BYTES)]
    with pytest.raises(ValueError, match="65508"):
        frame(bytes(DATAGRAM_BYTES + 1))
    with pytest.raises(FramingError, match="65508"):
        Deframer().feed((DATAGRAM_BYTES + 1).to_bytes(2))
