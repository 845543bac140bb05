"""Calls: what is told, what is believed, and what is left out."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnels import limits
from tunnels.addresses import Address
from tunnels.errors import ProtocolViolation
from tunnels.rendezvous.messages import Call, decode, encode
from tunnels.rendezvous.sealed import MAX_PAYLOAD

V4, V6 = Address.parse("192.0.2.1:41641"), Address.parse("[2001:db8::1]:41641")


def test_a_call_names_the_callers_candidates():
    call = Call.of([(1, V4), (2, V6)])
    assert decode(encode(call)).candidates() == ((1, V4), (2, V6))
    assert decode(encode(Call())) == Call()


def test_the_largest_call_fits_a_sealed_message():
    longest = Address.parse("[2001:db88:8888:8888:8888:8888:8888:8888]:41641")
    call = Call.of([(255, longest)] * 50)
    assert len(call.places) == limits.CALL_CANDIDATES
    assert len(encode(call)) <= MAX_PAYLOAD


def test_addresses_of_one_interface_are_neither_told_nor_believed():
    assert Call.of([(1, Address.parse("[fe80::1%eth0]:1"))]).places == ()
    payload = msgspec.msgpack.encode(
        {"type": "call", "places": [[1, "[fe80::1%eth0]:1"], [1, "192.0.2.1:41641"]]}
    )
    assert decode(payload).candidates() == ((1, V4),)


def test_what_cannot_be_read_is_left_out():
    payload = msgspec.msgpack.encode(
        {"type": "call", "places": [[1, "nowhere"], [9, "192.0.2.1:41641", "more"]]}
    )
    assert decode(payload).candidates() == ((9, V4),)


@pytest.mark.parametrize(
    "said",
    [
        {"type": "other"},
        {"type": "call", "places": [[1, "192.0.2.1:1"]] * (limits.CALL_CANDIDATES + 1)},
        {"type": "call", "places": [[1, "9" * 100]]},
        {"type": "call", "places": [[-1, "192.0.2.1:1"]]},
        {"type": "call", "places": 7},
        [],
    ],
)
def test_anything_else_is_refused(said):
    with pytest.raises(ProtocolViolation):
        decode(msgspec.msgpack.encode(said))


@given(st.binary(max_size=200))
def test_no_payload_does_anything_but_be_refused(payload):
    with contextlib.suppress(ProtocolViolation):
        decode(payload)
