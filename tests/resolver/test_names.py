"""Names under .overlay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.errors import InvalidName
from resolver.names import (
    RESERVED_PETNAMES,
    OverlayName,
    check_label,
    check_petname,
    check_service_name,
    is_overlay,
    parse_owner,
)
from tests.lab.resolver_keys import key

ID = str(key(1).endpoint_id)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alice.overlay", "alice.overlay"),
        ("Alice.OVERLAY.", "alice.overlay"),
        ("web.alice.overlay", "web.alice.overlay"),
        ("WEB-2.Alice.overlay", "web-2.alice.overlay"),
        (f"{ID}.overlay", f"{ID}.overlay"),
        (f"Web.{ID.upper()}.Overlay.", f"web.{ID}.overlay"),
        ("80.alice.overlay", "80.alice.overlay"),
    ],
)
def test_a_name_is_read_in_any_case_with_or_without_trailing_dot(text: str, expected: str) -> None:
    assert str(OverlayName.parse(text)) == expected


def test_the_owner_is_an_endpoint_id_or_a_petname() -> None:
    assert OverlayName.parse(f"web.{ID}.overlay") == OverlayName(key(1).endpoint_id, "web")
    assert OverlayName.parse("alice.overlay") == OverlayName(check_petname("alice"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "does not end in"),
        ("overlay", "is not a name"),
        (".overlay", "may not be empty"),
        ("alice..overlay", "may not be empty"),
        ("alice.example", "does not end in"),
        ("overlay.alice", "does not end in"),
        ("a.b.alice.overlay", "write <name>.overlay"),
        ("al_ice.overlay", "contains '_'"),
        ("-alice.overlay", "hyphen"),
        ("älice.overlay", "does not end in"),
        ("\N{KELVIN SIGN}ate.overlay", "does not end in"),
        ("xn--lice-koa.overlay", "xn--"),
        ("x" * 64 + ".overlay", "at most 63"),
        ("y" * 51 + "0.overlay", "endpoint id"),
        ("x" * 63 + ".alice.overlay", "at most 62"),
        ("alice.overlay..", "does not end in"),
    ],
)
def test_what_is_no_name_is_refused_with_the_rule_it_breaks(text: str, says: str) -> None:
    with pytest.raises(InvalidName, match=says):
        OverlayName.parse(text)


@given(st.text(max_size=300) | st.from_regex(r"[a-zA-Z0-9._-]{0,70}\.overlay\.?", fullmatch=True))
def test_any_text_is_a_name_or_an_invalid_name_and_a_name_reads_back(text: str) -> None:
    try:
        name = OverlayName.parse(text)
    except InvalidName:
        return
    assert OverlayName.parse(str(name)) == name
    assert is_overlay(text)


def test_everything_under_overlay_is_ours_even_if_it_is_no_name() -> None:
    assert all(map(is_overlay, ["overlay", "OVERLAY.", "a.b.c.d.Overlay", "_x.overlay."]))
    assert not any(map(is_overlay, ["", ".", "example.org", "notoverlay", "overlay.example", "127.0.0.1"]))


def test_a_label_is_given_back_in_lower_case() -> None:
    assert check_label("Alice-2") == "alice-2"
    with pytest.raises(InvalidName, match="'\N{KELVIN SIGN}'"):
        check_label("\N{KELVIN SIGN}ate")


@pytest.mark.parametrize("petname", [*RESERVED_PETNAMES, ID, ID.upper(), "z" * 52])
def test_a_petname_is_not_reserved_and_does_not_look_like_an_id(petname: str) -> None:
    with pytest.raises(InvalidName, match="choose"):
        check_petname(petname)


def test_a_service_name_leaves_room_for_the_underscore_of_srv_records() -> None:
    assert check_service_name("X" * 62) == "x" * 62
    with pytest.raises(InvalidName, match="at most 62"):
        check_service_name("x" * 63)


def test_reserved_petnames_are_read_because_somebody_may_ask_for_them() -> None:
    assert parse_owner("wpad") == "wpad"


def test_an_invalid_name_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match="may not be empty"):
        check_label("")
