"""Manifests: what a person writes is read or refused in one line, and what strangers send cannot command a terminal."""

from __future__ import annotations

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UsageError
from gateway.topics.limits import MANIFEST_FILE_BYTES
from gateway.topics.manifest import Manifest, read_manifest

WHOLE = {
    "name": "Chat",
    "version": "1.2",
    "description": "Talk to whoever is there.",
    "service": "chat",
    "home_page": "https://chat.example/",
}


def test_toml_and_json_say_the_same():
    toml = "\n".join(f"{key} = {json.dumps(value)}" for key, value in WHOLE.items())
    assert read_manifest(toml.encode(), "chat.toml") == Manifest(**WHOLE)
    assert read_manifest(json.dumps(WHOLE).encode(), "chat.JSON") == Manifest(**WHOLE)
    assert read_manifest(b'name = "x"', "x") == Manifest(name="x")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "missing required field `name`"),
        ("name", "this is not TOML"),
        ("name = 7", "Expected `str`"),
        ('name = ""', "length >= 1"),
        (f'name = "{"x" * 65}"', "length <= 64"),
        ('name = "a\\u001b[2J"', "printable text"),
        ('name = " a"', "without spaces around"),
        ('name = "a"\ncolour = "blue"', "'colour' is no key of a manifest"),
        ('name = "a"\nservice = "a b"', "only letters"),
        ('name = "a"\nservice = "Chat"', "not in lower case"),
        ('name = "a"\nhome_page = "javascript:alert(1)"', "URL that a browser opens"),
        ('name = "a"\nhome_page = "https://"', "URL that a browser opens"),
        ('name = "a"\nhome_page = "https://u:p@a.example/"', "URL that a browser opens"),
        ('name = "a"\nhome_page = "https://[::"', "URL that a browser opens"),
        ("#" * (MANIFEST_FILE_BYTES + 1), "at most 4096 bytes"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line_that_names_the_file(text, why):
    with pytest.raises(UsageError, match=why) as raised:
        read_manifest(text.encode(), "m.toml")
    assert str(raised.value).startswith("m.toml: ")
    assert "\n" not in str(raised.value)


def test_a_list_is_no_manifest():
    with pytest.raises(UsageError, match="a table of keys and values"):
        read_manifest(b"[1]", "m.json")


@given(st.binary(max_size=300), st.sampled_from(["m.toml", "m.json"]))
def test_any_file_is_a_manifest_or_a_usage_error(data, name):
    with contextlib.suppress(UsageError):
        assert read_manifest(data, name).name.isprintable()


@given(
    st.dictionaries(
        st.sampled_from([*WHOLE, "other"]),
        st.one_of(st.text(max_size=80), st.integers(), st.none()),
        max_size=6,
    )
)
def test_whatever_a_peer_sends_in_place_of_one_is_refused_or_fits_on_a_terminal(table):
    try:
        manifest = msgspec.convert(table, Manifest)
    except msgspec.ValidationError:
        return
    assert all(getattr(manifest, key).isprintable() for key in Manifest.__struct_fields__)
