"""Proxies as people write them; the rest of the room is tested with real beacons in test_relayed.py."""

import pytest

from tunnels.transports.web import Proxy


def test_a_login_is_sent_as_a_header_and_shown_nowhere():
    proxy = Proxy("http://us%20er:p%40ss@proxy.example:3128")
    assert proxy.url == "http://proxy.example:3128"
    assert proxy.headers == {"Proxy-Authorization": "Basic dXMgZXI6cEBzcw=="}
    assert repr(proxy) == "Proxy(http://proxy.example:3128)"


def test_without_a_login_nothing_is_sent():
    proxy = Proxy("http://[2001:db8::1]:8080/")
    assert (proxy.url, proxy.headers) == ("http://[2001:db8::1]:8080", {})


@pytest.mark.parametrize(
    "text",
    [
        "proxy.example:3128",
        "https://proxy.example",
        "http://",
        "http://x/path",
        "socks5://x:1",
        "http://x:99999",
    ],
)
def test_anything_else_is_refused_with_what_is_expected(text):
    with pytest.raises(ValueError, match=r"a proxy is written http://\[USER:PASSWORD@\]HOST:PORT"):
        Proxy(text)
