"""What a text may be, beyond its type."""

from __future__ import annotations

import pytest

from gateway.config.checks import (
    check_ip,
    check_label,
    check_petname,
    check_proxy,
    check_upstream,
    check_visible,
)

ID = "8pinxxgqs41n4aididenw5apqp1urfmzdztr8jt4abrkdn435ewo"


@pytest.mark.parametrize("text", ["a", "web", "web-2", "2", "a" * 63])
def test_these_are_labels(text: str) -> None:
    check_label(text)


@pytest.mark.parametrize("text", ["", "A", "-a", "a-", "-", "a_b", "a.b", "ä", "a b", "a" * 64, "²", "a\n"])
def test_these_are_no_labels(text: str) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        check_label(text)


def test_a_petname_cannot_be_taken_for_an_endpoint_id() -> None:
    check_petname("alice")
    with pytest.raises(ValueError, match="is an endpoint id"):
        check_petname(ID)


def test_a_host_is_a_numeric_address() -> None:
    check_ip("::1")
    for text in ("localhost", "", "1.2.3", "1.2.3.4:5"):
        with pytest.raises(ValueError, match="is not an ip address"):
            check_ip(text)


def test_a_header_value_is_visible_ascii() -> None:
    check_visible("localhost:3000")
    for text in ("a b", "a\r\nX: y", "ä"):
        with pytest.raises(ValueError, match="cannot stand in an HTTP header"):
            check_visible(text)


@pytest.mark.parametrize("text", ["socks5://127.0.0.1:9050", "http://me:secret@proxy:3128", "socks4://x:1/"])
def test_these_are_upstream_proxies(text: str) -> None:
    check_upstream(text)


@pytest.mark.parametrize(
    "text", ["x", "socks5://", "socks5://x", "https://x:1", "http://x:99999", "http://x:1/y", "http://[:1"]
)
def test_these_are_no_upstream_proxies(text: str) -> None:
    with pytest.raises(ValueError, match="upstream is not the URL of a proxy"):
        check_upstream(text)


def test_the_proxy_of_beacons_speaks_http() -> None:
    check_proxy("http://me:secret@proxy:3128/")
    for text in ("", "socks5://x:1", "https://x:1", "http://x", "http://x:1/y", "http://x:1?y", "x"):
        with pytest.raises(ValueError, match="is not the URL of an HTTP proxy"):
            check_proxy(text)
