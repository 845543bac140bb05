"""Facts about checks on their way: what is sent, and the bounds."""

from __future__ import annotations

from math import inf
from random import Random

from tests.lab.paths import IDS, at
from tunnels import limits
from tunnels.addresses import SocketAddress
from tunnels.paths.candidates import Candidate, CandidateKind
from tunnels.paths.checks import Ping, Pong, Sealer
from tunnels.paths.exchange import Exchange, Strangers
from tunnels.paths.path import Path, PathState

NOW = 1000.0
chance = Random(1).randbytes


def candidate(port: int) -> Candidate:
    return Candidate(at(f"192.0.2.1:{port}"), CandidateKind.PEER_REFLEXIVE)


def exchange(*, is_client: bool = True) -> Exchange:
    made = Exchange(chance)
    made.sealer = Sealer(bytes(32), is_client=is_client, peer_id=IDS["bob"], chance=chance)
    made.peer_connection_id = b"8 bytes!"
    return made


def test_before_the_peer_is_known_nothing_is_sent():
    made = Exchange(chance)
    made.send(Ping(bytes(12)), [at("192.0.2.1")])
    assert not made.is_open
    assert made.take() == []


def test_a_check_is_sealed_anew_for_each_address():
    made = exchange()
    made.send(Ping(bytes(12)), [at("192.0.2.1"), at("192.0.2.2")])
    (one, to_one), (two, to_two) = made.take()
    assert (to_one, to_two) == (at("192.0.2.1"), at("192.0.2.2"))
    assert one != two
    assert made.take() == []


def test_a_ping_opens_its_path_and_its_pong_is_told_apart():
    alice, bob = exchange(), exchange(is_client=False)
    path = Path(candidate(7))
    alice.ping(path, NOW, is_suspect=True)
    ((datagram, address),) = alice.take()
    assert address == path.address
    assert path.state is PathState.OPEN
    ping, _ = bob.sealer.open(datagram)
    assert ping.is_suspect
    assert alice.ping_of(Pong(ping.transaction_id)) == (path, NOW)
    assert alice.ping_of(Pong(ping.transaction_id)) is None
    assert alice.ping_of(Pong(bytes(12))) is None


def test_a_knock_is_known_by_its_pong_once_and_for_a_while_if_it_is_told_where_it_goes():
    alice, bob = exchange(), exchange(is_client=False)
    there = SocketAddress(3, at("192.0.2.1"))

    def pong_to(knock: bytes) -> Pong:
        ping, _ = bob.sealer.open(knock)
        return Pong(ping.transaction_id)

    pong = pong_to(alice.knock(there, NOW))
    assert alice.ping_of(pong) is None
    assert alice.knock_of(pong, NOW + 1) == (there, NOW)
    assert alice.knock_of(pong, NOW + 1) is None
    assert alice.knock_of(pong_to(alice.knock(there, NOW)), NOW + limits.PING_LOST_AFTER) is None
    assert alice.knock_of(pong_to(alice.knock()), NOW) is None


def test_knocks_of_closed_sockets_and_the_oldest_ones_are_forgotten():
    alice, bob = exchange(), exchange(is_client=False)
    knocks = [
        alice.knock(SocketAddress(number % 2, at("192.0.2.1")), NOW)
        for number in range(limits.MAX_OUTSTANDING_KNOCKS + 2)
    ]
    pongs = [Pong(bob.sealer.open(knock)[0].transaction_id) for knock in knocks[:4]]
    alice.forget_knocks({1})
    assert [alice.knock_of(pong, NOW) is not None for pong in pongs] == [False, False, True, False]


def test_pings_and_pongs_are_bounded_and_a_ping_too_many_is_put_off():
    made = exchange()
    paths = [Path(candidate(port)) for port in range(1, 1000)]
    for path in paths:
        path.round.begin(NOW)
        made.ping(path, NOW, is_suspect=False)
    assert len(made.take()) == limits.PINGS_PER_SECOND
    assert NOW < paths[-1].round.due < inf
    assert sum(made.may_answer(NOW) for _ in range(1000)) == limits.PONGS_PER_SECOND


def test_strangers_are_asked_rarely_and_few_are_remembered():
    strangers = Strangers()
    asked = [strangers.ask(candidate(port), NOW) for port in range(1, 10_001)]
    assert len([path for path in asked if path]) == limits.STRANGER_PINGS_PER_SECOND
    for second in range(100):
        strangers.ask(candidate(20_000 + second), NOW + second)
    assert len(strangers) == limits.MAX_STRANGERS


def test_one_stranger_is_not_asked_again_at_once():
    strangers = Strangers()
    path = strangers.ask(candidate(7), NOW)
    path.ping_sent(NOW)
    assert strangers.ask(candidate(7), NOW + 0.01) is None
    assert strangers.ask(candidate(7), NOW + 1) is path
    assert path.address in strangers
    assert strangers.take(path.address) is path
    assert path.address not in strangers
