"""Facts about which addresses a connection's datagrams go to: two path sets, a virtual clock, simulated links."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.paths import Link, Pair, at, by_relay, direct, relay_to, running
from tunnels import limits
from tunnels.addresses import RelayAddress, TurnAddress
from tunnels.paths.candidates import Candidate, CandidateKind, PathPolicy, Tier, allowed
from tunnels.paths.path_set import PathSet
from tunnels.paths.reports import Offered

NOW = 1000.0
LAN, PUBLIC, ELSEWHERE = at("192.0.2.1"), at("192.0.2.2"), at("192.0.2.66")


def path_set(*addresses, confirmed=None) -> PathSet:
    candidates = [Candidate(address, CandidateKind.CONFIGURED) for address in addresses]
    return PathSet(candidates, now=NOW, chance=bytes, confirmed=confirmed)


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
    paths.heard(LAN, NOW, 1200)
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


def test_a_path_that_only_an_offer_told_of_is_found_through_two_nats():
    way = direct(nat={"alice", "bob"})
    pair = Pair(by_relay()).handshake()
    pair.links.append(way)
    for end in pair.ends.values():
        own = [Candidate(way.addresses[end.name], CandidateKind.SERVER_REFLEXIVE)]
        end.paths.set_own_candidates(own, pair.now)
        pair.flush(end)
    pair.run(2)
    assert pair.alice.paths.confirmed == way.addresses["bob"]
    assert pair.bob.paths.confirmed == way.addresses["alice"]
    assert pair.alice.paths.peer_candidates == pair.bob.paths.own_candidates
    assert pair.bob.paths.peer_candidates == pair.alice.paths.own_candidates


def test_an_offer_comes_through_a_relay_that_loses_half():
    pair = Pair(by_relay(), seed=5).handshake()
    pair.links[0].loss = 0.5
    own = (Candidate(at("198.51.100.9"), CandidateKind.SERVER_REFLEXIVE),)
    pair.alice.paths.set_own_candidates(own, pair.now)
    pair.flush(pair.alice)
    pair.run(10)
    assert pair.bob.paths.peer_candidates == own


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.3, 3.0])
def test_a_knock_that_is_answered_makes_a_path_a_round_trip_later_that_stays(seconds):
    pair = Pair(by_relay(delay=0.08)).handshake().run(seconds)
    link = direct(delay=0.04)
    pair.links.append(link)
    there, here = link.addresses["bob"], link.addresses["alice"]
    pair.carry("alice", pair.alice.paths.exchange.knock(there, pair.now), there)
    pair.run(0.09)
    assert pair.alice.paths.confirmed == there
    assert pair.bob.paths.confirmed != here, "it has to ask first"
    pair.run(60)
    assert pair.alice.switches.count(there) == pair.bob.switches.count(here) == 1
    assert (pair.alice.switches[-1], pair.bob.switches[-1]) == (there, here)


def test_a_knock_that_the_policy_does_not_allow_any_more_makes_none():
    pair = Pair(by_relay(delay=0.2)).handshake().run(3)
    link = direct(delay=0.05)
    pair.links.append(link)
    there = link.addresses["bob"]
    pair.carry("alice", pair.alice.paths.exchange.knock(there, pair.now), there)
    pair.alice.paths.set_policy(PathPolicy.RELAY_ONLY, pair.now)
    pair.run(1)
    assert not pair.alice.paths.has(there)


def test_data_never_goes_by_a_path_before_its_own_ping_was_answered():
    way = direct(dead={"bob"})  # Alice reaches Bob there, and never hears of it but by the relay
    pair = Pair(by_relay(), way).handshake().run(1)
    assert pair.alice.paths.confirmed == way.addresses["bob"]
    assert pair.bob.paths.confirmed == relay_to("alice")
    for _ in range(20):
        pair.run(1)
        assert way.addresses["alice"] not in pair.bob.paths.destinations(pair.now)


def test_the_report_and_the_trace_say_what_happened():
    pair, _ = running(by_relay(), direct(delay=0.05))
    first, second = pair.alice.paths.report(pair.now)
    assert (first.is_selected, first.is_trusted, second.is_selected) == (True, True, False)
    assert first.observed == at("198.51.100.1")
    assert first.bytes_sent > second.bytes_sent > 0
    assert second.observed is None
    lines = [str(entry) for entry in pair.alice.paths.trace.entries]
    assert "changed to 203.0.113.2:7777: a direct path is better" in lines


def test_an_idle_connection_costs_little():
    pair = Pair(by_relay(), direct(delay=0.004)).handshake().run(100)
    since = pair.now
    pair.run(600)
    for end in pair.ends.values():
        assert len([None for when, *_ in end.checks if when >= since]) <= 4 * 600 / 12


def test_destinations_are_looked_up_once_and_then_known():
    pair, _ = running(by_relay(), direct())
    paths = pair.alice.paths
    assert paths.destinations(pair.now) is paths.destinations(pair.now + 1)


# --- policies and old peers -----------------------------------------------------------------------------------


def test_a_peer_that_knows_no_checks_is_served_by_what_is_heard():
    way = direct()
    pair = Pair(way, by_relay()).handshake(opens=("alice",))
    for _ in range(100):
        pair.send("alice", "data")
        pair.send("bob", "data")
        assert pair.alice.paths.destinations(pair.now) == (way.addresses["bob"],)
        pair.run(1)
    since = pair.now
    for _ in range(100):
        pair.send("alice", "data")
        pair.run(1)
    assert not [when for when, *_ in pair.alice.checks if when > since]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (PathPolicy.AUTO, at("203.0.113.2")),
        (PathPolicy.DIRECT_ONLY, at("203.0.113.2")),
        (PathPolicy.RELAY_ONLY, relay_to("bob")),
    ],
)
def test_a_policy_is_kept_to(policy, expected):
    pair = Pair(by_relay(), direct(), policy=policy).handshake().run(10)
    assert pair.alice.paths.confirmed == expected
    if policy is PathPolicy.RELAY_ONLY:
        assert {address for _, _, address in pair.alice.checks} == {relay_to("bob")}
        assert not pair.alice.paths.allows(at("203.0.113.2"))


SERVER, ALLOCATION = at("198.51.100.9:3478"), at("198.51.100.9:50000")


def by_bobs_allocation() -> Link:
    """Alice sends to it as to anybody; of bob's she is the one whom he reaches by it."""
    return Link({"alice": TurnAddress(SERVER, at("198.51.100.1")), "bob": ALLOCATION})


