"""SOCKS5 addresses, byte by byte."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.socks_address import BadAddress, SocksAddress, decode, encode

VECTORS = [
    ("ipv4", "01 7f000001 0050", "127.0.0.1", 80),
    ("name", "03 09 612e6f7665726c6179 1f90", "a.overlay", 8080),
    ("ipv6", "04 20010db8000000000000000000000001 ffff", "2001:db8::1", 65535),
]


@pytest.mark.parametrize(("name", "raw", "host", "port"), VECTORS)
def test_addresses_are_read_and_written(name: str, raw: str, host: str, port: int) -> None:
    data = bytes.fromhex(raw)
    assert decode(data) == SocksAddress(host, port, len(data))
    assert decode(b"xx" + data + b"rest", 2) == SocksAddress(host, port, len(data))
    assert encode(host, port) == data
    for length in range(len(data)):
        assert decode(data[:length]) is None


@pytest.mark.parametrize("raw", ["00", "02", "05", "ff", "03 00 0050", "03 01 20 0050", "03 01 ff 0050"])
def test_what_is_no_address_is_refused(raw: str) -> None:
    with pytest.raises(BadAddress):
        decode(bytes.fromhex(raw))


def test_a_host_that_is_too_long_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="255"):
        encode("a" * 256, 1)


def test_a_zone_is_left_out_because_socks_has_no_place_for_it() -> None:
    assert encode("fe80::1%eth0", 1) == encode("fe80::1", 1)


hosts = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.from_regex(r"[a-z][a-z0-9.-]{0,60}[a-z]", fullmatch=True),
)


@given(hosts, st.integers(0, 65535))
def test_what_is_written_is_read_back(host: str, port: int) -> None:
    data = encode(host, port)
    assert decode(data) == SocksAddress(host, port, len(data))


@given(st.binary(max_size=40))
def test_any_bytes_are_an_address_or_an_error_or_too_short(data: bytes) -> None:
    try:
        address = decode(data)
    except BadAddress:
        return
    assert address is None or address.size <= len(data)


def test_literals_have_one_spelling() -> None:
    assert encode(str(IPv4Address(1)), 1)[0] == 1
    assert encode(str(IPv6Address(1)), 1)[0] == 4
