"""Who proves what to whom, and what a signature is not good for."""

from __future__ import annotations

import msgspec
import pytest

from tests.lab.resolver_keys import key
from tunnels.addresses import BeaconUrl
from tunnels.errors import WrongIdentity
from tunnels.relay.frames import Challenge, Hello, Welcome
from tunnels.relay.login import check_hello, check_welcome, hello, welcome_signature

GATEWAY, BEACON, OTHER = key(1), key(2), key(3)
URL = BeaconUrl.parse(f"https://b.example#{BEACON.endpoint_id}")
CHALLENGE = Challenge(beacon=str(BEACON.endpoint_id), nonce=b"c" * 16)


def said(**changes: object) -> Hello:
    made = hello(GATEWAY, CHALLENGE, b"g" * 16, URL, "1")
    return msgspec.structs.replace(made, **changes)


def welcome(signature: bytes) -> Welcome:
    return Welcome(signature=signature, observed="192.0.2.1:1")


def test_both_prove_who_they_are() -> None:
    assert check_hello(said(), CHALLENGE) == GATEWAY.endpoint_id
    assert said().authority == "b.example"
    answer = welcome(welcome_signature(BEACON, said(), CHALLENGE))
    assert check_welcome(answer, said(), CHALLENGE) == BEACON.endpoint_id


@pytest.mark.parametrize(
    "changes",
    [
        {"id": str(OTHER.endpoint_id)},
        {"nonce": b"x" * 16},
        {"authority": "evil.example"},
        {"signature": bytes(64)},
        {"id": "0" * 52},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_hello_that_was_changed_proves_nothing(changes: dict[str, object]) -> None:
    with pytest.raises(WrongIdentity):
        check_hello(said(**changes), CHALLENGE)


@pytest.mark.parametrize(
    "challenge",
    [
        Challenge(beacon=CHALLENGE.beacon, nonce=b"d" * 16),
        Challenge(beacon=str(OTHER.endpoint_id), nonce=CHALLENGE.nonce),
    ],
    ids=["another time", "another beacon"],
)
def test_a_hello_is_good_for_one_challenge_of_one_beacon(challenge: Challenge) -> None:
    with pytest.raises(WrongIdentity):
        check_hello(said(), challenge)


def test_a_gateway_says_nothing_to_a_beacon_that_it_did_not_mean() -> None:
    with pytest.raises(WrongIdentity, match="not"):
        hello(GATEWAY, Challenge(beacon=str(OTHER.endpoint_id), nonce=bytes(16)), bytes(16), URL, "1")


def test_a_beacon_that_passes_another_ones_challenge_on_cannot_prove_its_id() -> None:
    for signature in (bytes(64), welcome_signature(OTHER, said(), CHALLENGE), said().signature):
        with pytest.raises(WrongIdentity):
            check_welcome(welcome(signature), said(), CHALLENGE)


def test_a_welcome_for_another_login_proves_nothing() -> None:
    answer = welcome(welcome_signature(BEACON, said(), CHALLENGE))
    with pytest.raises(WrongIdentity):
        check_welcome(answer, said(nonce=b"x" * 16), CHALLENGE)


def test_a_beacon_whose_id_cannot_be_read_is_refused() -> None:
    with pytest.raises(WrongIdentity):
        check_welcome(welcome(bytes(64)), said(), Challenge(beacon="0" * 52, nonce=bytes(16)))