def with_bobs_allocation() -> Pair:
    """Both meet over the relay, and bob has a TURN server."""
    pair = Pair(by_relay()).handshake()
    pair.links.append(by_bobs_allocation())
    own = (Candidate(ALLOCATION, CandidateKind.RELAYED), Candidate(relay_to("bob"), CandidateKind.RELAY))
    pair.bob.paths.set_own_candidates(own, pair.now)
    pair.flush(pair.bob)
    return pair.run(10)


def test_the_peers_allocation_is_better_than_a_relay_and_serves_both_directions():
    pair = with_bobs_allocation()
    assert pair.alice.paths.confirmed == ALLOCATION
    assert pair.alice.paths.report(pair.now)[0].tier is Tier.TURN
    assert pair.bob.paths.confirmed == TurnAddress(SERVER, at("198.51.100.1"))
    assert Offered() in pair.alice.events
    assert pair.alice.events.count(Offered()) == 1, "an offer that says nothing new is none"


@pytest.mark.parametrize("policy", [PathPolicy.DIRECT_ONLY, PathPolicy.RELAY_ONLY])
def test_neither_direct_only_nor_relay_only_sends_to_the_peers_allocation(policy):
    pair = with_bobs_allocation()
    assert pair.alice.paths.confirmed == ALLOCATION
    pair.alice.paths.set_policy(policy, pair.now)
    pair.alice.checks.clear()
    pair.alice.paths.add_candidates(pair.alice.paths.peer_candidates, pair.now)
    pair.run(10)
    assert pair.alice.paths.confirmed == (relay_to("bob") if policy is PathPolicy.RELAY_ONLY else None)
    assert not pair.alice.paths.allows(ALLOCATION)
    assert ALLOCATION not in {address for _, _, address in pair.alice.checks}
    assert ALLOCATION not in pair.alice.paths.addresses


def test_direct_only_does_not_take_an_allocation_for_direct_that_is_heard_before_it_is_told_of():
    pair = Pair(direct(), by_bobs_allocation()).handshake().run(3)
    pair.alice.paths.set_policy(PathPolicy.DIRECT_ONLY, pair.now)
    by_turn = TurnAddress(SERVER, at("198.51.100.1"))
    pair.bob.paths.add_candidates([Candidate(by_turn, CandidateKind.RELAYED)], pair.now)
    pair.flush(pair.bob)
    pair.run(1)
    assert ALLOCATION in pair.alice.paths.addresses, "nobody can tell yet"
    own = (Candidate(ALLOCATION, CandidateKind.RELAYED), Candidate(at("203.0.113.2"), CandidateKind.HOST))
    pair.bob.paths.set_own_candidates(own, pair.now)
    pair.flush(pair.bob)
    pair.run(10)
    assert ALLOCATION not in pair.alice.paths.addresses
    assert pair.alice.paths.confirmed == at("203.0.113.2")


