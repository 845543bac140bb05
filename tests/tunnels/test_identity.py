"""Facts about endpoint ids, their text form and secret keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnels.identity import ID_CHARACTERS, EndpointId, SecretKey, zbase32_decode, zbase32_encode

ALICE = SecretKey(b"a" * 32)
PKARR_EXAMPLE = "o4dksfbqk85ogzdb5osziw6befigbuxmuxkuxq8434q89uj56uyy"  # from pkarr's own documentation


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"\x00", "yy"),
        (b"\xff", "9h"),
        (b"\xf0\xbf\xc7", "6n9hq"),  # these two from the z-base-32 specification
        (b"\xd4\x7a\x04", "4t7ye"),
        (b"foo", "c3zs6"),
        (b"foobar", "c3zs6aubqe"),
        (bytes(32), "y" * 52),
    ],
)
def test_zbase32_vectors_hold_both_ways(data, text):
    assert zbase32_encode(data) == text
    assert zbase32_decode(text) == data
    assert zbase32_decode(text.upper()) == data


@given(st.binary(max_size=100))
def test_any_bytes_survive_the_text_form(data):
    assert zbase32_decode(zbase32_encode(data)) == data


@given(st.text(max_size=60))
def test_any_text_is_decoded_or_refused_with_value_error_and_one_text_means_one_value(text):
    try:
        data = zbase32_decode(text)
    except ValueError:
        return
    assert zbase32_encode(data) == text.lower()


@pytest.mark.parametrize(
    "text", ["y", "yyy", "yyyyyy", "yb", "l", "2", "v", "0", "yy ", "y\ny", "\u212ay", "ßy", "İy"]
)
def test_lengths_padding_and_characters_that_no_bytes_give_are_refused(text):
    with pytest.raises(ValueError, match=r"z-base-32|cut short"):
        zbase32_decode(text)


def test_an_id_is_read_in_any_case_and_written_in_lower_case():
    endpoint_id = EndpointId.parse(PKARR_EXAMPLE.upper())
    assert str(endpoint_id) == PKARR_EXAMPLE
    assert len(PKARR_EXAMPLE) == ID_CHARACTERS
    assert EndpointId.parse(PKARR_EXAMPLE) == endpoint_id


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "52 characters, not 0"),
        (PKARR_EXAMPLE[:-1], "52 characters, not 51"),
        (PKARR_EXAMPLE + "y", "52 characters, not 53"),
        (PKARR_EXAMPLE[:-1] + "l", "'l' is not a z-base-32 character"),
        (PKARR_EXAMPLE[:-1] + "b", "wrong last character"),
        ("9" * 51 + "o", "no Ed25519 public key"),
        ("y" * 52, "no Ed25519 public key"),
    ],
)
def test_what_is_no_id_is_refused_with_the_reason(text, words):
    with pytest.raises(ValueError, match=words):
        EndpointId.parse(text)


@given(st.text(max_size=80) | st.text(alphabet="ybndrfg8ejkmcpqxot1uwisza345h769", min_size=52, max_size=52))
def test_junk_is_an_id_or_value_error(text):
    try:
        outcome = str(EndpointId.parse(text))
    except ValueError as error:
        outcome = str(error)
    assert "\n" not in outcome


def test_a_key_of_another_length_is_no_id():
    with pytest.raises(ValueError, match="32 bytes, not 31"):
        EndpointId(bytes(31))


def test_a_signature_verifies_for_its_key_and_message_only():
    signature = ALICE.sign(b"message")
    bob = SecretKey(b"b" * 32).endpoint_id
    assert ALICE.endpoint_id.verify(b"message", signature)
    assert not ALICE.endpoint_id.verify(b"massage", signature)
    assert not bob.verify(b"message", signature)
    assert not ALICE.endpoint_id.verify(b"message", bytes(64))
    assert not ALICE.endpoint_id.verify(b"message", signature[:63])
    assert not ALICE.endpoint_id.verify(b"message", b"")


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80))
def test_no_key_and_signature_make_verify_raise(key, signature):
    assert not EndpointId(key).verify(b"message", signature)


def test_a_key_of_small_order_verifies_nothing():
    assert not EndpointId(b"\x01" + bytes(31)).verify(b"message", b"\x01" + bytes(63))


def test_ids_are_ordered_as_their_bytes():
    low, high = EndpointId(b"\x00" * 31 + b"\x02"), EndpointId(b"\x01" * 32)
    assert low < high
    assert sorted([high, low]) == [low, high]


def test_a_secret_is_in_no_text_of_its_key():
    for text in (repr(ALICE), str(ALICE), f"{ALICE}", repr([ALICE])):
        assert ALICE.seed.hex() not in text
        assert zbase32_encode(ALICE.seed) not in text
        assert "aaaaaa" not in text
    assert ALICE.endpoint_id.short in repr(ALICE)
    assert not hasattr(ALICE, "__dict__")


def test_the_same_seed_gives_the_same_id():
    assert SecretKey(ALICE.seed).endpoint_id == ALICE.endpoint_id
