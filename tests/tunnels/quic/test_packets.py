"""Facts about QUIC's invariant headers and our stateless Retry."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.admission import CLIENT_AT, Doorkeeper
from tests.lab.quic import ALICE, EnginePair
from tunnels import limits
from tunnels.addresses import Address
from tunnels.quic.certificates import make_certificate
from tunnels.quic.engine import ENGINE_NAMES
from tunnels.quic.engines import make_factory
from tunnels.quic.packets import Initial, RetryTokens, destination_connection_id, parse_initial

PAIRS = list(itertools.product(ENGINE_NAMES, ENGINE_NAMES))
TOKENS = RetryTokens(b"0123456789abcdef")
NONCE, NEW_ID = b"n" * 12, b"new id.."
FIRST = Initial(b"original id", b"client", b"")


def initial_packet(
    destination: bytes = b"12345678", source: bytes = b"abc", token: bytes = b"tok", first: int = 0xC0
) -> bytes:
    head = bytes([first]) + b"\x00\x00\x00\x01" + bytes([len(destination)]) + destination
    head += bytes([len(source)]) + source + (0x4000 | len(token)).to_bytes(2) + token
    return head.ljust(limits.MIN_INITIAL_DATAGRAM, b"\0")


def token_of(retry: bytes, client_id: bytes = FIRST.source_connection_id) -> bytes:
    """The token in a Retry packet: behind the header with both ids, before the 16 bytes of the tag."""
    return retry[7 + len(client_id) + len(NEW_ID) : -16]


# --- headers --------------------------------------------------------------------------------------------------


def test_an_initials_header_is_read():
    assert parse_initial(initial_packet()) == Initial(b"12345678", b"abc", b"tok")
    assert parse_initial(initial_packet(source=b"", token=b"")) == Initial(b"12345678", b"", b"")
    assert parse_initial(initial_packet(destination=b"x" * 20, first=0xCF)) == Initial(
        b"x" * 20, b"abc", b"tok"
    )


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        initial_packet()[:-1],
        initial_packet(first=0x80),  # the fixed bit
        initial_packet(first=0xD0),  # 0-RTT
        initial_packet(first=0xE0),  # Handshake
        initial_packet(first=0x40),
        initial_packet(destination=b"1234567"),
        initial_packet(destination=b"x" * 21),
        initial_packet(source=b"x" * 21),
        initial_packet().replace(b"\x00\x00\x00\x01", b"\x00\x00\x00\x02", 1),
        (b"\xc0\x00\x00\x00\x01\x08" + b"x" * 8 + b"\x00" + b"\xff" * 8).ljust(
            1200, b"\0"
        ),  # a token of 2^62
    ],
)
def test_what_is_no_client_initial_of_version_1_is_none(datagram):
    assert parse_initial(datagram) is None


def test_a_header_cut_anywhere_is_none():
    packet = initial_packet(destination=b"x" * 20, source=b"y" * 20, token=b"z" * 1200)
    packet = packet[: 5 + 21 + 21 + 2]
    for length in range(len(packet)):
        assert parse_initial(packet[:length]) is None


@given(st.binary(max_size=60), st.integers(0, 1300))
def test_junk_of_any_size_raises_nothing(head, size):
    for datagram in (head, head.ljust(size, b"\0"), b"\xc0\x00\x00\x00\x01" + head.ljust(size, b"\xff")):
        initial = parse_initial(datagram)
        assert initial is None or len(initial.destination_connection_id) >= 8
        connection_id = destination_connection_id(datagram)
        assert connection_id is None or connection_id in datagram


def test_the_destination_id_is_found_in_both_kinds_of_header():
    assert destination_connection_id(initial_packet()) == b"12345678"
    assert destination_connection_id(b"\x4012345678rest") == b"12345678"
    assert destination_connection_id(b"\x4012345678") == b"12345678"
    for datagram in (
        b"",
        b"\x40",
        b"\x401234567",
        b"\xc0",
        b"\xc0\0\0\0\1",
        b"\xc0\0\0\0\1\x08short",
        b"\xc0\0\0\0\1\x15" + bytes(30),
    ):
        assert destination_connection_id(datagram) is None


@pytest.mark.parametrize("name", ENGINE_NAMES)
def test_every_datagram_of_a_real_first_flight_is_an_initial_to_one_id(name):
    client = make_factory(name).client(make_certificate(ALICE), 60.0)
    client.connect(1.0)
    flight = [parse_initial(datagram) for datagram in client.datagrams_to_send(1.0)]
    assert None not in flight
    assert len({initial.destination_connection_id for initial in flight}) == 1
    assert flight[0].source_connection_id in client.connection_ids


# --- Retry ----------------------------------------------------------------------------------------------------


def test_the_integrity_tag_is_that_of_rfc_9001_appendix_a4():
    """The RFC's own packet has another token, so its tag is computed by the same means over the same header."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    odcid, packet = (
        bytes.fromhex("8394c8f03e515708"),
        bytes.fromhex("ff000000010008f067a5502a4262b5746f6b656e"),
    )
    key, nonce = bytes.fromhex("be0c690b9f66575a1d766b54e368c84e"), bytes.fromhex("461599d35d632bf2239825bb")
    tag = AESGCM(key).encrypt(nonce, b"", bytes([8]) + odcid + packet)
    assert tag.hex() == "04a265ba2eff4d829058fb3f0f2496ba"
    retry = TOKENS.retry_packet(Initial(odcid, b"", b""), CLIENT_AT, NEW_ID, NONCE, 100.0)
    assert retry[-16:] == AESGCM(key).encrypt(nonce, b"", bytes([8]) + odcid + retry[:-16])


