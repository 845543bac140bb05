"""Facts about attested addresses: what is signed, who believes it, and what it may cost a beacon."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnels.addresses import Address
from tunnels.errors import ProtocolViolation
from tunnels.identity import SecretKey
from tunnels.nat import attested, limits, stun
from tunnels.nat.attested import ATTESTATION_BYTES, Attestation, Attester, proven_ip
from tunnels.nat.reflector import PROOF_BYTES, Outcome, Reflector, Site, Sites
from tunnels.nat.stun import Class, Extra, Method

KEY = SecretKey(bytes([7]) * 32)
BEACON = KEY.endpoint_id
CHALLENGE = bytes(range(16))
TXID = bytes(range(12))
CLIENT = Address.parse("203.0.113.9:41641")
CLIENT6 = Address.parse("[2001:db8::9]:41641")
TODAY = 1_800_000_000
IPS = (ip_address("198.51.100.1"), ip_address("198.51.100.2"))
HERE = Site(0, 0)


@pytest.fixture
def reflector() -> Reflector:
    return Reflector(Sites(IPS, (3478, 3479)), b"s" * 32, Attester(KEY, lambda: TODAY + 0.9))


def ask(reflector: Reflector, datagram: bytes, source: Address = CLIENT, now: float = 1.0):
    answer = reflector.receive(datagram, source, HERE, now)
    assert answer is not None
    assert len(answer.datagram) <= len(datagram)
    return attested.reply(answer.datagram, TXID)


@pytest.mark.parametrize("source", [CLIENT, CLIENT6])
def test_an_ip_is_attested_to_who_asks_from_there(reflector, source):
    reply = ask(reflector, attested.request(CHALLENGE, TXID), source)
    assert reply.seen == source
    assert reply.attestation.time == TODAY
    assert proven_ip(reply.attestation, source.ip, CHALLENGE, BEACON, TODAY)
    assert Attestation.decode(reply.attestation.encode()) == reply.attestation


def test_what_is_signed_and_how_it_is_written():
    value = Attester(KEY, lambda: TODAY).attest(CHALLENGE, CLIENT.ip, 0.0, proved=False)
    signed = b"overlay attested address 1" + CHALLENGE + bytes.fromhex("00000000000000000000ffffcb007109")
    assert value[:8].hex() == "000000006b49d200"
    assert value == value[:8] + KEY.sign(signed + value[:8])


def test_what_it_attests_is_that_ip_to_that_challenge_by_that_beacon_at_that_time(reflector):
    good = ask(reflector, attested.request(CHALLENGE, TXID)).attestation
    other_ip, other_beacon = ip_address("203.0.113.10"), SecretKey(bytes(32)).endpoint_id
    assert not proven_ip(good, other_ip, CHALLENGE, BEACON, TODAY)
    assert not proven_ip(good, ip_address("::203.0.113.9"), CHALLENGE, BEACON, TODAY)
    assert not proven_ip(good, CLIENT.ip, bytes(16), BEACON, TODAY)
    assert not proven_ip(good, CLIENT.ip, CHALLENGE, other_beacon, TODAY)
    assert not proven_ip(Attestation(good.time + 1, good.signature), CLIENT.ip, CHALLENGE, BEACON, TODAY)
    assert not proven_ip(Attestation(good.time, bytes(64)), CLIENT.ip, CHALLENGE, BEACON, TODAY)


@pytest.mark.parametrize(
    ("age", "is_proven"),
    [
        (-limits.ATTESTED_CLOCK_ERROR - 1, False),
        (-limits.ATTESTED_CLOCK_ERROR, True),
        (limits.ATTESTED_SECONDS, True),
        (limits.ATTESTED_SECONDS + 1, False),
    ],
)
def test_it_is_good_for_ten_minutes_and_a_clock_may_be_half_a_minute_ahead(age, is_proven):
    value = Attester(KEY, lambda: TODAY).attest(CHALLENGE, CLIENT.ip, 0.0, proved=False)
    assert proven_ip(Attestation.decode(value), CLIENT.ip, CHALLENGE, BEACON, TODAY + age) is is_proven


def test_who_makes_no_room_gets_no_attestation_and_costs_no_signature(reflector):
    least = 20 + 12 + 4 + ATTESTATION_BYTES
    for spare, is_attested in ((-4, False), (0, True)):
        padding = bytes(least + spare - 20 - 20 - 4)
        datagram = stun.encode(
            Method.BINDING, Class.REQUEST, TXID, {"CHALLENGE": CHALLENGE, "PADDING": padding}
        )
        assert len(datagram) == least + spare
        reply = ask(reflector, datagram)
        assert reply.seen == CLIENT
        assert (reply.attestation is not None) is is_attested
    assert reflector._attester._unproved._left == limits.ATTESTATIONS_PER_SECOND - 1


@pytest.mark.parametrize("challenge", [b"", bytes(15), bytes(17)])
def test_a_challenge_of_another_length_is_answered_as_if_it_were_not_there(reflector, challenge):
    datagram = stun.encode(
        Method.BINDING, Class.REQUEST, TXID, {"CHALLENGE": challenge, "PADDING": bytes(200)}
    )
    assert ask(reflector, datagram).attestation is None
    with pytest.raises(ValueError, match="has 16 bytes"):
        attested.request(challenge, TXID)


def test_a_server_that_signs_nothing_answers_as_ever():
    reply = ask(Reflector(Sites(IPS, (1,)), b"s" * 32), attested.request(CHALLENGE, TXID))
    assert (reply.seen, reply.attestation) == (CLIENT, None)


def test_a_flood_costs_a_bounded_number_of_signatures_and_who_proved_his_address_is_served_still(reflector):
    """Forged sources, each within its own limits."""
    proof = ask(reflector, attested.request(CHALLENGE, TXID)).proof
    assert proof != bytes(PROOF_BYTES)
    datagram = attested.request(CHALLENGE, TXID)
    for now, most in ((1.0, limits.ATTESTATIONS_PER_SECOND - 1), (2.0, limits.ATTESTATIONS_PER_SECOND)):
        forged = (Address(ip_address(0x0A000000 + number), 1) for number in range(2000))
        replies = [ask(reflector, datagram, source, now) for source in forged]
        assert all(reply.seen is not None for reply in replies), "the address is told whatever else"
        assert sum(reply.attestation is not None for reply in replies) == most
    reply = ask(reflector, attested.request(CHALLENGE, TXID, proof), now=2.0)
    assert proven_ip(reply.attestation, CLIENT.ip, CHALLENGE, BEACON, TODAY)


def test_one_source_that_floods_gets_no_more_than_its_answers(reflector):
    datagram = attested.request(CHALLENGE, TXID)
    for _ in range(1000):
        reflector.receive(datagram, CLIENT, HERE, 1.0)
    assert reflector.counts[Outcome.ANSWERED] == limits.REFLECTOR_BURST
    signed = limits.ATTESTATIONS_PER_SECOND - reflector._attester._unproved._left
    assert signed == limits.REFLECTOR_BURST


def test_an_error_is_never_attested(reflector):
    datagram = stun.encode(
        Method.BINDING,
        Class.REQUEST,
        TXID,
        {"CHANGE-REQUEST": 6, "CHALLENGE": CHALLENGE, "PADDING": bytes(200)},
    )
    answer = reflector.receive(datagram, CLIENT, HERE, 1.0)
    assert stun.decode(answer.datagram).error_code == 403
    assert attested.reply(answer.datagram, TXID) is None
    assert reflector._attester._unproved._left == limits.ATTESTATIONS_PER_SECOND


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"junk",
        attested.request(CHALLENGE, TXID),
        stun.encode(Method.BINDING, Class.RESPONSE, bytes(12), {"XOR-MAPPED-ADDRESS": CLIENT}),
        stun.encode(Method.BINDING, Class.ERROR, TXID, {"ERROR-CODE": (500, "")}),
    ],
)
def test_what_is_no_answer_to_the_request_says_nothing(datagram):
    assert attested.reply(datagram, TXID) is None


@given(st.binary(max_size=100), st.binary(max_size=40))
def test_a_server_that_lies_about_lengths_breaks_nothing(attestation, proof):
    attributes = {Extra.ATTESTATION.label: attestation, Extra.ROUTABLE.label: proof}
    reply = attested.reply(stun.encode(Method.BINDING, Class.RESPONSE, TXID, attributes), TXID)
    assert reply.seen is None
    assert (reply.attestation is None) is (len(attestation) != ATTESTATION_BYTES)
    assert len(reply.proof) == PROOF_BYTES


@given(st.binary(min_size=ATTESTATION_BYTES, max_size=ATTESTATION_BYTES))
def test_what_anybody_makes_up_proves_nothing(data):
    assert not proven_ip(Attestation.decode(data), CLIENT.ip, CHALLENGE, BEACON, TODAY)


@given(st.binary(max_size=200).filter(lambda data: len(data) != ATTESTATION_BYTES))
def test_an_attestation_has_one_length(data):
    with pytest.raises(ProtocolViolation, match="has 72 bytes"):
        Attestation.decode(data)
