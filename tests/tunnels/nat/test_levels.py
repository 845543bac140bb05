"""How many NATs the routers on the way prove, and how many there is room for."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest

from tunnels.nat.levels import UNKNOWN_LEVELS, Levels, levels_of, with_router

OUTSIDE = IPv4Address("203.0.113.9")


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        pytest.param("192.168.1.1 62.1.1.1", Levels(1, 1, 1), id="an ordinary home"),
        pytest.param("192.168.1.1 100.64.0.1 62.1.1.1", Levels(2, 2, 2), id="behind a provider's NAT"),
        pytest.param("192.168.1.1 10.0.0.1 62.1.1.1", Levels(1, 2, 2), id="the second may only route"),
        pytest.param("100.64.0.1 62.1.1.1", Levels(1, 1, 1), id="a telephone"),
        pytest.param("192.168.1.1 203.0.113.9 62.1.1.1", Levels(1, 2, 2), id="a NAT tells of its outside"),
        pytest.param("192.168.1.1 ? 62.1.1.1", Levels(1, 2, 2), id="a silent one may translate"),
        pytest.param("? 100.64.0.1 62.1.1.1", Levels(1, 2, 2), id="our own router is silent"),
        pytest.param("192.168.1.1 100.64.0.1", Levels(2), id="no one beyond tells of itself"),
        pytest.param("192.168.1.1", Levels(1), id="our own router only"),
        pytest.param("", Levels(1), id="nobody"),
        pytest.param("62.1.1.1", Levels(1), id="a NAT that hides"),
        pytest.param("127.0.0.1 0.0.0.0 2001:db8::1", Levels(1), id="nonsense"),
        pytest.param("192.168.1.1 10.1.1.1 100.64.0.1 ? 62.1.1.1 10.0.0.1", Levels(2, 4, 4), id="a long way"),
    ],
)
def test_the_way_tells(way, expected):
    hops = [None if hop == "?" else ip_address(hop) for hop in way.split()]
    found = levels_of(hops, translated=True, external_ips=(OUTSIDE,))
    assert found == expected
    assert found.exactly == (expected.least if expected.least == expected.most else None)


def test_without_a_nat_there_is_none_and_without_an_answer_nothing_is_known():
    assert levels_of([], translated=False, external_ips=()) == Levels(0, 0, 0)
    assert levels_of([OUTSIDE], translated=None, external_ips=()) == UNKNOWN_LEVELS == Levels()


def test_what_our_router_says_of_itself_tells_whether_it_is_the_only_one():
    assert with_router(Levels(1), OUTSIDE, (OUTSIDE,)) == Levels(1, 1, 1)
    private = IPv4Address("192.168.178.20")
    assert with_router(Levels(1, 2, 2), private, (OUTSIDE,)) == Levels(2, 2, 2)
    assert with_router(Levels(1), private, (OUTSIDE,)) == Levels(2)
    assert with_router(Levels(1, 1, 1), private, (OUTSIDE,)) == Levels(2), "the way hid one"
    assert with_router(Levels(1), None, (OUTSIDE,)) == Levels(1)
    assert with_router(UNKNOWN_LEVELS, private, ()) == UNKNOWN_LEVELS
