"""Calls by way of a beacon: who is called opens its NAT and calls back; nobody else is made to send anything."""

from __future__ import annotations

import pytest

from tests.lab.endpoints import key_of
from tunnels import limits
from tunnels.addresses import Address, BeaconUrl
from tunnels.calling import OPENER, Calls
from tunnels.demux import KINDS, DatagramKind
from tunnels.errors import ProtocolViolation
from tunnels.paths.candidates import Candidate, CandidateKind

ALICE, BOB, EVE = key_of("alice"), key_of("bob"), key_of("eve")
BEACON = BeaconUrl.parse("https://beacon.example")
HOME = Candidate(Address.parse("203.0.113.7:41641"), CandidateKind.SERVER_REFLEXIVE)


class Phone:
    """One endpoint's calls, with what went out."""

    def __init__(self, key) -> None:
        self.messages: list[tuple[object, bytes, BeaconUrl]] = []
        self.openers: list[tuple[bytes, Address]] = []
        self.now = 1_800_000_000.0
        self.calls = Calls(
            key,
            send_message=lambda to, body, beacon: self.messages.append((to, body, beacon)) is None,
            send=lambda datagram, address, ttl: self.openers.append((datagram, address)),
            clock=lambda: self.now,
        )


@pytest.fixture
def alice() -> Phone:
    return Phone(ALICE)


@pytest.fixture
def bob() -> Phone:
    return Phone(BOB)


def called(caller: Phone, callee, *candidates: Candidate, is_answer: bool = False) -> bytes:
    caller.calls.call(callee.endpoint_id, [BEACON], candidates, is_answer=is_answer)
    to, body, beacon = caller.messages[-1]
    assert (to, beacon) == (callee.endpoint_id, BEACON)
    return body


@pytest.mark.parametrize("is_answer", [False, True])
def test_a_call_tells_where_the_caller_is(alice, bob, is_answer):
    body = called(bob, ALICE, HOME, is_answer=is_answer)
    call, candidates = alice.calls.received(BOB.endpoint_id, body, with_loopback=False)
    assert call.is_answer is is_answer
    assert candidates == (HOME,)


def test_each_beacon_is_told_once(bob):
    bob.calls.call(ALICE.endpoint_id, [BEACON, BEACON, BeaconUrl.parse("https://two.example")], [HOME])
    assert [beacon.host for _, _, beacon in bob.messages] == ["beacon.example", "two.example"]


def test_an_opener_goes_to_each_address_and_says_nothing(alice):
    alice.calls.open_towards(BOB.endpoint_id, [HOME])
    assert alice.openers == [(OPENER, HOME.address)]
    assert KINDS[OPENER[0]] is DatagramKind.UNKNOWN


def test_a_replayed_call_one_for_somebody_else_and_one_of_another_sender_are_refused(alice, bob):
    body = called(bob, ALICE, HOME)
    with pytest.raises(ProtocolViolation, match="not sealed by"):
        alice.calls.received(EVE.endpoint_id, body, with_loopback=False)
    with pytest.raises(ProtocolViolation, match="not sealed by"):
        Phone(EVE).calls.received(BOB.endpoint_id, body, with_loopback=False)
    alice.calls.received(BOB.endpoint_id, body, with_loopback=False)
    with pytest.raises(ProtocolViolation, match="opened before"):
        alice.calls.received(BOB.endpoint_id, body, with_loopback=False)


@pytest.mark.parametrize(
    "text", ["127.0.0.1:7777", "224.0.0.1:7777", "198.51.100.7:53", "169.254.169.254:80"]
)
def test_a_caller_cannot_point_us_at_what_is_not_his(alice, bob, text):
    body = called(bob, ALICE, Candidate(Address.parse(text), CandidateKind.HOST), HOME)
    _, candidates = alice.calls.received(BOB.endpoint_id, body, with_loopback=False)
    assert candidates == (HOME,)


def test_one_caller_gets_one_round_of_openers_a_second_and_costs_others_nothing(alice, monkeypatch):
    alice.calls.open_towards(BOB.endpoint_id, [HOME])
    for _ in range(100):
        with pytest.raises(ProtocolViolation, match="too often"):
            alice.calls.open_towards(BOB.endpoint_id, [HOME])
    alice.calls.open_towards(EVE.endpoint_id, [HOME])
    assert len(alice.openers) == 2


def test_a_bounded_number_of_callers_is_remembered(alice, monkeypatch):
    monkeypatch.setattr(limits, "MAX_CALLERS", 3)
    for name in "abcdefgh":
        alice.calls.open_towards(key_of(name).endpoint_id, [HOME])
    assert len(alice.calls._opened_at) == 3


def test_a_call_is_answered_once_and_what_was_not_asked_is_no_answer(alice, monkeypatch):
    """Handshakes, which are large, go to where an answer says, so they do not go to ever new places."""
    with pytest.raises(ProtocolViolation):
        alice.calls.answered(BOB.endpoint_id)
    called(alice, BOB, HOME)
    alice.calls.answered(BOB.endpoint_id)
    for _ in range(100):
        with pytest.raises(ProtocolViolation):
            alice.calls.answered(BOB.endpoint_id)
    called(alice, BOB, HOME)
    monkeypatch.setattr(limits, "CALL_FRESH", 0.0)
    with pytest.raises(ProtocolViolation):
        alice.calls.answered(BOB.endpoint_id)


def test_that_we_answer_a_call_is_no_call(alice):
    called(alice, BOB, HOME, is_answer=True)
    with pytest.raises(ProtocolViolation):
        alice.calls.answered(BOB.endpoint_id)


def test_a_bounded_number_of_those_called_is_remembered(alice, monkeypatch):
    monkeypatch.setattr(limits, "MAX_CALLERS", 3)
    for name in ("one", "two", "three", "four"):
        called(alice, key_of(name), HOME)
    with pytest.raises(ProtocolViolation):
        alice.calls.answered(key_of("one").endpoint_id)
    alice.calls.answered(key_of("four").endpoint_id)
