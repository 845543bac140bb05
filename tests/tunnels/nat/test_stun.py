"""Facts about STUN messages: what is read, what is refused, what is written."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnels.addresses import Address
from tunnels.errors import ProtocolViolation
from tunnels.nat import limits, stun
from tunnels.nat.stun import Class, Extra, Method

TXID = bytes(range(12))
# RFC 5769 §2.2 and §2.3: the sample responses over IPv4 and IPv6, signed with this password.
PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"
SAMPLE_IPV4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
SAMPLE_IPV6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9fa"
    "a5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c"
)


@pytest.mark.parametrize(
    ("sample", "address"),
    [(SAMPLE_IPV4, "192.0.2.1:32853"), (SAMPLE_IPV6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853")],
)
def test_the_samples_of_rfc_5769_are_read(sample, address):
    message = stun.decode(sample)
    assert (message.method, message.kind) == (Method.BINDING, Class.RESPONSE)
    assert message.address("XOR-MAPPED-ADDRESS") == Address.parse(address)
    assert message.is_signed_with(PASSWORD)
    assert not message.is_signed_with(b"another")
    assert message.not_understood == ()


def test_a_plain_request_is_the_twenty_bytes_of_the_rfc():
    assert stun.encode(Method.BINDING, Class.REQUEST, TXID) == bytes.fromhex("000100002112a442") + TXID


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_attributes_that_aioice_does_not_know_survive(padding, proof):
    wire = stun.encode(
        Method.BINDING,
        Class.REQUEST,
        TXID,
        {"CHANGE-REQUEST": 6, Extra.PADDING.label: padding, Extra.ROUTABLE.label: proof},
    )
    attributes = stun.decode(wire).attributes
    assert attributes == {"CHANGE-REQUEST": 6, "PADDING": padding, "ROUTABLE": proof}


@given(st.ip_addresses(), st.integers(min_value=1, max_value=65535))
def test_addresses_survive(ip, port):
    address = Address.of(str(ip), port)
    wire = stun.encode(Method.BINDING, Class.RESPONSE, TXID, {"XOR-MAPPED-ADDRESS": address})
    assert stun.decode(wire).address("XOR-MAPPED-ADDRESS") == address
    assert len(wire) == 20 + stun.size_of("XOR-MAPPED-ADDRESS", address)


@pytest.mark.parametrize(
    ("name", "value"), [("PADDING", b"12345"), ("ERROR-CODE", (420, "no")), ("LIFETIME", 7)]
)
def test_the_size_of_an_attribute_is_that_on_the_wire(name, value):
    assert len(stun.encode(Method.BINDING, Class.ERROR, TXID, {name: value})) == 20 + stun.size_of(
        name, value
    )


def test_an_address_with_port_0_is_none():
    wire = bytearray(SAMPLE_IPV4[:48])
    wire[2:4] = (28).to_bytes(2, "big")
    wire[42:44] = (0x2112).to_bytes(2, "big")
    assert stun.decode(bytes(wire)).address("XOR-MAPPED-ADDRESS") is None
    assert stun.decode(bytes(wire)).address("MAPPED-ADDRESS") is None


def test_what_had_to_be_understood_is_told_from_what_may_be_passed_over():
    attributes = bytes.fromhex("7ffe0000 fffe0000")
    wire = bytes.fromhex("000100082112a442") + TXID + attributes
    assert stun.decode(wire).not_understood == (0x7FFE,)


@pytest.mark.parametrize("sample", [SAMPLE_IPV4, SAMPLE_IPV6])
def test_no_part_of_a_message_is_one(sample):
    for size in range(len(sample)):
        with pytest.raises(ProtocolViolation):
            stun.decode(sample[:size])


@pytest.mark.parametrize(
    "wire",
    [
        bytes.fromhex("000100002112a443") + TXID,  # the cookie is missing: RFC 3489, or chance
        bytes.fromhex("400100002112a442") + TXID,  # QUIC, or a TURN channel
        b"",
        bytes.fromhex("000100042112a442") + TXID + bytes.fromhex("00010008"),  # longer than the message
        bytes.fromhex("000100062112a442") + TXID + bytes.fromhex("000300005555"),  # half an attribute's head
        bytes.fromhex("000100062112a442")
        + TXID
        + bytes.fromhex("000300020000"),  # four bytes are too few: struct.error
        bytes.fromhex("000100082112a442") + TXID + bytes.fromhex("80220004ffffffff"),  # no UTF-8
        bytes.fromhex("003f00002112a442") + TXID,  # a method of nobody
    ],
)
def test_what_is_broken_is_refused(wire):
    with pytest.raises(ProtocolViolation):
        stun.decode(wire)


def test_a_message_beyond_the_bound_is_refused_unread():
    def padded(size):
        return stun.encode(Method.BINDING, Class.REQUEST, TXID, {"PADDING": bytes(size - 24)})

    stun.decode(padded(limits.STUN_MESSAGE))
    with pytest.raises(ProtocolViolation):
        stun.decode(padded(limits.STUN_MESSAGE + 4))


@given(st.binary(max_size=200), st.binary(max_size=80))
def test_junk_is_a_message_or_a_protocol_violation(junk, attributes):
    header = b"\x01\x01" + len(attributes).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + TXID
    for datagram in (junk, header + attributes):
        with suppress(ProtocolViolation):
            stun.decode(datagram)


def test_what_is_signed_is_read_as_signed_and_not_once_it_is_altered():
    wire = stun.encode(Method.REFRESH, Class.REQUEST, TXID, {"LIFETIME": 600}, key=b"key")
    assert stun.decode(wire).is_signed_with(b"key")
    altered = wire.replace((600).to_bytes(4, "big"), (0).to_bytes(4, "big"))
    unprinted = altered[:2] + (len(altered) - 28).to_bytes(2, "big") + altered[4:-8]
    assert not stun.decode(unprinted).is_signed_with(b"key")


def test_an_attribute_that_aioice_cannot_sign_is_refused():
    with pytest.raises(ValueError, match="cannot be signed"):
        stun.encode(Method.BINDING, Class.REQUEST, TXID, {"PADDING": b"1"}, key=b"key")


@pytest.mark.parametrize(
    ("told", "server", "plausible"),
    [
        ("203.0.113.9:1", "198.51.100.1:3478", True),
        ("10.0.0.9:1", "198.51.100.1:3478", True),
        ("127.0.0.1:1", "198.51.100.1:3478", False),
        ("127.0.0.1:1", "127.0.0.1:3478", True),
        ("224.0.0.1:1", "127.0.0.1:3478", False),
        ("[::]:1", "[::1]:3478", False),
        ("[::1]:1", "[2001:db8::1]:3478", False),
    ],
)
def test_what_a_server_cannot_mean_is_not_plausible(told, server, plausible):
    assert stun.is_plausible(Address.parse(told), Address.parse(server)) is plausible
