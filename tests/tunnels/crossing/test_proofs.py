"""Proofs of where each end is: few questions whatever a peer names, and nothing believed for longer than it is good."""

from __future__ import annotations

from ipaddress import IPv4Address
from math import inf

import pytest

from tunnels.addresses import Address
from tunnels.crossing import limits
from tunnels.crossing.budget import Budget
from tunnels.crossing.description import Description
from tunnels.crossing.proofs import OwnProof, PeerProof
from tunnels.nat import limits as nat_limits

SERVER = Address.parse("192.0.2.1:3478")
HERE, ELSEWHERE = IPv4Address("203.0.113.7"), IPv4Address("203.0.113.8")
THEIRS = Description(challenge=bytes(16), attester=SERVER)


def is_good(attestation: bytes, ip: object) -> bool:
    return attestation == b"attested" and ip == HERE


def test_the_peer_is_where_that_is_attested_and_nowhere_else():
    proof = PeerProof(is_good)
    proof.told(b"attested", (HERE, ELSEWHERE), 1.0)
    assert HERE in proof
    assert ELSEWHERE not in proof


def test_what_has_grown_old_proves_nothing():
    believed = [True]
    proof = PeerProof(lambda *_: believed[0])
    proof.told(b"attested", (HERE,), 1.0)
    believed[0] = False
    proof.look((HERE,))
    assert HERE not in proof


def test_the_peer_may_be_seen_elsewhere_later():
    proof = PeerProof(is_good)
    proof.told(b"attested", (ELSEWHERE,), 1.0)
    assert HERE not in proof
    proof.look((HERE,))
    assert HERE in proof


def test_ever_new_attestations_are_not_looked_at_without_end():
    looked = []
    proof = PeerProof(lambda attestation, _: bool(looked.append(attestation)))
    for number in range(1000):
        proof.told(b"%d" % number, (HERE,), 1.0)
    assert len(looked) == limits.CROSS_PROOFS


def test_a_question_is_asked_a_few_times_and_no_more_once_it_is_answered():
    proof = OwnProof(Budget())
    assert proof.wants(THEIRS, 1.0)
    asked = [proof.ask((SERVER,), 1.0)]
    while proof.due < inf:
        asked.append(proof.ask((SERVER,), proof.due))
    assert asked == [(SERVER, bytes(16))] * limits.SAMPLING_SENDS + [None]
    assert not proof.is_awaited
    proof.attested(b"attested", 9.0)
    assert proof.attestation == b"attested"
    assert not proof.wants(THEIRS, 10.0)


def test_it_is_renewed_before_it_is_too_old_and_in_another_network():
    proof = OwnProof(Budget())
    assert proof.wants(THEIRS, 1.0)
    proof.attested(b"attested", 1.0)
    proof.renew(2.0)
    assert not proof.wants(THEIRS, 2.0)
    later = 2.0 + nat_limits.ATTESTED_SECONDS / 2
    proof.renew(later)
    assert proof.wants(THEIRS, later)
    proof.attested(b"attested", later)
    proof.forget()
    assert not proof.attestation
    assert proof.wants(THEIRS, later + 1)


def test_ever_new_challenges_are_hardly_asked_about():
    proof = OwnProof(Budget())
    wanted = sum(
        proof.wants(Description(challenge=number.to_bytes(16), attester=SERVER), 1.0)
        for number in range(1000)
    )
    assert wanted == limits.CROSS_ATTESTS


@pytest.mark.parametrize("server", ["127.0.0.1:3478", "192.168.1.1:3478", "224.0.0.1:3478", "192.0.2.1:53"])
def test_nobody_is_asked_who_is_nobody_s_server(server):
    proof = OwnProof(Budget())
    assert proof.wants(Description(challenge=bytes(16), attester=Address.parse(server)), 1.0)
    assert proof.ask((), 1.0) is None
    assert proof.due == inf


def test_a_server_of_ours_may_be_in_our_own_network():
    own = Address.parse("192.168.1.1:3478")
    proof = OwnProof(Budget())
    assert proof.wants(Description(challenge=bytes(16), attester=own), 1.0)
    assert proof.ask((own,), 1.0) == (own, bytes(16))


@pytest.mark.parametrize(
    "theirs", [Description(challenge=bytes(16)), Description(attester=SERVER), Description()]
)
def test_who_names_no_challenge_or_no_server_gets_nothing_attested(theirs):
    assert not OwnProof(Budget()).wants(theirs, 1.0)
