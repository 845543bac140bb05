"""Facts about addresses and their text form."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnels.addresses import Address, BeaconUrl

ports = st.integers(1, 65535)


@pytest.mark.parametrize(
    ("text", "ip", "port"),
    [
        ("192.0.2.1:7777", IPv4Address("192.0.2.1"), 7777),
        ("[2001:db8::1]:1", IPv6Address("2001:db8::1"), 1),
        ("[::ffff:192.0.2.1]:65535", IPv4Address("192.0.2.1"), 65535),
        ("[fe80::1%eth0]:80", IPv6Address("fe80::1%eth0"), 80),
    ],
)
def test_it_is_read_as_it_is_written(text, ip, port):
    address = Address.parse(text)
    assert (address.ip, address.port) == (ip, port)
    assert address.sockaddr == (str(ip), port)
    assert Address.parse(str(address)) == address


@given(st.ip_addresses(), ports)
def test_every_address_survives_its_text_form(ip, port):
    address = Address.of(str(ip), port)
    assert Address.parse(str(address)) == address
    assert hash(Address.parse(str(address))) == hash(address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "192.0.2.1",
        "192.0.2.1:",
        "192.0.2.1:0",
        "192.0.2.1:65536",
        "192.0.2.1:-1",
        "192.0.2.1:+1",
        "192.0.2.1: 1",
        "192.0.2.1:1\n",
        "192.0.2.1:\u0661",
        "192.0.2.1:" + "9" * 5000,
        "192.0.2.256:1",
        "192.0.2:1",
        "example.org:1",
        "2001:db8::1:7777",
        "[2001:db8::1]7777",
        "[2001:db8::1:7777",
        "2001:db8::1]:7777",
        "[[2001:db8::1]]:7777",
        "[192.0.2.1]:7777",
        "[]:1",
        "[fe80::1%]:1",
        "[fe80::1%a b]:1",
        "[fe80::1%eth0\nforged log line]:1",
        "[fe80::1%" + "x" * 16 + "]:1",
    ],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="is not an address: "):
        Address.parse(text)


@given(st.text(max_size=60) | st.from_regex(r"\[?[0-9a-f:.%\]\[]{0,40}\]?:[0-9]{0,6}", fullmatch=True))
def test_junk_is_an_address_or_a_value_error_of_one_line(text):
    try:
        outcome = str(Address.parse(text))
    except ValueError as error:
        outcome = str(error)
    assert "\n" not in outcome


def test_an_ipv4_address_written_as_ipv6_is_the_same_place():
    assert Address.of("::ffff:127.0.0.1", 5) == Address.of("127.0.0.1", 5)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_out_of_range_is_refused(port):
    with pytest.raises(ValueError, match="not a port"):
        Address.of("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("[::ffff:127.0.0.1]", True),
        ("0.0.0.0", True),
        ("169.254.169.254", True),
        ("[fe80::1]", True),
        ("localhost", True),
        ("a.localhost", True),
        ("127.1", True),
        ("0x7f.1", True),
        ("0x7f000001", True),
        ("2130706433", True),
        ("192.168.1.2", False),
        ("203.0.113.9", False),
        ("eu1.example", False),
    ],
)
def test_a_beacon_on_this_machine_is_told_from_others(host: str, is_local: bool) -> None:
    assert BeaconUrl.parse(f"https://{host}").is_local == is_local
