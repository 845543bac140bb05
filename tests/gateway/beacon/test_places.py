"""Where a connection comes from."""

from __future__ import annotations

import pytest

from gateway.beacon.places import client_of, observed


@pytest.mark.parametrize(
    ("peer", "client"),
    [
        (("192.0.2.7", 1234), "192.0.2.7"),
        (("::ffff:192.0.2.7", 1234, 0, 0), "192.0.2.7"),
        (("2001:db8:1:2ff:3::4", 1234, 0, 0), "2001:db8:1:200::/56"),
        (("2001:db8:1:200::9", 1, 0, 0), "2001:db8:1:200::/56"),
        (("fe80::1%eth0", 1, 0, 2), "fe80::/56"),
        (("127.0.0.1", 1), None),
        (("::1", 1, 0, 0), None),
        ((), None),
        (None, None),
    ],
)
def test_limits_count_an_ipv4_address_or_an_ipv6_56_as_one(peer: tuple[object, ...], client: str) -> None:
    assert client_of(peer) == client


@pytest.mark.parametrize(
    ("peer", "text"),
    [
        (("192.0.2.7", 1234), "192.0.2.7:1234"),
        (("::ffff:192.0.2.7", 1234, 0, 0), "192.0.2.7:1234"),
        (("2001:db8::4", 99, 0, 0), "[2001:db8::4]:99"),
        (None, ""),
    ],
)
def test_the_observed_address_is_written_as_addresses_are(peer: tuple[object, ...], text: str) -> None:
    assert observed(peer) == text
