"""PROXY protocol v2 headers are as its specification draws them."""

from __future__ import annotations

from ipaddress import IPv4Address

from gateway.expose.proxy_protocol import proxy_header
from tests.lab.streams import ALICE

_SIGNATURE = "0d0a0d0a000d0a515549540a"
_TLV = b"\xe0\x00\x34" + str(ALICE).encode()


def test_a_caller_with_an_address_is_tcp_over_ipv4() -> None:
    header = proxy_header(ALICE, (IPv4Address("127.80.3.1"), 40000), (IPv4Address("127.0.0.1"), 8000))
    addresses = "7f500301 7f000001 9c40 1f40"
    assert header == bytes.fromhex(f"{_SIGNATURE} 21 11 0043 {addresses}") + _TLV


def test_a_caller_without_an_address_is_unspecified() -> None:
    assert proxy_header(ALICE) == bytes.fromhex(f"{_SIGNATURE} 21 00 0037") + _TLV


def test_the_length_counts_all_that_follows_it() -> None:
    for header in (proxy_header(ALICE), proxy_header(ALICE, (IPv4Address(1), 1), (IPv4Address(2), 2))):
        assert int.from_bytes(header[14:16]) == len(header) - 16
