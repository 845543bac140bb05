"""Facts about which addresses a connection's datagrams go to: two path sets, a virtual clock, simulated links."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.lab.paths import Flow, Link, Pair, at, relay_to
from tunnels import limits
from tunnels.paths.candidates import Candidate, CandidateKind
from tunnels.paths.path_set import PathSet

NOW = 1000.0
LAN, PUBLIC, ELSEWHERE = at("192.0.2.1"), at("192.0.2.2"), at("192.0.2.66")


def path_set(*addresses, confirmed=None) -> PathSet:
    candidates = [Candidate(address, CandidateKind.CONFIGURED) for address in addresses]
    return PathSet(candidates, now=NOW, chance=bytes, confirmed=confirmed)


def direct(**settings) -> Link:
    return Link({"alice": at("198.51.100.1"), "bob": at("203.0.113.2")}, **settings)


def by_relay(**settings) -> Link:
    return Link(
        {"alice": relay_to("alice"), "bob": relay_to("bob")}, delay=settings.pop("delay", 0.02), **settings
    )


# --- without checks -------------------------------------------------------------------------------------------


def test_until_one_answers_every_candidate_is_sent_to():
    assert path_set(LAN, PUBLIC, LAN).destinations(NOW) == (LAN, PUBLIC)


def test_the_first_that_answers_is_the_one():
    paths = path_set(LAN, PUBLIC)
    paths.heard(PUBLIC, NOW)
    paths.heard(LAN, NOW + 0.1)
    assert paths.destinations(NOW + 0.1) == (PUBLIC,)


def test_a_silent_path_gives_way_to_one_that_is_heard():
    paths = path_set(LAN, PUBLIC)
    paths.heard(LAN, NOW)
    paths.heard(PUBLIC, NOW + limits.PATH_SILENT_AFTER)
    assert paths.confirmed == LAN
    paths.heard(PUBLIC, NOW + 0.1 + limits.PATH_SILENT_AFTER)
    assert paths.confirmed == PUBLIC
    paths.heard(LAN, NOW + 0.2 + limits.PATH_SILENT_AFTER)
    assert paths.confirmed == PUBLIC


def test_a_datagram_from_elsewhere_moves_nothing():
    paths = path_set(LAN)
    paths.heard(ELSEWHERE, NOW)
    assert paths.destinations(NOW) == (LAN,)
    paths.heard(LAN, NOW)
    paths.heard(ELSEWHERE, NOW + 1000)
    assert paths.destinations(NOW + 1000) == (LAN,)


def test_a_server_answers_where_its_client_was_heard_everywhere_until_it_knows_the_client():
    paths = path_set(confirmed=PUBLIC)
    assert paths.destinations(NOW) == (PUBLIC,)
    paths.add_candidates([Candidate(LAN, CandidateKind.PEER_REFLEXIVE)], NOW)
    assert paths.destinations(NOW) == (PUBLIC,)
    paths.heard(LAN, NOW)
    paths.add_candidates([Candidate(ELSEWHERE, CandidateKind.PEER_REFLEXIVE)], NOW)
    assert paths.destinations(NOW) == (PUBLIC, LAN)


def test_candidates_are_bounded_at_first_and_later():
    addresses = [at(f"192.0.2.1:{port}") for port in range(1, 100)]
    paths = path_set(*addresses)
    assert paths.destinations(NOW) == tuple(addresses[: limits.MAX_CANDIDATES_PER_SCOPE])
    paths.add_candidates([Candidate(address, CandidateKind.HOST) for address in addresses], NOW)
    assert len(paths.destinations(NOW)) == limits.MAX_PATHS


@given(st.lists(st.tuples(st.sampled_from([LAN, PUBLIC, ELSEWHERE]), st.floats(0, 100))))
def test_only_candidates_are_ever_sent_to(heard):
    paths = path_set(LAN, PUBLIC)
    for address, now in heard:
        paths.heard(address, NOW + now)
        assert set(paths.destinations(NOW + now)) <= {LAN, PUBLIC}


# --- relay first, and then better ones ------------------------------------------------------------------------


def test_a_connection_that_began_on_the_relay_moves_to_the_direct_path_at_both_ends():
    way = direct(delay=0.05)
    pair = Pair(by_relay(), way).handshake()
    assert pair.alice.paths.confirmed == relay_to("bob")
    pair.run(0.5)
    assert pair.alice.paths.destinations(pair.now) == (way.addresses["bob"],)
    assert pair.bob.paths.destinations(pair.now) == (way.addresses["alice"],)


def test_a_dead_direction_of_the_direct_path_stops_a_flow_for_less_than_a_second():
    for sender in ("alice", "bob"):
        for dead in ("alice", "bob"):
            way = direct(delay=0.05)
            pair = Pair(by_relay(), way).handshake().run(3)
            flow = Flow(pair, sender)
            pair.run(20)
            since = pair.now
            way.dead.add(dead)
            pair.run(30)
            assert flow.gap(since) < 1.0, (sender, dead)
