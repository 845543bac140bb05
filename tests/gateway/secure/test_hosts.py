"""Which hosts are doors of ours, and which are somebody else's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.secure.hosts import HostError, host_of, is_local, is_ours, name_of, owner_of

ID = "8pinxxgqs41n4aididenw5apqp1urfmzdztr8jt4abrkdn435ewo"


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        (b"web.alice.localhost:7380", "web.alice.overlay"),
        (b"WEB.Alice.LOCALHOST", "web.alice.overlay"),
        (b"alice.localhost:1", "alice.overlay"),
        (f"web.{ID}.localhost".encode(), f"web.{ID}.overlay"),
    ],
)
def test_a_name_under_localhost_is_the_one_under_overlay(authority, name):
    assert str(name_of(host_of(authority))) == name
    assert is_ours(host_of(authority))
    assert is_local(host_of(authority))


@pytest.mark.parametrize(
    "authority",
    [
        b"evil.example",
        b"evil.example:7380",
        b"web.alice.overlay",
        b"127.0.0.1:7380",
        b"[::1]:7380",
        b"web.alice.localhost.",
        b"web.alice.localhost.:7380",
        b"web.alice.localhost.evil.example",
        b"web.alice.notlocalhost",
        b"",
        b"web.alice.localhost:port",
        b"a@web.alice.localhost",
        b"web.alice.localhost/x",
        "wéb.alice.localhost".encode(),
    ],
)
def test_a_foreign_host_is_told_apart(authority):
    with pytest.raises(HostError) as caught:
        name_of(host_of(authority))
    assert caught.value.is_foreign


@pytest.mark.parametrize(
    "host", ["localhost", "a.b.c.localhost", "-x.localhost", "xn--a.alice.localhost", "..localhost"]
)
def test_what_is_no_name_is_not_foreign_but_found_nowhere(host):
    with pytest.raises(HostError) as caught:
        name_of(host_of(host.encode()))
    assert not caught.value.is_foreign
    assert not is_ours(host)


def test_certificates_are_for_names_of_ours_only():
    assert is_ours("web.alice.overlay")
    assert not is_local("web.alice.overlay")
    for host in (
        "",
        "overlay",
        "localhost",
        "example.com",
        "a.b.c.overlay",
        "web.alice.overlay.",
        "*.overlay",
        "*.alice.overlay",
    ):
        assert not is_ours(host)


def test_an_owner_is_what_browsers_call_a_site():
    assert owner_of("web.alice.localhost") == owner_of("alice.localhost") == "alice.localhost"


@given(st.one_of(st.binary(max_size=300), st.from_regex(rb"[a-z.]*\.localhost(:[0-9]*)?")))
def test_any_bytes_are_a_name_or_an_error_of_ours(raw):
    try:
        name = name_of(host_of(raw))
    except HostError:
        return
    assert str(name).endswith(".overlay")


@given(st.text(max_size=80))
def test_any_text_is_ours_or_not(text):
    assert is_ours(text) in (True, False)
