"""Facts about sealed checks: both ends of a connection, and everybody else."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.paths import IDS, at, relay_to
from tunnels import limits
from tunnels.addresses import Address, BeaconUrl, RelayAddress, TurnAddress
from tunnels.paths.candidates import Candidate, CandidateKind
from tunnels.paths.checks import CHECK, OFFER_SIZES, OVERHEAD_BYTES, Offer, Ping, Pong, Sealer

BINDING = bytes(range(32))
ID = b"8 bytes!"
TRANSACTION = b"12 bytes now"
PING = Ping(TRANSACTION)
addresses = st.builds(lambda ip, port: Address.of(str(ip), port), st.ip_addresses(), st.integers(1, 65535))
candidates = st.builds(
    Candidate, addresses, st.sampled_from([kind for kind in CandidateKind if kind.name != "RELAY"])
)


def sealer(name: str, binding: bytes = BINDING) -> Sealer:
    other = {"alice": "bob", "bob": "alice"}[name]
    return Sealer(binding, is_client=name == "alice", peer_id=IDS[other], chance=Random(name).randbytes)


def pair() -> tuple[Sealer, Sealer]:
    return sealer("alice"), sealer("bob")


@given(
    st.one_of(
        st.builds(Ping, st.binary(min_size=12, max_size=12), st.booleans()),
        st.builds(Pong, st.binary(min_size=12, max_size=12), st.none() | addresses),
        st.builds(
            Offer,
            st.integers(0, 2**32 - 1),
            st.booleans(),
            st.lists(candidates, max_size=limits.MAX_CANDIDATES).map(tuple),
        ),
    )
)
def test_what_one_end_seals_the_other_opens(check):
    alice, bob = pair()
    assert bob.open(alice.seal(check, ID)) == (check, 1)
    assert alice.open(bob.seal(check, ID)) == (check, 1)


def test_a_check_says_what_it_is_and_whose_in_the_clear():
    datagram = sealer("alice").seal(PING, ID)
    assert datagram[0] == CHECK
    assert datagram[1:9] == ID
    assert TRANSACTION not in datagram


def test_a_pong_is_no_longer_than_its_ping():
    alice, bob = pair()
    ping = alice.seal(Ping(TRANSACTION, is_suspect=True), ID)
    for observed in (None, at("192.0.2.1"), at("[2001:db8::1]:7")):
        assert len(bob.seal(Pong(TRANSACTION, observed), ID)) == len(ping) <= 120


def test_the_length_of_an_offer_tells_nothing_of_its_candidates():
    alice = sealer("alice")
    few, many = (
        tuple(Candidate(at(f"192.0.2.{host}"), CandidateKind.HOST) for host in range(count))
        for count in (1, 16)
    )
    sizes = {len(alice.seal(Offer(1, is_answer=False, candidates=some), ID)) for some in ((), few, many)}
    assert sizes == {OFFER_SIZES[0] + OVERHEAD_BYTES}
    assert max(OFFER_SIZES) + OVERHEAD_BYTES <= limits.MIN_PATH_MTU


def test_a_beacon_travels_as_its_url_and_what_does_not_fit_stays_behind():
    alice, bob = pair()
    beacons = [
        RelayAddress(BeaconUrl.parse(f"https://{'b' * 200}{n}.example"), IDS["alice"]) for n in range(16)
    ]
    offered = tuple(Candidate(beacon, CandidateKind.RELAY) for beacon in beacons)
    check, _ = bob.open(alice.seal(Offer(1, is_answer=False, candidates=offered), ID))
    assert 3 < len(check.candidates) < 16
    assert check.candidates == offered[: len(check.candidates)]


def test_of_our_turn_allocation_the_peer_learns_its_address():
    alice, bob = pair()
    by_turn = Candidate(TurnAddress(at("203.0.113.9"), at("192.0.2.1")), CandidateKind.RELAYED)
    check, _ = bob.open(alice.seal(Offer(1, is_answer=False, candidates=(by_turn,)), ID))
    assert check.candidates == (Candidate(at("203.0.113.9"), CandidateKind.RELAYED),)


# --- hostile --------------------------------------------------------------------------------------------------


def test_a_replayed_check_is_not_taken_again():
    alice, bob = pair()
    datagrams = [alice.seal(PING, ID) for _ in range(50)]
    assert all(bob.open(datagram) for datagram in datagrams)
    assert not any(bob.open(datagram) for datagram in datagrams)


def test_checks_may_overtake_each_other_but_not_by_more_than_a_window():
    alice, bob = pair()
    datagrams = [alice.seal(PING, ID) for _ in range(limits.REPLAY_WINDOW + 1)]
    assert bob.open(datagrams[-1])
    assert bob.open(datagrams[0]) is None
    assert bob.open(datagrams[1])
    assert bob.open(datagrams[1]) is None
    far = [alice.seal(PING, ID) for _ in range(3 * limits.REPLAY_WINDOW)][-1]
    assert bob.open(far)
    assert bob.open(far) is None
    assert bob.open(datagrams[2]) is None


@given(st.permutations(range(12)), st.lists(st.integers(0, 11)))
def test_in_any_order_each_is_taken_exactly_once(order, again):
    alice, bob = pair()
    datagrams = [alice.seal(PING, ID) for _ in range(12)]
    taken = [which for which in [*order, *again] if bob.open(datagrams[which])]
    assert sorted(taken) == list(range(12))


def test_a_check_is_not_reflected():
    alice, _ = pair()
    assert alice.open(alice.seal(PING, ID)) is None


def test_a_check_is_good_in_its_own_connection_only():
    assert sealer("bob", bytes(32)).open(sealer("alice").seal(PING, ID)) is None


def test_a_check_altered_in_any_byte_is_refused():
    alice, bob = pair()
    datagram = alice.seal(PING, ID)
    for at_byte in range(1, len(datagram)):
        forged = bytearray(datagram)
        forged[at_byte] ^= 1
        assert bob.open(bytes(forged)) is None
    assert bob.open(datagram)


def test_a_check_cut_short_anywhere_is_refused():
    alice, bob = pair()
    datagram = alice.seal(PING, ID)
    for size in range(len(datagram)):
        assert bob.open(datagram[:size]) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x01" + bytes(8) + TRANSACTION + b"\0",  # a ping shorter than its pong
        b"\x02" + bytes(8) + TRANSACTION,
        b"\x03" + bytes(8) + bytes(5),
        b"\x09" + bytes(8) + bytes(200),  # of a later version
    ],
    ids=["empty", "short ping", "short pong", "short offer", "unknown"],
)
def test_even_an_authentic_peer_says_only_what_is_understood(body):
    alice, bob = pair()
    assert bob.open(_seal_raw(alice, body)) is None


@pytest.mark.parametrize(
    "places",
    [
        b"\x01\x06\0\0\xc0\0\2\1",  # port 0
        b"\x01\x05\0\7\xc0\0\2",
        b"\x01\xff\0\7",
        b"\x09\x06\0\7\xc0\0\2\1",
        b"\x06\x05https",
        b"\x06\x04\xff\xff\xff\xff",
        b"\x01",
    ],
    ids=["port 0", "odd length", "beyond the end", "unknown kind", "no url", "no text", "cut short"],
)
def test_candidates_that_make_no_sense_are_left_out_and_the_others_are_not(places):
    alice, bob = pair()
    good = b"\x01\x06\0\7\xc0\0\2\1"
    body = b"\x03" + (9).to_bytes(8) + (1).to_bytes(4) + b"\0" + bytes([255]) + good + places
    check, _ = bob.open(_seal_raw(alice, body))
    assert check.candidates == (Candidate(at("192.0.2.1:7"), CandidateKind.HOST),)


def test_of_too_many_candidates_only_the_bound_is_read():
    alice, bob = pair()
    place = b"\x01\x06\0\7\xc0\0\2\1"
    body = b"\x03" + (9).to_bytes(8) + (1).to_bytes(4) + b"\0" + bytes([100]) + place * 100
    check, _ = bob.open(_seal_raw(alice, body))
    assert len(check.candidates) == limits.MAX_CANDIDATES


@given(st.binary(max_size=300))
def test_junk_is_refused(junk):
    assert sealer("bob").open(b"\x23" + ID + junk) is None


def _seal_raw(sender: Sealer, plain: bytes) -> bytes:
    from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as encrypt

    header = b"\x23" + ID
    return header + bytes(24) + encrypt(plain, header, bytes(24), sender._send_key)


def test_relays_are_those_of_the_peer_whatever_it_says():
    alice, bob = pair()
    foreign = Candidate(relay_to("bob"), CandidateKind.RELAY)
    check, _ = bob.open(alice.seal(Offer(1, is_answer=False, candidates=(foreign,)), ID))
    assert check.candidates == (Candidate(relay_to("alice"), CandidateKind.RELAY),)
