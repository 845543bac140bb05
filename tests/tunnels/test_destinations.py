"""Each ip gets no more than its share, and what is counted is bounded."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

from tunnels.destinations import Destinations

VICTIM = IPv4Address("192.0.2.1")


def taken(destinations: Destinations, ip: str, times: int, now: float) -> int:
    return sum(destinations.take(ip_address(ip), now) for _ in range(times))


def test_each_ip_gets_its_share_and_has_it_again_later():
    destinations = Destinations(2.0, 10, 8)
    assert taken(destinations, "192.0.2.1", 100, 0) == 10
    assert taken(destinations, "192.0.2.2", 100, 0) == 10
    assert taken(destinations, "192.0.2.1", 100, 3) == 6


def test_a_network_of_ipv6_is_one_place():
    destinations = Destinations(1.0, 10, 8)
    assert taken(destinations, "2001:db8::1", 6, 0) + taken(destinations, "2001:db8::ffff:1", 6, 0) == 10
    assert taken(destinations, "2001:db8:0:1::1", 100, 0) == 10


def test_to_more_places_than_are_counted_nothing_is_sent_until_one_has_its_share_again():
    destinations = Destinations(1.0, 10, 8)
    for number in range(1000):
        assert destinations.take(VICTIM + number, 0) == (number < 8)
    assert len(destinations) == 8
    assert destinations.take(VICTIM + 999, 10)
    assert len(destinations) == 1


def test_the_longest_unused_makes_room_where_that_is_wanted():
    destinations = Destinations(1.0, 2, 8, makes_room=True)
    assert all(destinations.take(VICTIM + number, 0) for number in range(1000))
    assert len(destinations) == 8
    assert destinations.take(VICTIM + 999, 0)
    assert not destinations.take(VICTIM + 999, 0)
