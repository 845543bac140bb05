"""What is said when an invite is redeemed."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.invites.errors import InviteDamaged
from gateway.invites.limits import INVITE_BYTES, REDEEM_MESSAGE_BYTES
from gateway.invites.messages import (
    MessageParser,
    RedeemReply,
    RedeemRequest,
    decode_reply,
    decode_request,
    encode_message,
)

REQUEST = RedeemRequest(b"chain", bytes(64), "bob", b"record")
REPLY = RedeemReply("invite-used", "somebody has taken it", 1e9, ("web",), 2e9, "bob")


@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_a_message_is_read_however_it_is_cut(step: int) -> None:
    data = encode_message(REQUEST) + b"and more"
    parser, found = MessageParser(), None
    for at in range(0, len(data), step):
        found = found or parser.feed(data[at : at + step])
    assert found is not None
    assert decode_request(found) == REQUEST


def test_a_reply_reads_back() -> None:
    assert decode_reply(encode_message(REPLY)[2:]) == REPLY


def test_the_largest_invite_fits_and_nothing_larger_is_waited_for() -> None:
    encode_message(RedeemRequest(bytes(INVITE_BYTES), bytes(64), "b" * 64, bytes(1104)))
    with pytest.raises(ValueError, match=str(REDEEM_MESSAGE_BYTES)):
        encode_message(RedeemRequest(bytes(REDEEM_MESSAGE_BYTES), bytes(64)))
    with pytest.raises(InviteDamaged, match="at most"):
        MessageParser().feed(b"\xff\xff")


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_an_error_of_ours(data: bytes) -> None:
    for decode in (decode_request, decode_reply):
        with contextlib.suppress(InviteDamaged):
            decode(data)


def test_a_proof_has_its_size() -> None:
    with pytest.raises(InviteDamaged):
        decode_request(encode_message(RedeemRequest(b"", bytes(63)))[2:])


@pytest.mark.parametrize(
    "changed", [{"now": float("inf")}, {"now": -1.0}, {"until": float("nan")}, {"until": 1e300}]
)
def test_times_that_cannot_be_kept_or_told_are_no_answer(changed: dict[str, float]) -> None:
    with pytest.raises(InviteDamaged):
        decode_reply(encode_message(msgspec.structs.replace(REPLY, **changed))[2:])
