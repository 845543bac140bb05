"""Where requests go."""

from __future__ import annotations

import pytest

from gateway.proxy.routing import OtherHosts, Route, leads_back, route


@pytest.mark.parametrize(
    "host", ["overlay", "alice.overlay", "WEB.Alice.OVERLAY", "a.overlay.", "x" * 52 + ".overlay"]
)
@pytest.mark.parametrize("other", OtherHosts)
def test_overlay_names_go_to_the_overlay_whatever_is_configured(host: str, other: OtherHosts) -> None:
    assert route(host, other) is Route.OVERLAY


@pytest.mark.parametrize(
    "host", ["example.org", "127.0.0.1", "::1", "localhost", "overlay.example", "myoverlay", "", "."]
)
def test_other_hosts_go_as_configured(host: str) -> None:
    assert route(host, OtherHosts.DIRECT) is Route.DIRECT
    assert route(host, OtherHosts.REFUSE) is Route.REFUSE


@pytest.mark.parametrize(
    ("peer", "local", "own", "expected"),
    [
        (("127.0.0.1", 1080), ("127.0.0.1", 5), ("127.0.0.1", 1080), True),
        (("127.0.0.1", 1081), ("127.0.0.1", 5), ("127.0.0.1", 1080), False),
        (("127.0.0.2", 1080), ("127.0.0.1", 5), ("127.0.0.1", 1080), False),
        (("127.0.0.2", 1080), ("127.0.0.1", 5), ("0.0.0.0", 1080), True),
        (("192.0.2.7", 1080), ("192.0.2.7", 5), ("0.0.0.0", 1080), True),
        (("192.0.2.8", 1080), ("192.0.2.7", 5), ("0.0.0.0", 1080), False),
        (("::1", 1080), ("::1", 5), ("::", 1080), True),
        (("::ffff:127.0.0.1", 1080), ("::ffff:127.0.0.1", 5), ("127.0.0.1", 1080), True),
    ],
)
def test_a_connection_to_the_proxy_itself_is_recognised(
    peer: tuple[str, int], local: tuple[str, int], own: tuple[str, int], expected: bool
) -> None:
    assert leads_back(peer, local, own) is expected
