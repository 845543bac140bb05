"""Who is on a network of ours, and reached without a router."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest

from resolver.discovery.lan_links import LanLink, is_on

BOTH = LanLink(
    "eth0",
    2,
    ((IPv4Address("192.168.1.5"), IPv4Network("192.168.1.0/24")),),
    ((IPv6Address("fd00:1::5"), IPv6Network("fd00:1::/64")),),
)
IPV4 = LanLink("eth1", 3, ((IPv4Address("10.0.0.1"), IPv4Network("10.0.0.0/8")),))


@pytest.mark.parametrize(
    ("ip", "expected"),
    [
        ("192.168.1.77", True),
        ("192.168.2.77", False),
        ("10.9.9.9", True),
        ("203.0.113.1", False),
        ("fd00:1::77", True),
        ("fe80::77%eth0", True),
        ("2001:db8::1", False),
    ],
)
def test_who_is_on_our_networks(ip, expected):
    assert is_on([BOTH, IPV4], ip_address(ip)) is expected


def test_nobody_is_where_we_have_no_network():
    assert not is_on([], ip_address("192.168.1.77"))
    assert not is_on([IPV4], ip_address("fe80::77%eth1")), "we have no IPv6 there"
