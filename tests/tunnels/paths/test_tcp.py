"""Facts about paths that are TCP connections: how they are found, what they rank below and above, and what their end is."""

from __future__ import annotations

import pytest

from tests.lab.paths import Link, Pair, at, by_relay, direct
from tunnels.addresses import TcpAddress
from tunnels.paths.candidates import PathPolicy
from tunnels.paths.path import PathState

HERE, THERE = TcpAddress(at("198.51.100.1:40000")), TcpAddress(at("203.0.113.2:50000"))


def connected(pair: Pair, *, delay: float = 0.01) -> Link:
    """A TCP connection comes to be, and alice knocks."""
    link = Link({"alice": HERE, "bob": THERE}, delay=delay)
    pair.links.append(link)
    pair.carry("alice", pair.alice.paths.exchange.knock(), THERE)
    return link


def test_one_knock_makes_it_the_path_of_both_that_were_on_the_relay():
    pair = Pair(by_relay(delay=0.005)).handshake().run(3)
    connected(pair, delay=0.05)
    pair.run(1)
    assert pair.alice.paths.confirmed == THERE
    assert pair.bob.paths.confirmed == HERE
    report = pair.alice.paths.report(pair.now)[0]
    assert report.observed == HERE.peer
    assert len(pair.alice.paths.relays) == 1, "the relay stays beside it"


def test_a_direct_path_by_udp_is_better_whatever_its_round_trip():
    udp = direct(delay=0.1)
    udp.kill()
    pair = Pair(udp, by_relay()).handshake().run(3)
    connected(pair, delay=0.01)
    pair.run(1)
    assert pair.alice.paths.confirmed == THERE
    udp.heal()
    pair.run(90)
    assert pair.alice.paths.confirmed == udp.addresses["bob"]


def test_a_policy_for_relays_only_does_not_know_it():
    pair = Pair(by_relay(), policy=PathPolicy.RELAY_ONLY).handshake().run(3)
    connected(pair)
    pair.carry("bob", pair.bob.paths.exchange.knock(), HERE)
    pair.run(3)
    assert not pair.alice.paths.has(THERE)
    assert pair.alice.paths.confirmed != THERE


def test_when_it_ends_the_relay_takes_over_and_nothing_of_it_is_kept():
    pair = Pair(by_relay()).handshake().run(3)
    link = connected(pair)
    pair.run(1)
    assert pair.alice.paths.confirmed == THERE
    link.kill()
    pair.alice.paths.failed(THERE, pair.now)
    pair.bob.paths.failed(HERE, pair.now)
    relay = pair.alice.paths.relays[0]
    assert pair.alice.paths.confirmed == relay
    assert not pair.alice.paths.has(THERE)
    pair.run(60)
    assert pair.alice.paths.addresses == (relay,)
    assert pair.bob.paths.addresses == pair.bob.paths.relays


def test_one_that_ends_while_it_is_all_there_is_is_left_when_there_is_another_again():
    relay = by_relay()
    pair = Pair(relay).handshake().run(3)
    link = connected(pair)
    pair.run(1)
    relay.kill()
    pair.run(40)
    link.kill()
    pair.alice.paths.failed(THERE, pair.now)
    relay.heal()
    pair.run(40)
    assert pair.alice.paths.confirmed == relay.addresses["bob"]
    assert pair.alice.paths.report(pair.now)[0].state is PathState.USABLE


@pytest.mark.parametrize("forged", [b"", b"\x23" + bytes(87), b"\x23alicealicealice"])
def test_a_stranger_at_the_other_end_becomes_no_path(forged):
    pair = Pair(by_relay()).handshake().run(3)
    pair.alice.paths.check_received(forged, THERE, pair.now)
    assert not pair.alice.paths.has(THERE)
