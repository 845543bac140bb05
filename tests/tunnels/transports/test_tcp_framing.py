"""Facts about datagrams in a TCP connection: framing, what a stranger may say, what waits and for how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnels import limits
from tunnels.errors import ProtocolViolation
from tunnels.paths.checks import CHECK
from tunnels.transports.tcp_framing import Inbox, Outbox

CHECK_MESSAGE = bytes([CHECK]) + bytes(80)


def framed(*datagrams: bytes) -> bytes:
    return b"".join(len(datagram).to_bytes(2, "big") + datagram for datagram in datagrams)


def proven() -> Inbox:
    inbox = Inbox()
    inbox.is_proven = True
    return inbox


def all_of(outbox: Outbox) -> bytes:
    written = b""
    while outbox:
        written += outbox.take()
    return written


datagrams = st.lists(st.binary(min_size=1, max_size=3000), max_size=20)


@given(datagrams, st.integers(1, 5000))
def test_what_goes_in_at_one_end_comes_out_at_the_other_however_tcp_cuts_it(given_, size):
    outbox, inbox = Outbox(), proven()
    outbox.add(given_, urgent=False)
    wire = all_of(outbox)
    assert wire == framed(*given_)
    came = [
        one for start in range(0, len(wire), size) for one in inbox.receive_data(wire[start : start + size])
    ]
    assert came == given_


def test_a_check_survives_one_byte_at_a_time():
    inbox = Inbox()
    came = [inbox.receive_data(bytes([byte])) for byte in framed(CHECK_MESSAGE)]
    assert came[:-1] == [[]] * (len(came) - 1)
    assert came[-1] == [CHECK_MESSAGE]


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        framed(b"\x40" + bytes(30)),
        framed(b"\xc0" + bytes(1199)),
        framed(CHECK_MESSAGE, b"\x40" + bytes(30)),
        b"\x00\x00",
        bytes(100),
        (limits.TCP_DATAGRAM + 1).to_bytes(2, "big"),
    ],
)
def test_a_stranger_that_begins_with_anything_but_checks_is_none_of_ours(data):
    with pytest.raises(ProtocolViolation):
        Inbox().receive_data(data)


def test_a_stranger_may_say_so_much_and_no_more():
    inbox = Inbox()
    wire = framed(CHECK_MESSAGE) * 100
    assert inbox.room == limits.TCP_UNPROVEN_BYTES
    inbox.receive_data(wire[: inbox.room])
    assert inbox.room == 0
    inbox.is_proven = True
    assert inbox.room == limits.RECEIVE_BUFFER


def test_once_it_is_proven_any_datagram_may_come_up_to_the_largest():
    inbox = Inbox()
    assert inbox.receive_data(framed(CHECK_MESSAGE)) == [CHECK_MESSAGE]
    inbox.is_proven = True
    largest = b"\x40" * limits.TCP_DATAGRAM
    assert inbox.receive_data(framed(largest, b"\x40")) == [largest, b"\x40"]
    for size in (0, limits.TCP_DATAGRAM + 1):
        with pytest.raises(ProtocolViolation, match="bytes in a TCP connection"):
            proven().receive_data(size.to_bytes(2, "big"))


def test_what_is_not_whole_yet_is_all_that_is_kept():
    inbox = proven()
    inbox.receive_data(limits.TCP_DATAGRAM.to_bytes(2, "big") + bytes(limits.TCP_DATAGRAM - 1))
    assert len(inbox._rest) == limits.TCP_DATAGRAM + 1
    assert len(inbox.receive_data(b"\0")) == 1
    assert inbox._rest == b""


@given(st.binary(max_size=300), st.booleans())
def test_junk_breaks_nothing(data, is_proven):
    inbox = Inbox()
    inbox.is_proven = is_proven
    try:
        inbox.receive_data(data)
    except ProtocolViolation:
        return
    assert len(inbox._rest) <= limits.TCP_DATAGRAM + 2


def test_path_messages_overtake_data():
    outbox = Outbox()
    outbox.add([b"data"], urgent=False)
    outbox.add([b"path"], urgent=True)
    assert outbox.take() == framed(b"path", b"data")
    assert not outbox
    assert outbox.take() == b""


def test_no_more_is_taken_at_once_than_is_soon_written():
    outbox = Outbox()
    outbox.add([bytes(8400)] * 20, urgent=False)
    assert limits.TCP_WRITE <= len(outbox.take()) < limits.TCP_WRITE + 8402
    outbox.add([b"path"], urgent=True)
    assert outbox.take().startswith(framed(b"path"))


def test_a_full_queue_drops_the_oldest_data_and_keeps_within_its_bound():
    outbox = Outbox()
    flight = [number.to_bytes(2, "big") * 4200 for number in range(300)]
    outbox.add(flight, urgent=False)
    kept = limits.TCP_BUFFER // 8400
    assert outbox.dropped == 300 - kept
    assert all_of(outbox) == framed(*flight[-kept:])
    outbox.add(flight, urgent=False)
    assert outbox.dropped == 2 * (300 - kept), "what was taken makes room"


def test_of_too_many_path_messages_the_oldest_are_dropped():
    outbox = Outbox()
    outbox.add([bytes([number]) for number in range(200)], urgent=True)
    assert outbox.take() == framed(*(bytes([number]) for number in range(200 - limits.TCP_URGENT, 200)))


@pytest.mark.parametrize("urgent", [False, True])
def test_what_the_other_end_would_refuse_is_not_sent(urgent):
    outbox = Outbox()
    outbox.add([b"", bytes(limits.TCP_DATAGRAM + 1), bytes(limits.TCP_DATAGRAM)], urgent=urgent)
    assert outbox.dropped == 2
    assert len(outbox.take()) == 2 + limits.TCP_DATAGRAM
