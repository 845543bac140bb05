"""Facts about packets in fragments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnels import limits
from tunnels.paths.fragments import FRAGMENT, HEADER_BYTES, Reassembler, split, whole

TAG = b"tag!"
packets = st.builds(
    lambda size, start: (b"\x40connecti" + start).ljust(size, b"."),
    st.integers(9 + 16, limits.SHORT_PATH_PACKET),
    st.binary(max_size=16),
)
mtus = st.sampled_from((limits.MIN_PATH_MTU, *limits.MTU_LADDER))


def test_the_layout_is_what_the_docstring_draws():
    first, second = split(b"\x41" + b"8 bytes!" + b"payload", 24, TAG)
    assert first == bytes.fromhex("20") + b"8 bytes!" + TAG + bytes((0, 2, 0)) + b"\x418 bytes"[:8]
    assert second == bytes.fromhex("20") + b"8 bytes!" + TAG + bytes((1, 2, 0)) + b"!payload"


@given(packets, mtus)
def test_a_packet_in_order_comes_back_whole_and_no_fragment_is_too_large(packet, mtu):
    fragments = split(packet, mtu, TAG)
    assert len({len(fragment) for fragment in fragments}) == 1
    assert all(len(fragment) <= mtu and fragment[0] == FRAGMENT for fragment in fragments)
    assert len(fragments) <= limits.MAX_FRAGMENTS
    if len(fragments) > 1:
        burst = b"before" + b"".join(fragments) + b"after"
        end = len(burst) - len("after")
        assert whole(burst, 6, end, len(fragments[0])) == (packet, end)
        assert whole(burst, 6, end - 1, len(fragments[0])) is None  # the last is cut short


@given(st.lists(packets, max_size=4), st.randoms())
def test_packets_come_back_from_any_order(sent, random):
    sent = [packet for packet in sent if len(packet) > limits.MIN_PATH_MTU]
    fragments = [
        fragment
        for number, packet in enumerate(sent)
        for fragment in split(packet, limits.MIN_PATH_MTU, number.to_bytes(4))
    ]
    random.shuffle(fragments)
    reassembler = Reassembler()
    whole_again = [packet for fragment in fragments if (packet := reassembler.add(fragment)) is not None]
    assert sorted(whole_again) == sorted(sent)
    assert len(reassembler) == 0
    for fragment in fragments[:1]:
        assert reassembler.add(fragment) is None  # a late repetition completes nothing


@given(st.binary(max_size=64), st.integers(0, 70))
def test_junk_is_no_packet_and_raises_nothing(junk, segment):
    reassembler = Reassembler()
    reassembler.add(bytes([FRAGMENT]) + junk)
    assert len(reassembler) <= 1
    burst = bytes([FRAGMENT]) + junk
    found = whole(burst, 0, len(burst), segment)
    assert found is None or found[1] <= len(burst)


@pytest.mark.parametrize(
    ("index", "count", "filler"),
    [(0, 0, 0), (0, 1, 0), (2, 2, 0), (0, limits.MAX_FRAGMENTS + 1, 0), (0, 2, 4), (0, 2, 255), (255, 2, 0)],
)
def test_a_fragment_that_fits_no_packet_is_not_kept(index, count, filler):
    reassembler = Reassembler()
    assert reassembler.add(b"\x20connecti" + TAG + bytes((index, count, filler)) + b"abcd") is None
    assert len(reassembler) == 0


def test_fragments_that_disagree_belong_to_different_packets():
    reassembler = Reassembler()
    for rest in ((0, 2, 0), (1, 3, 0), (1, 2, 1)):
        assert reassembler.add(b"\x20connecti" + TAG + bytes(rest) + b"abcd") is None
    assert reassembler.add(b"\x20connecti" + TAG + bytes((1, 2, 0)) + b"longer") is None
    assert len(reassembler) == 4
    assert reassembler.add(b"\x20connecti" + TAG + bytes((1, 2, 0)) + b"efgh") == b"abcdefgh"


def test_a_flood_of_packets_that_never_end_holds_a_bounded_number_and_the_oldest_goes():
    reassembler = Reassembler()
    for number in range(10 * limits.MAX_PARTIAL_PACKETS):
        reassembler.add(b"\x20connecti" + number.to_bytes(4) + bytes((0, 2, 0)) + b"abcd")
        assert len(reassembler) <= limits.MAX_PARTIAL_PACKETS
    last = 10 * limits.MAX_PARTIAL_PACKETS - 1
    assert reassembler.add(b"\x20connecti" + last.to_bytes(4) + bytes((1, 2, 0)) + b"efgh") == b"abcdefgh"
    assert reassembler.add(b"\x20connecti" + (0).to_bytes(4) + bytes((1, 2, 0)) + b"efgh") is None


def test_fragments_of_two_packets_side_by_side_are_not_taken_for_one():
    one, other = (split(bytes([0x40]) + b"connecti" + bytes(2000), 1200, tag) for tag in (b"aaaa", b"bbbb"))
    burst = one[0] + other[1]
    assert whole(burst, 0, len(burst), len(one[0])) is None
    assert whole(one[1] + one[0], 0, len(burst), len(one[0])) is None
    assert whole(one[0][:HEADER_BYTES], 0, HEADER_BYTES, HEADER_BYTES) is None
