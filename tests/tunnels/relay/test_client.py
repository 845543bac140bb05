"""A gateway's side of the relay protocol, joined with what a beacon would say."""

from __future__ import annotations

import pytest

from tunnels import limits
from tunnels.addresses import BeaconUrl
from tunnels.errors import ProtocolViolation, Unreachable, WrongIdentity
from tunnels.identity import SecretKey
from tunnels.relay import frames, login
from tunnels.relay.client import (
    Challenged,
    DatagramsReceived,
    EndpointAbsent,
    MessageReceived,
    RelayClient,
    Welcomed,
)
from tunnels.relay.frames import FrameKind

GATEWAY, BEACON, PEER = (SecretKey(bytes([seed]) * 32) for seed in (1, 2, 3))
URL = BeaconUrl.parse(f"https://beacon.example#{BEACON.endpoint_id}")
CHALLENGE = frames.Challenge(beacon=str(BEACON.endpoint_id), nonce=bytes(16))


def client(url: BeaconUrl = URL) -> RelayClient:
    return RelayClient(GATEWAY, url, b"n" * 16, "test 1")


def welcome_for(hello: str, key: SecretKey = BEACON) -> str:
    said = frames.read_from_gateway(hello)
    assert isinstance(said, frames.Hello)
    assert login.check_hello(said, CHALLENGE) == GATEWAY.endpoint_id
    signature = login.welcome_signature(key, said, CHALLENGE)
    return frames.encode_text(frames.Welcome(signature=signature, observed="192.0.2.1:5"))


def logged_in() -> RelayClient:
    made = client()
    made.receive_text(frames.encode_text(CHALLENGE))
    assert isinstance(made.receive_text(welcome_for(made.answer())), Welcomed)
    return made


def test_the_login_proves_both():
    made = client()
    assert made.receive_text(frames.encode_text(CHALLENGE)) == Challenged(BEACON.endpoint_id)
    welcomed = made.receive_text(welcome_for(made.answer()))
    assert isinstance(welcomed, Welcomed)
    assert welcomed.beacon_id == BEACON.endpoint_id
    assert made.welcome is welcomed.welcome


def test_nothing_is_said_to_a_beacon_that_is_not_the_one_meant():
    made = client(BeaconUrl.parse(f"https://beacon.example#{PEER.endpoint_id}"))
    made.receive_text(frames.encode_text(CHALLENGE))
    with pytest.raises(WrongIdentity, match=f"is {BEACON.endpoint_id}, not"):
        made.answer()


def test_a_welcome_without_proof_is_none():
    made = client()
    made.receive_text(frames.encode_text(CHALLENGE))
    with pytest.raises(WrongIdentity, match="cannot prove"):
        made.receive_text(welcome_for(made.answer(), PEER))
    assert made.welcome is None


def test_a_refused_login_gives_the_reason_in_one_line():
    refused = frames.encode_text(frames.Refused(code="access", reason="not\x1b[2Jhere\n"))
    with pytest.raises(Unreachable, match=r"^it refuses us: not \[2Jhere $"):
        client().receive_text(refused)


@pytest.mark.parametrize(
    "texts",
    [
        [frames.Welcome(signature=bytes(64), observed="")],
        [CHALLENGE, CHALLENGE],
        [CHALLENGE, frames.Welcome(signature=bytes(64), observed="")],
        [frames.Online(ids=())],
        [frames.Challenge(beacon="0" * 52, nonce=bytes(16))],
    ],
    ids=["welcome first", "two challenges", "welcome before hello", "answer first", "no id"],
)
def test_the_login_has_an_order(texts):
    made = client()
    *before, last = map(frames.encode_text, texts)
    for text in before:
        made.receive_text(text)
    with pytest.raises(ProtocolViolation):
        made.receive_text(last)


def test_there_is_no_answer_before_the_challenge():
    with pytest.raises(ProtocolViolation):
        client().answer()


@pytest.mark.parametrize("said", [CHALLENGE, frames.Welcome(signature=bytes(64), observed="")])
def test_the_login_happens_once(said):
    with pytest.raises(ProtocolViolation, match="anew"):
        logged_in().receive_text(frames.encode_text(said))


def test_frames_become_events():
    made, peer = logged_in(), PEER.endpoint_id
    [body] = frames.batches([b"a", b"b"])
    receive = made.receive_binary
    assert receive(frames.encode(FrameKind.DATA, peer, body)) == DatagramsReceived(peer, [b"a", b"b"], False)
    assert receive(frames.encode(FrameKind.PATH, peer, body)) == DatagramsReceived(peer, [b"a", b"b"], True)
    assert receive(frames.encode(FrameKind.MESSAGE, peer, b"m")) == MessageReceived(peer, b"m")
    assert receive(frames.encode(FrameKind.ABSENT, peer, b"\x01")) == EndpointAbsent(peer)
    online = frames.Online(ids=(str(peer),))
    assert made.receive_text(frames.encode_text(online)) == online


def test_datagrams_before_the_welcome_end_the_connection():
    with pytest.raises(ProtocolViolation, match="before its welcome"):
        client().receive_binary(frames.encode(FrameKind.MESSAGE, PEER.endpoint_id, b"m"))


def test_messages_and_texts_are_bounded():
    made = logged_in()
    largest = frames.encode(FrameKind.MESSAGE, PEER.endpoint_id, bytes(limits.RELAY_MESSAGE))
    assert isinstance(made.receive_binary(largest), MessageReceived)
    with pytest.raises(ProtocolViolation):
        made.receive_binary(largest + b"x")
    with pytest.raises(ProtocolViolation):
        made.receive_text(" " * (limits.RELAY_TEXT + 1))
