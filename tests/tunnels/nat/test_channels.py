"""Facts about the channels of an allocation; their life with a server is in test_turn.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnels.addresses import Address
from tunnels.nat import limits
from tunnels.nat.channels import HEAD_BYTES, ChannelTable

ALICE = Address.parse("192.0.2.1:7777")


@pytest.fixture
def table() -> ChannelTable:
    return ChannelTable()


def test_a_channel_is_four_bytes_before_the_datagram(table):
    channel = table.add(ALICE, 0.0)
    assert channel.wrap([b"abc", b""]) == [bytes.fromhex("40000003") + b"abc", bytes.fromhex("40000000")]


@given(st.binary(max_size=1500), st.binary(max_size=3))
def test_what_is_wrapped_is_unwrapped_padding_aside(datagram, padding):
    table = ChannelTable()
    channel = table.add(ALICE, 0.0)
    channel.is_bound_now(0.0)
    [wire] = channel.wrap([datagram])
    assert len(wire) == HEAD_BYTES + len(datagram)
    assert table.unwrap(wire + padding, 5.0) == (ALICE, datagram)
    assert channel.used_at == 5.0


def test_what_is_cut_short_or_in_no_bound_channel_is_nothing(table):
    channel = table.add(ALICE, 0.0)
    [wire] = channel.wrap([b"abc"])
    assert table.unwrap(wire, 0.0) is None, "not bound yet"
    channel.is_bound_now(0.0)
    for size in range(len(wire)):
        assert table.unwrap(wire[:size], 0.0) is None
    assert table.unwrap(b"\x40\x01" + wire[2:], 0.0) is None
    channel.is_refused(0.0)
    assert table.unwrap(wire, 0.0) is None


def test_what_waits_is_bounded_and_comes_out_once(table):
    channel = table.add(ALICE, 0.0)
    for number in range(1000):
        channel.hold([b"%d" % number, b"x"])
    ready = channel.is_bound_now(1.0)
    assert len(ready) == limits.TURN_HELD
    assert ready[0][HEAD_BYTES:] == b"0"
    assert channel.is_bound_now(2.0) == []


def test_what_waits_for_a_channel_that_is_refused_is_lost(table):
    channel = table.add(ALICE, 0.0)
    channel.hold([b"x"])
    channel.is_refused(1.0)
    assert channel.held == []
    assert channel.refused_until == 1.0 + limits.TURN_REFUSED
    assert table.get_timer() == float("inf")


def test_a_channel_is_due_while_it_is_used_and_forgotten_otherwise(table):
    channel = table.add(ALICE, 0.0)
    channel.is_bound_now(0.0)
    due = table.get_timer()
    assert due == limits.TURN_PERMISSION_REFRESH
    assert table.take_due(due - 1) == []
    assert table.take_due(due) == [channel]
    assert table.take_due(due) == [], "it is being renewed"
    channel.is_bound_now(due)
    assert table.take_due(2 * due) == []
    assert len(table) == 0
    assert not table.lets_in(ALICE.ip)


def test_the_longest_unused_gives_way_and_has_its_number_again_when_it_comes_back(table):
    peers = [Address.of("192.0.2.1", port) for port in range(1, limits.TURN_PEERS + 2)]
    for now, peer in enumerate(peers[:-1]):
        table.add(peer, float(now))
    first = table.get(peers[0])
    first.used_at = 1000.0
    table.add(peers[-1], 1000.0)
    assert len(table) == limits.TURN_PEERS
    assert table.get(peers[0]) is first
    assert table.get(peers[1]) is None
    assert table.add(peers[1], 1001.0).number == 0x4001


def test_there_are_4096_numbers(table):
    numbers = set()
    for port in range(1, 4097):
        numbers.add(table.add(Address.of("192.0.2.1", port), 0.0).number)
    assert (min(numbers), max(numbers), len(numbers)) == (0x4000, 0x4FFF, 4096)
    assert table.add(Address.of("192.0.2.1", 4097), 0.0) is None
    assert table.add(Address.of("192.0.2.1", 1), 0.0).number == 0x4000
