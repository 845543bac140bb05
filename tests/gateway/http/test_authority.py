"""The places requests name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.authority import parse_authority, split_absolute


@pytest.mark.parametrize(
    ("raw", "host", "port"),
    [
        (b"a.overlay", "a.overlay", 80),
        (b"a.overlay:", "a.overlay", 80),
        (b"A.overlay:8080", "A.overlay", 8080),
        (b"127.0.0.1:1", "127.0.0.1", 1),
        (b"[2001:DB8::1]:443", "2001:db8::1", 443),
        ("bücher.example".encode(), "bücher.example", 80),
    ],
)
def test_an_authority_is_read(raw: bytes, host: str, port: int) -> None:
    authority = parse_authority(raw, 80)
    assert (authority.host, authority.port, authority.text) == (host, port, raw)


@pytest.mark.parametrize(
    "raw",
    [b"", b":80", b"a:0", b"a:65536", b"a:x", b"a:+1", b"user@a", b"a b", b"a/b", b"[::1", b"::1", b"[::1]x", b"[g::]:1",
     b"[]:1", b"a:1:2", b"a\\b", b"\xff\xfe", b"a" * 256],
)  # fmt: skip
def test_what_is_no_authority_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_authority(raw, 80)


def test_the_port_may_be_required() -> None:
    with pytest.raises(ValueError, match="missing"):
        parse_authority(b"a", None)


def test_absolute_targets_are_split() -> None:
    assert split_absolute(b"http://a:1/x?y") == (b"http", b"a:1", b"/x?y")
    assert split_absolute(b"HTTP://a") == (b"http", b"a", b"/")
    assert split_absolute(b"http://a?x") == (b"http", b"a", b"/?x")
    assert split_absolute(b"/x") is None
    assert split_absolute(b"*") is None
    assert split_absolute(b"http://a/#fragment") is None


@given(st.binary(max_size=60))
def test_any_bytes_are_an_authority_or_a_value_error(raw: bytes) -> None:
    try:
        authority = parse_authority(raw, 80)
    except ValueError:
        return
    assert 0 < authority.port < 65536
    assert authority.host