@pytest.mark.parametrize("names", PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_a_client_comes_back_with_its_token_and_the_handshake_goes_through(names):
    pair = EnginePair(*names)
    doorkeeper = Doorkeeper(pair)
    pair.wire.on_datagram = lambda datagram: pair.wire.attach(doorkeeper)
    pair.handshake()
    assert doorkeeper.retries >= 1
    assert pair.client.channel_binding() == pair.server.channel_binding()
    stream_id = pair.client.open_stream()
    pair.client.send_stream_data(stream_id, b"through the door")
    pair.wire.run(1)
    assert pair.at_server.data(stream_id) == b"through the door"


def test_a_retry_is_smaller_than_what_asks_for_it():
    for client_id in (b"", b"x" * 20):
        retry = TOKENS.retry_packet(Initial(b"y" * 20, client_id, b""), CLIENT_AT, NEW_ID, NONCE, 100.0)
        assert len(retry) < 200


def test_a_token_gives_the_original_id_to_the_same_address_id_and_key_within_its_time():
    retry = TOKENS.retry_packet(FIRST, CLIENT_AT, NEW_ID, NONCE, 100.0)
    again = Initial(NEW_ID, b"whatever", token_of(retry))
    assert TOKENS.original_id(again, CLIENT_AT, 100.0) == b"original id"
    assert TOKENS.original_id(again, CLIENT_AT, 100.0 + limits.RETRY_TOKEN_LIFETIME) == b"original id"
    assert TOKENS.original_id(again, CLIENT_AT, 100.1 + limits.RETRY_TOKEN_LIFETIME) is None
    assert TOKENS.original_id(again, Address.of("192.0.2.1", 7778), 100.0) is None
    assert TOKENS.original_id(again, Address.of("192.0.2.2", 7777), 100.0) is None
    assert TOKENS.original_id(Initial(b"another.", b"", again.token), CLIENT_AT, 100.0) is None
    assert RetryTokens(b"another process.").original_id(again, CLIENT_AT, 100.0) is None


@given(st.binary(max_size=200))
def test_a_made_up_token_is_none(token):
    assert TOKENS.original_id(Initial(NEW_ID, b"", token), CLIENT_AT, 100.0) is None


def test_a_token_with_any_bit_changed_or_any_byte_missing_is_none():
    token = token_of(TOKENS.retry_packet(FIRST, CLIENT_AT, NEW_ID, NONCE, 100.0))
    assert TOKENS.original_id(Initial(NEW_ID, b"", token), CLIENT_AT, 100.0) is not None
    for index in range(len(token)):
        mutated = bytearray(token)
        mutated[index] ^= 1
        for wrong in (bytes(mutated), token[:index]):
            assert TOKENS.original_id(Initial(NEW_ID, b"", wrong), CLIENT_AT, 100.0) is None
