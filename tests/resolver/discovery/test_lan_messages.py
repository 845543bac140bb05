"""Datagrams and texts of the local network: what is written is read, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.discovery.lan_messages import (
    Kind,
    Message,
    announcement,
    answer,
    claimed_id,
    from_text,
    parse,
    question,
    to_text,
)
from resolver.errors import MalformedMessage
from resolver.limits import LAN_DATAGRAM_BYTES, OWN_PACKET_BYTES
from resolver.signed_packets import LARGEST, SignedPacket
from tests.lab.resolver_keys import NOW, key, packet

PACKET = packet().to_bytes()
WANTED = key(2).endpoint_id
FULL = SignedPacket.sign(key(1), int(NOW * 1e6), b"x" * OWN_PACKET_BYTES).to_bytes()


@pytest.mark.parametrize(
    ("datagram", "message"),
    [
        (announcement(PACKET), Message(Kind.ANNOUNCEMENT, PACKET)),
        (answer(PACKET), Message(Kind.ANSWER, PACKET)),
        (question(WANTED, PACKET), Message(Kind.QUESTION, PACKET, WANTED)),
        (question(WANTED, b""), Message(Kind.QUESTION, b"", WANTED)),
        (question(WANTED, FULL), Message(Kind.QUESTION, FULL, WANTED)),
    ],
    ids=["announcement", "answer", "question", "question of nobody", "largest question"],
)
def test_what_is_written_is_read(datagram, message):
    assert parse(datagram) == message


def test_the_bytes_are_those_of_the_docstring():
    assert announcement(PACKET)[:6] == bytes.fromhex("4f564c4e 01 01")
    asked = question(WANTED, PACKET)
    assert asked[:6] == bytes.fromhex("4f564c4e 01 02")
    assert asked[6:38] == WANTED.key
    assert int.from_bytes(asked[38:40]) == len(PACKET)
    assert asked[40:] == PACKET.ljust(LAN_DATAGRAM_BYTES - 40, b"\0")


def test_a_question_is_larger_than_any_answer():
    largest_answer = answer(b"x" * LARGEST)
    assert (
        len(largest_answer) < len(question(WANTED, b"")) == len(question(WANTED, FULL)) == LAN_DATAGRAM_BYTES
    )


def test_whose_packet_it_says_it_is():
    assert claimed_id(PACKET) == key(1).endpoint_id


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"OVLN\x01",
        b"XVLN\x01\x01" + PACKET,
        b"OVLN\x02\x01" + PACKET,
        b"OVLN\x01\x09" + PACKET,
        announcement(PACKET[:103]),
        announcement(b"x" * (LARGEST + 1)),
        question(WANTED, PACKET)[:-1],
        question(WANTED, PACKET) + b"\0",
        question(WANTED, b"x" * 20),
        question(WANTED, b"x" * 2000)[:LAN_DATAGRAM_BYTES],
    ],
)
def test_anything_else_is_refused(datagram):
    with pytest.raises(MalformedMessage):
        parse(datagram)


@given(st.binary(max_size=1400) | st.binary(max_size=1400).map(lambda data: b"OVLN\x01" + data))
def test_no_bytes_raise_anything_but_our_own_error(datagram):
    try:
        message = parse(datagram)
    except MalformedMessage:
        return
    assert len(message.packet) <= LARGEST


@pytest.mark.parametrize("data", [PACKET, FULL, b"x" * LARGEST], ids=["small", "largest of ours", "largest"])
def test_a_text_gives_back_the_packet_and_its_strings_are_short_enough(data):
    text = to_text(data)
    assert from_text(text) == data
    assert text[0] == len("txtvers=1")
    assert len(text) < len(data) + 40


def test_foreign_strings_case_and_repetitions_of_keys_do_not_matter():
    text = to_text(PACKET).replace(b"p0=", b"P0=")
    assert from_text(b"\x05other" + b"\x00" + text + b"\x04p0=x") == PACKET


@pytest.mark.parametrize("text", [b"", b"\x00", b"\x09txtvers=1", b"\xffp0=short", b"\x04p0=x", b"\0" * 3000])
def test_a_text_without_a_packet_is_refused(text):
    with pytest.raises(MalformedMessage):
        from_text(text)


@given(st.binary(max_size=2500))
def test_no_text_raises_anything_but_our_own_error(text):
    try:
        data = from_text(text)
    except MalformedMessage:
        return
    assert len(data) <= LARGEST