def test_a_policy_may_change_while_data_flows():
    pair, flow = running(by_relay(), direct())
    since = pair.now
    for policy in (PathPolicy.RELAY_ONLY, PathPolicy.AUTO):
        for end in pair.ends.values():
            end.paths.set_policy(policy, pair.now)
            pair.flush(end)
        if policy is PathPolicy.AUTO:
            pair.alice.paths.add_candidates([Candidate(at("203.0.113.2"), CandidateKind.HOST)], pair.now)
        pair.run(10)
        assert isinstance(pair.alice.paths.confirmed, RelayAddress) is (policy is PathPolicy.RELAY_ONLY)
        assert flow.gap(since) < 1.0


@pytest.mark.parametrize(
    ("narrow", "other"),
    [
        (PathPolicy.RELAY_ONLY, PathPolicy.DIRECT_ONLY),
        (PathPolicy.DIRECT_ONLY, PathPolicy.RELAY_ONLY),
        (PathPolicy.DIRECT_ONLY, PathPolicy.AUTO),
    ],
)
def test_paths_that_one_policy_forbade_are_there_again_under_the_next(narrow, other):
    pair = Pair(by_relay(), direct()).handshake()
    own = {
        name: (Candidate(at(ip), CandidateKind.HOST), Candidate(relay_to(name), CandidateKind.RELAY))
        for name, ip in (("alice", "203.0.113.1"), ("bob", "203.0.113.2"))
    }
    for name, end in pair.ends.items():
        end.paths.set_own_candidates(own[name], pair.now)
        pair.flush(end)
    pair.run(5)
    for policy in (narrow, other):
        pair.alice.paths.set_policy(policy, pair.now)
        pair.flush(pair.alice)
        pair.run(3)
    assert isinstance(pair.alice.paths.confirmed, RelayAddress) is (other is PathPolicy.RELAY_ONLY)
    assert pair.alice.paths.own_candidates == allowed(other, own["alice"])
    assert pair.bob.paths.peer_candidates == allowed(other, own["alice"])


def test_lan_addresses_are_not_told_to_a_contact_without_lan():
    paths = path_set(PUBLIC)
    paths.set_policy(PathPolicy.NO_LAN, NOW)
    own = [Candidate(at("192.168.1.2"), CandidateKind.HOST), Candidate(PUBLIC, CandidateKind.HOST)]
    paths.set_own_candidates(own, NOW)
    assert paths.own_candidates == (own[1],)


# --- beside QUIC's keepalives ---------------------------------------------------------------------------------


def keepalives(pair: Pair, *, answered: bool, minutes: int = 3) -> int:
    """Both ends send QUIC's keepalives and nothing else, which are acknowledged or not; how many checks went out meanwhile."""
    pair.run(limits.ACTIVE_FOR + 2 * limits.PING_IDLE)
    before = [len(end.checks) for end in pair.ends.values()]
    for _ in range(4 * minutes):
        for end in pair.ends.values():
            sent_at = pair.now
            for address in end.paths.destinations(pair.now):
                end.paths.sent(address, 33, pair.now)
            if answered:
                end.paths.acknowledged(sent_at, pair.now + 0.01)
        pair.run(15.0)
    return sum(len(end.checks) - had for end, had in zip(pair.ends.values(), before, strict=True))


def test_while_keepalives_are_acknowledged_an_idle_path_needs_no_pings_and_is_alone():
    pair = (
        Pair(direct(), Link({"alice": at("10.0.0.1"), "bob": at("10.0.0.2")}, delay=0.002))
        .handshake()
        .run(10)
    )
    assert keepalives(pair, answered=True) == 0
    for end in pair.ends.values():
        assert end.paths.destinations(pair.now) == (end.paths.confirmed,)
    assert keepalives(pair, answered=False) > 8


def test_with_a_relay_beside_it_both_are_kept_open_by_pings():
    pair = Pair(direct(), by_relay()).handshake().run(10)
    assert keepalives(pair, answered=True) > 8


def test_an_acknowledgement_says_nothing_of_a_path_in_doubt_or_of_what_went_by_several():
    pair = Pair(direct(), by_relay()).handshake().run(10)
    paths = pair.alice.paths
    paths.suspect(pair.now, limits.DISTRUST_PROBES, is_awaited=True)
    paths.acknowledged(pair.now + 0.1, pair.now + 0.2)
    assert len(paths.destinations(pair.now + 0.2)) == 2
    pair.run(3)
    assert len(paths.destinations(pair.now)) == 1
    heard = paths.report(pair.now + 20)[0].answered_ago
    paths.sent(relay_to("bob"), 33, pair.now + 1)
    paths.acknowledged(pair.now + 0.5, pair.now + 19)
    assert paths.report(pair.now + 20)[0].answered_ago == heard
