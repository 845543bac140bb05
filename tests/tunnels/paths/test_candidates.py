"""Facts about candidates: their tiers, what a policy lets through, and which of them may be pinged at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.paths import at, relay_to
from tunnels import limits
from tunnels.addresses import Address, BeaconUrl, TcpAddress, TurnAddress
from tunnels.paths.candidates import (
    Candidate,
    CandidateKind,
    PathPolicy,
    Tier,
    allowed,
    bounded,
    is_allowed,
    is_sane,
    may_send,
)

HOST, RELAYED = CandidateKind.HOST, CandidateKind.RELAYED
TURN = TurnAddress(at("203.0.113.9:3478"), at("198.51.100.1"))
TCP = TcpAddress(at("198.51.100.1"))


@pytest.mark.parametrize(
    ("candidate", "tier"),
    [
        (Candidate(at("192.168.1.2"), HOST), Tier.LAN),
        (Candidate(at("[fe80::1]:7"), HOST), Tier.LAN),
        (Candidate(at("[fd00::1]:7"), HOST), Tier.LAN),
        (Candidate(at("127.0.0.1"), HOST), Tier.LAN),
        (Candidate(at("100.64.0.1"), HOST), Tier.DIRECT),
        (Candidate(at("203.0.113.2"), HOST), Tier.DIRECT),
        (Candidate(at("[2001:db8::1]:7"), HOST), Tier.DIRECT),
        (Candidate(TCP, CandidateKind.PEER_REFLEXIVE), Tier.TCP),
        (Candidate(at("203.0.113.2"), RELAYED), Tier.TURN),
        (Candidate(TURN, RELAYED), Tier.TURN),
        (Candidate(relay_to("bob"), CandidateKind.RELAY), Tier.RELAY),
    ],
    ids=str,
)
def test_each_candidate_has_its_tier(candidate, tier):
    assert candidate.tier is tier


def test_a_policy_lets_through_what_its_name_says():
    everything = (
        lan := Candidate(at("10.0.0.1"), HOST),
        direct := Candidate(at("203.0.113.2"), HOST),
        tcp := Candidate(TCP, CandidateKind.PEER_REFLEXIVE),
        turn := Candidate(TURN, RELAYED),
        relay := Candidate(relay_to("bob"), CandidateKind.RELAY),
    )
    assert allowed(PathPolicy.AUTO, everything) == everything
    assert allowed(PathPolicy.DIRECT_ONLY, everything) == (lan, direct, tcp)
    assert allowed(PathPolicy.RELAY_ONLY, everything) == (turn, relay)
    assert allowed(PathPolicy.NO_LAN, everything) == (direct, tcp, turn, relay)


def test_every_policy_leaves_some_path_and_every_tier_is_left_by_some_policy():
    for policy in PathPolicy:
        assert any(is_allowed(policy, tier) for tier in Tier)
    for tier in Tier:
        assert any(is_allowed(policy, tier) for policy in PathPolicy)


@pytest.mark.parametrize(
    "text",
    [
        "224.0.0.1:7777", "[ff02::1]:7777",  # everybody
        "0.0.0.0:7777", "0.1.2.3:7777", "[::]:7777",  # nobody
        "255.255.255.255:7777", "192.168.1.255:7777", "240.0.0.1:7777",
        "169.254.169.254:80", "[fd00:ec2::254]:80",  # where clouds keep their secrets
        "127.0.0.1:7777", "[::1]:7777",
        "203.0.113.2:53", "203.0.113.2:123", "203.0.113.2:161", "203.0.113.2:1900", "203.0.113.2:11211",
        "[64:ff9b::e000:1]:7777", "[2002:7f00:1::]:7777",  # IPv4 in the clothes of IPv6
    ],
)  # fmt: skip
def test_nobody_points_our_pings_at_others(text):
    assert not is_sane(at(text), with_loopback=False)


@pytest.mark.parametrize(
    "text",
    ["203.0.113.2:7777", "192.168.1.2:41641", "[2001:db8::1]:443", "100.64.1.1:7777", "169.254.1.1:7777"],
)
def test_what_an_endpoint_may_have_is_pinged(text):
    assert is_sane(at(text), with_loopback=False)


def test_a_beacon_elsewhere_may_be_gone_to():
    assert is_sane(relay_to("bob"), with_loopback=False)


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:8443", "https://[::1]", "https://localhost", "https://169.254.169.254"]
)
def test_a_relay_on_this_machine_is_gone_to_only_beside_such_a_one_of_our_own(url):
    relay = relay_to("bob", BeaconUrl.parse(url))
    assert not is_sane(relay, with_loopback=False)
    assert is_sane(relay, with_loopback=True)


def test_where_gateways_give_names_addresses_nobody_is_a_candidate():
    """127.64.0.0/10, as in the README: whoever is sent there is a person's, and no endpoint."""
    for with_loopback in (False, True):
        assert not is_sane(at("127.64.0.1"), with_loopback=with_loopback)
        assert not is_sane(at("127.127.255.254"), with_loopback=with_loopback)


def test_loopback_is_for_those_who_have_it_themselves_and_never_by_turn():
    assert is_sane(at("127.0.0.1"), with_loopback=True)
    assert not is_sane(TurnAddress(at("203.0.113.9"), at("127.0.0.1")), with_loopback=True)
    assert is_sane(TURN, with_loopback=False)


@given(st.lists(st.tuples(st.ip_addresses(), st.integers(1, 65535)), max_size=60))
def test_candidates_are_bounded_in_all_and_for_each_family_and_tier(places):
    kept = bounded(Candidate(Address.of(str(ip), port), HOST) for ip, port in places)
    assert len(kept) <= limits.MAX_CANDIDATES
    assert len({candidate.address for candidate in kept}) == len(kept)
    for scope in {(candidate.tier, candidate.address.ip.version) for candidate in kept}:
        alike = [one for one in kept if (one.tier, one.address.ip.version) == scope]
        assert len(alike) <= limits.MAX_CANDIDATES_PER_SCOPE


def test_the_first_of_each_scope_are_kept_and_all_bounds_are_reached():
    many = [
        Candidate(at(f"{net}.{host}:7777"), HOST) for net in ("10.0.0", "203.0.113") for host in range(1, 30)
    ]
    kept = bounded([*many, Candidate(relay_to("bob"), CandidateKind.RELAY)])
    per_scope = limits.MAX_CANDIDATES_PER_SCOPE
    assert kept == (*many[:per_scope], *many[29 : 29 + per_scope])
    assert len(kept) == limits.MAX_CANDIDATES


@pytest.mark.parametrize("policy", PathPolicy)
def test_the_peers_allocation_is_not_direct_and_may_be_made_up(policy):
    theirs = Candidate(at("198.51.100.1"), RELAYED)
    ours = Candidate(TURN, RELAYED)
    assert may_send(policy, theirs) is (policy in (PathPolicy.AUTO, PathPolicy.NO_LAN))
    assert may_send(policy, ours) is (policy is not PathPolicy.DIRECT_ONLY)
    assert allowed(policy, [theirs]) == (() if policy is PathPolicy.DIRECT_ONLY else (theirs,)), (
        "our own may be told of"
    )
