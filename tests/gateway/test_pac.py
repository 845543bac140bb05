"""The PAC file, read as a browser reads it."""

from __future__ import annotations

import pytest

from gateway.pac import CONTENT_TYPE, pac


def test_overlay_goes_to_the_proxy_and_everything_else_direct() -> None:
    text = pac("127.0.0.1", 1080)
    assert '"SOCKS5 127.0.0.1:1080; PROXY 127.0.0.1:1080; SOCKS 127.0.0.1:1080"' in text
    assert 'return "DIRECT";' in text
    assert ".overlay" in text
    assert text.isascii()
    assert CONTENT_TYPE == "application/x-ns-proxy-autoconfig"


def test_ipv6_is_bracketed() -> None:
    assert "SOCKS5 [::1]:9;" in pac("::1", 9)


@pytest.mark.parametrize(
    ("host", "port"), [("localhost", 1), ('"; alert(1)', 1), ("127.0.0.1", 0), ("127.0.0.1", 65536)]
)
def test_only_numeric_places_are_written(host: str, port: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        pac(host, port)
