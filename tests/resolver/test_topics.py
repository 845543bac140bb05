"""Names of topics, and the numbers made of them."""

from __future__ import annotations

import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.errors import InvalidName
from resolver.limits import TOPIC_NAME_CHARACTERS
from resolver.topics import LEND_TOPIC, check_topic_name, read_topic, topic_id, topic_key, topic_text


def test_an_id_is_the_beginning_of_a_personalised_hash_of_the_name():
    expected = hashlib.blake2b(b"chat", person=b"overlay topic 1").digest()[:20]
    assert topic_id("chat") == expected
    assert topic_id("chat") != topic_id("chats")
    assert topic_id(LEND_TOPIC).hex() == "84d8dcd37d2be4be925a7d257e488906fa3594f2"


def test_the_id_tells_nothing_of_the_key():
    assert len(topic_key("chat")) == 32
    assert topic_id("chat") not in topic_key("chat")


@pytest.mark.parametrize("name", ["chat", "Org.Example.Chat", "a_b-c.9", "x" * TOPIC_NAME_CHARACTERS])
def test_names_are_compared_in_lower_case(name):
    assert check_topic_name(name) == name.lower()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "1 to 64 characters"),
        ("x" * (TOPIC_NAME_CHARACTERS + 1), "not 65"),
        ("a b", "only letters"),
        (".a", "begins with a letter"),
        ("café", "only letters"),
        ("\N{KELVIN SIGN}", "only letters"),
        (LEND_TOPIC, "for topics of gateways themselves"),
        ("OVERLAY.x", "for topics of gateways themselves"),
    ],
)
def test_what_is_no_name_is_refused_in_one_line(name, why):
    with pytest.raises(InvalidName, match=why) as raised:
        check_topic_name(name)
    assert "\n" not in str(raised.value)


@given(st.binary(min_size=20, max_size=20))
def test_an_id_as_text_is_read_again(topic):
    text = topic_text(topic)
    assert len(text) == 32
    assert read_topic(text) == read_topic(text.upper()) == topic


@given(st.text(max_size=60))
def test_any_text_is_an_id_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        assert len(read_topic(text)) == 20


@pytest.mark.parametrize("text", ["", "y", "y" * 31, "y" * 33, "y" * 52, "l" * 32])
def test_what_is_no_id_is_refused(text):
    with pytest.raises(ValueError):
        read_topic(text)
