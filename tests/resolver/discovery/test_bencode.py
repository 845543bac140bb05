"""Bencoding: what is written is read, and of what strangers send nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.discovery.bencode import MalformedMessage, decode, encode
from resolver.limits import DHT_DEPTH, DHT_MESSAGE_BYTES

values = st.recursive(
    st.integers(-(10**19), 10**19) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.binary(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def depth(value: object) -> int:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth, inner), default=0)
    return 0


@given(values)
def test_what_is_written_is_read(value) -> None:
    if depth(value) <= DHT_DEPTH:
        assert decode(encode(value)) == value


def test_the_examples_of_bep_3() -> None:
    assert encode(b"spam") == b"4:spam"
    assert encode(-3) == b"i-3e"
    assert encode([b"spam", b"eggs"]) == b"l4:spam4:eggse"
    assert encode({b"spam": [b"a", b"b"], b"cow": b"moo"}) == b"d3:cow3:moo4:spaml1:a1:bee"
    assert decode(b"d4:spaml1:a1:be3:cow3:mooe") == {b"cow": b"moo", b"spam": [b"a", b"b"]}


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"i", b"ie", b"i-0e", b"i01e", b"i1", b"4:spa", b"04:spam", b"-1:", b"l", b"le2", b"d", b"x"),
        *(b"d1:ae", b"di1e1:ae", b"dle1:ae", b"i" + b"9" * 21 + b"e", b"123456:" + b"a" * 9),
        b"l" * (DHT_DEPTH + 1) + b"e" * (DHT_DEPTH + 1),
        b"%d:%b" % (DHT_MESSAGE_BYTES, bytes(DHT_MESSAGE_BYTES)),
    ],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_no_value_or_too_much_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode(data)


def test_the_largest_message_and_the_deepest_are_read() -> None:
    assert len(decode(b"2043:" + bytes(DHT_MESSAGE_BYTES - 5))) == DHT_MESSAGE_BYTES - 5  # type: ignore[arg-type]
    assert decode(b"l" * DHT_DEPTH + b"e" * DHT_DEPTH) == [[[[]]]]


@given(st.binary(max_size=200) | st.text("dlie0123456789:-a", max_size=60).map(str.encode))
def test_any_bytes_are_a_value_or_malformed(data: bytes) -> None:
    try:
        value = decode(data)
    except MalformedMessage:
        return
    assert decode(encode(value)) == value
