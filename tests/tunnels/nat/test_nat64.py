"""IPv4 in IPv6 as RFC 6052 has it, and the prefix in answers as RFC 7050 has it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnels.addresses import Address
from tunnels.nat import limits
from tunnels.nat.nat64 import Nat64, found_in
from tunnels.paths.candidates import is_sane

WELL_KNOWN = Nat64(IPv6Network("64:ff9b::/96"))
EXAMPLES = [  # RFC 6052 §2.4
    ("2001:db8::/32", "2001:db8:c000:221::"),
    ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
    ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
    ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
    ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
    ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
    ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
]


@pytest.mark.parametrize(("prefix", "address"), EXAMPLES)
def test_addresses_are_made_as_the_rfc_makes_them(prefix, address):
    nat64 = Nat64(IPv6Network(prefix))
    assert nat64.embed(IPv4Address("192.0.2.33")) == IPv6Address(address)
    assert nat64.extract(IPv6Address(address)) == IPv4Address("192.0.2.33")


@given(st.ip_addresses(v=4), st.sampled_from([prefix for prefix, _ in EXAMPLES]))
def test_what_is_put_in_comes_out(ip, prefix):
    nat64 = Nat64(IPv6Network(prefix))
    assert nat64.extract(nat64.embed(ip)) == ip
    assert nat64.embed(ip).packed[8] == 0 or nat64.prefix.prefixlen == 96


@given(st.ip_addresses(v=6))
def test_other_addresses_are_left_as_they_are(ip):
    address = Address(ip, 41641)
    assert WELL_KNOWN.outward(address) == address
    if ip not in WELL_KNOWN.prefix:
        assert WELL_KNOWN.inward(address) == address


def test_ipv4_goes_out_by_the_nat64_and_comes_back_as_ipv4():
    peer = Address.parse("11.22.33.2:41641")
    out = WELL_KNOWN.outward(peer)
    assert out == Address.parse("[64:ff9b::b16:2102]:41641")
    assert WELL_KNOWN.inward(out) == peer
    assert WELL_KNOWN.inward(peer) == peer
    assert not is_sane(out, with_loopback=False), "of others such an address is still not believed"


@pytest.mark.parametrize(
    "ip",
    ["10.0.0.1", "127.0.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "224.0.0.1", "255.255.255.255", "0.0.0.0"],
)  # fmt: skip
def test_nothing_is_sent_through_it_to_addresses_that_mean_nothing_there(ip):
    assert WELL_KNOWN.outward(Address(IPv4Address(ip), 41641)) is None


@pytest.mark.parametrize("prefix", [prefix for prefix, _ in EXAMPLES])
def test_the_prefix_is_found_whatever_its_length(prefix):
    nat64 = Nat64(IPv6Network(prefix))
    answers = [nat64.embed(IPv4Address(ip)) for ip in ("192.0.0.170", "192.0.0.171")]
    assert found_in(answers) == nat64
    assert found_in(reversed(answers)) == nat64
    assert found_in(answers[:1]) == nat64


@pytest.mark.parametrize(
    "answers",
    [
        [],
        ["2001:db8::1"],
        ["64:ff9b::8.8.8.8"],
        ["::ffff:192.0.0.170"],
        ["fe80::192.0.0.170"],
        ["ff02::192.0.0.170"],
        ["::192.0.0.170"],
    ],
)
def test_answers_that_no_nat64_makes_show_none(answers):
    assert found_in(map(IPv6Address, answers)) is None


def test_an_answer_that_fits_two_prefixes_shows_neither_until_another_one_decides():
    both = bytearray(Nat64(IPv6Network("2001:db8::/32")).embed(IPv4Address("192.0.0.170")).packed)
    both[12:] = IPv4Address("192.0.0.170").packed
    other = Nat64(IPv6Network((bytes(both), 96), strict=False)).embed(IPv4Address("192.0.0.171"))
    assert found_in([other]) in (None, Nat64(IPv6Network((bytes(both), 96), strict=False)))
    found = found_in([IPv6Address(bytes(both)), other])
    assert found == Nat64(IPv6Network((bytes(both), 96), strict=False))


def test_no_more_answers_are_looked_at_than_make_sense():
    junk = [IPv6Address(f"2001:db8::{n:x}") for n in range(1, limits.NAT64_ANSWERS + 1)]
    good = WELL_KNOWN.embed(IPv4Address("192.0.0.170"))
    assert found_in([*junk, good]) is None
    assert found_in([*junk[1:], good]) == WELL_KNOWN


def test_a_prefix_of_another_length_is_none():
    with pytest.raises(ValueError, match="one of"):
        Nat64(IPv6Network("64:ff9b::/95"))
