"""Facts about the messages on a connection's control stream."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.quic import ALICE, BOB, EVE
from tunnels.control_stream import (
    ControlReader,
    Credit,
    Proof,
    Welcome,
    encode_credit,
    encode_proof,
    encode_welcome,
)
from tunnels.errors import ProtocolViolation
from tunnels.limits import MAX_CONTROL_MESSAGE

BINDING = bytes(range(32))
INCARNATION = b"12345678"
PROOF = encode_proof(ALICE, BINDING, BOB.endpoint_id, INCARNATION)
SIGNATURE = ALICE.sign(b"overlay client proof v1" + BINDING + BOB.endpoint_id.key + INCARNATION)
PROOF_BODY = f"01 {ALICE.endpoint_id.key.hex()} {INCARNATION.hex()} {SIGNATURE.hex()}"

VECTORS = [
    ("proof", f"01 0069 {PROOF_BODY}", Proof(ALICE.endpoint_id, INCARNATION, SIGNATURE)),
    ("welcome", "02 0009 01 3132333435363738", Welcome(INCARNATION)),
    ("credit", "03 0010 0000000000000005 0000000000080000", Credit(5, 512 * 1024)),
    ("most", "03 0010 ffffffffffffffff ffffffffffffffff", Credit(2**64 - 1, 2**64 - 1)),
    ("none", "03 0010 0000000000000000 0000000000000000", Credit(0, 0)),
    ("later proof", f"01 006b {PROOF_BODY} beef", Proof(ALICE.endpoint_id, INCARNATION, SIGNATURE)),
    ("later welcome", "02 000a 01 3132333435363738 ff", Welcome(INCARNATION)),
]


@pytest.mark.parametrize(("name", "text", "value"), VECTORS)
def test_each_message_is_read_from_its_bytes(name, text, value):
    assert ControlReader().receive_data(bytes.fromhex(text)) == [value]


def test_each_message_is_written_as_its_bytes():
    assert bytes.fromhex(VECTORS[0][1]) == PROOF
    assert encode_welcome(INCARNATION) == bytes.fromhex(VECTORS[1][1])
    assert encode_credit(5, 512 * 1024) == bytes.fromhex(VECTORS[2][1])


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_any_credit_survives(stream_id, limit):
    assert ControlReader().receive_data(encode_credit(stream_id, limit)) == [Credit(stream_id, limit)]


def test_messages_arrive_whole_when_their_bytes_come_one_at_a_time():
    data = b"".join(bytes.fromhex(text) for _, text, _ in VECTORS)
    reader = ControlReader()
    messages = [message for byte in data for message in reader.receive_data(bytes([byte]))]
    assert messages == [value for _, _, value in VECTORS]


@given(st.lists(st.integers(1, 40), min_size=1))
def test_messages_arrive_whole_however_their_bytes_are_cut(sizes):
    data = b"".join(bytes.fromhex(text) for _, text, _ in VECTORS)
    reader, messages, position = ControlReader(), [], 0
    while position < len(data):
        for size in sizes:
            messages += reader.receive_data(data[position : position + size])
            position += size
    assert messages == [value for _, _, value in VECTORS]


@pytest.mark.parametrize(("name", "text", "value"), VECTORS)
def test_a_part_of_a_message_is_no_message_yet(name, text, value):
    data = bytes.fromhex(text)
    for length in range(len(data)):
        assert ControlReader().receive_data(data[:length]) == []


@pytest.mark.parametrize(("kind", "least"), [(1, 105), (2, 9), (3, 16)])
def test_a_body_of_every_shorter_length_is_a_violation(kind, least):
    for length in range(least):
        with pytest.raises(ProtocolViolation):
            ControlReader().receive_data(bytes([kind, 0, length]) + b"\x01" * length)


def test_a_longer_credit_a_foreign_version_and_a_huge_length_are_violations():
    for data in (
        b"\x03\x00\x11" + bytes(17),
        b"\x01\x00\x69\x02" + bytes(104),
        b"\x02\x00\x09\x02" + bytes(8),
        b"\x7f" + (MAX_CONTROL_MESSAGE + 1).to_bytes(2),
    ):
        with pytest.raises(ProtocolViolation):
            ControlReader().receive_data(data)


def test_unknown_messages_are_skipped_even_the_largest():
    later = b"\x09" + MAX_CONTROL_MESSAGE.to_bytes(2) + bytes(MAX_CONTROL_MESSAGE)
    assert ControlReader().receive_data(later + encode_credit(1, 2) + b"\xff\x00\x00") == [Credit(1, 2)]


@given(st.lists(st.binary(max_size=300)))
def test_junk_gives_messages_or_a_violation_and_nothing_else(pieces):
    reader, messages = ControlReader(), []
    with contextlib.suppress(ProtocolViolation):
        for piece in pieces:
            messages += reader.receive_data(piece)
    assert all(isinstance(message, Proof | Welcome | Credit) for message in messages)


@given(st.data())
def test_a_mutated_proof_is_invalid_or_a_violation(data):
    index = data.draw(st.integers(3, len(PROOF) - 1))
    mutated = bytearray(PROOF)
    mutated[index] ^= data.draw(st.integers(1, 255))
    try:
        (proof,) = ControlReader().receive_data(bytes(mutated))
    except ProtocolViolation:
        return
    assert not proof.is_valid(BINDING, BOB.endpoint_id)


def test_a_proof_is_good_for_its_connection_and_server_only():
    (proof,) = ControlReader().receive_data(PROOF)
    assert proof.is_valid(BINDING, BOB.endpoint_id)
    assert not proof.is_valid(bytes(32), BOB.endpoint_id)
    assert not proof.is_valid(BINDING, EVE.endpoint_id)
    assert not Proof(EVE.endpoint_id, proof.incarnation, proof.signature).is_valid(BINDING, BOB.endpoint_id)
    assert not Proof(proof.endpoint_id, b"87654321", proof.signature).is_valid(BINDING, BOB.endpoint_id)
