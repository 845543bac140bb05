"""The exchange behind a spoken code: right words give the invite, wrong ones kill the code, nobody learns anything."""

from __future__ import annotations

import contextlib
import hashlib
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UsageError
from gateway.invites.errors import CodeWrong
from gateway.invites.limits import INVITE_SERVICES
from gateway.invites.spoken import OVER, Code, Giver, GiverState, Taker, word_list
from gateway.invites.texts import invite_bytes
from tests.lab.invites import ALICE, BOB, MALLORY, invite
from tests.lab.resolver_keys import record
from tunnels.limits import NAMEPLATE_TOKEN, NAMEPLATES, RELAY_MESSAGE

A, B, M = (one.endpoint_id for one in (ALICE, BOB, MALLORY))
TOKEN = bytes(range(16))
CODE = Code(7, ("guitar", "elbow"))


def chance(seed: int = 0):
    """Bytes that are the same in every run."""
    numbers = count(seed * 1000)

    def entropy(size: int) -> bytes:
        block = b"".join(
            hashlib.sha256(str((next(numbers), part)).encode()).digest() for part in range(-(-size // 32))
        )
        return block[:size]

    return entropy


def pair(said: Code = CODE, *, taker=B, giver=A, token: bytes = TOKEN):
    return Giver(CODE, A, TOKEN, chance(1)), Taker(said, taker, giver, token, chance(2))


def confirmed(giver: Giver, taker: Taker) -> None:
    """The first three messages, in their order."""
    first = taker.begin()
    assert giver.state is GiverState.WAITING
    second = giver.receive(B, first)
    assert giver.state is GiverState.TALKING
    third = taker.receive(second)
    assert giver.receive(B, third) is None


def test_the_right_words_give_the_invite_to_who_said_them() -> None:
    giver, taker = pair()
    confirmed(giver, taker)
    assert (giver.state, giver.taker) == (GiverState.CONFIRMED, B)
    assert taker.receive(giver.give(b"the invite")) is None
    assert taker.invite == b"the invite"


@pytest.mark.parametrize(
    ("said", "who"),
    [
        (Code(7, ("guitar", "ability")), {}),
        (Code(8, ("guitar", "elbow")), {}),
        (Code(7, ("elbow", "guitar")), {}),
        (CODE, {"taker": M}),
        (CODE, {"giver": M}),
        (CODE, {"token": bytes(16)}),
    ],
)
def test_wrong_words_or_ids_that_a_beacon_lied_about_kill_the_code(
    said: Code, who: dict[str, object]
) -> None:
    giver, taker = pair(said, **who)
    third = taker.receive(giver.receive(B, taker.begin()))
    assert giver.receive(B, third) == OVER
    assert giver.state is GiverState.GUESSED
    with pytest.raises(CodeWrong, match="not have the same words; this code is used up"):
        taker.receive(OVER)
    with pytest.raises(ValueError, match="nobody has shown"):
        giver.give(b"the invite")


def test_a_second_guess_is_not_heard() -> None:
    giver, taker = pair(Code(7, ("guitar", "ability")))
    third = taker.receive(giver.receive(B, taker.begin()))
    for _ in range(2):
        giver.receive(B, third)
    _, right = pair()
    assert giver.receive(B, right.begin()) is None
    assert giver.state is GiverState.GUESSED


def test_the_giver_says_nothing_of_its_key_before_the_taker_has_shown_to_have_it() -> None:
    giver, taker = pair()
    second = giver.receive(B, taker.begin())
    assert len(second) == 34  # a point of the curve, and no confirmation
    assert giver.receive(B, b"\x04" + bytes(80)) is None
    assert giver.state is GiverState.TALKING


def test_somebody_else_cannot_put_in_a_word() -> None:
    giver, taker = pair()
    third = taker.receive(giver.receive(B, taker.begin()))
    assert giver.receive(M, third) is None
    assert giver.receive(M, OVER) is None
    assert giver.state is GiverState.TALKING
    giver.receive(B, third)
    assert giver.state is GiverState.CONFIRMED


def test_an_invite_that_was_changed_on_its_way_is_refused() -> None:
    giver, taker = pair()
    confirmed(giver, taker)
    sent = bytearray(giver.give(b"the invite"))
    for at in (5, 40, len(sent) - 1):
        wrong = bytes(sent[:at] + bytes([sent[at] ^ 1]) + sent[at + 1 :])
        with pytest.raises(CodeWrong):
            taker.receive(wrong)
    assert taker.invite is None


def test_a_message_that_is_thrown_back_is_no_answer() -> None:
    _, taker = pair()
    first = taker.begin()
    with pytest.raises(CodeWrong):
        taker.receive(b"\x02" + first[1:])


@given(st.binary(max_size=80) | st.binary(min_size=32, max_size=32).map(b"\x01A".__add__))
def test_any_bytes_at_the_giver_are_a_guess_or_nothing(said: bytes) -> None:
    giver, _ = pair()
    giver.receive(M, said)
    assert giver.state in (GiverState.WAITING, GiverState.GUESSED, GiverState.TALKING)


@given(st.binary(max_size=80) | st.binary(min_size=32, max_size=32).map(b"\x02B".__add__))
def test_any_bytes_at_the_taker_are_nothing_or_the_end(said: bytes) -> None:
    _, taker = pair()
    taker.begin()
    with contextlib.suppress(CodeWrong):
        taker.receive(said)
    assert taker.invite is None


def test_the_largest_invite_of_one_link_fits_one_message_of_a_beacon() -> None:
    from dataclasses import replace

    from gateway.invites.capability import Invite

    long = tuple(f"s{number:018}" for number in range(INVITE_SERVICES))
    largest = invite(*long, petname="p" * 63, holder=BOB.endpoint_id)
    addresses = tuple(f"[2001:db8::{number:x}]:41641" for number in range(1, 17))
    full = record(1, nickname="n" * 64, addresses=addresses)
    largest = Invite.of(replace(full).fitted().sign(ALICE), largest.chain, largest.secret.seed)
    giver, taker = pair()
    confirmed(giver, taker)
    spare = 1104 - len(
        largest.packet.to_bytes()
    )  # what a record full of relays has beyond one full of addresses
    assert NAMEPLATE_TOKEN + len(giver.give(invite_bytes(largest))) + spare <= RELAY_MESSAGE


# --- codes ------------------------------------------------------------------------------------------------------------


def test_a_code_is_a_number_and_words_that_cannot_be_mistaken_for_each_other() -> None:
    assert str(Code.make(12, chance())) == str(Code.make(12, chance()))
    assert Code.parse(str(Code.make(12, chance()))) == Code.make(12, chance())
    words = word_list()
    assert len(words) == 2048 == len({word[:4] for word in words})
    assert len({str(Code.make(1, chance(seed))) for seed in range(50)}) == 50


@pytest.mark.parametrize(
    "text", ["7-guitar-elbow", " 7 GUITAR  elbow\n", "7-guit-elbo", "7 - guitar - elbow"]
)
def test_a_code_is_understood_as_people_type_it(text: str) -> None:
    assert Code.parse(text) == CODE


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("7-guitar-elbaw", "'elbaw' is in no code; did you hear elbow"),
        ("7-guitar-qqqqq", "ask for it again"),
        ("7-guitar", "one is a number and 2 words"),
        ("7-guitar-elbow-elbow", "is no code"),
        ("guitar-elbow-7", "is no code"),
        ("0-guitar-elbow", f"numbers from 1 to {NAMEPLATES}"),
        ("²-guitar-elbow", "is no code"),
        ("12345-guitar-elbow", "is no code"),
        ("", "is no code"),
    ],
)
def test_what_is_misheard_is_told_before_a_guess_is_spent(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Code.parse(text)


@given(st.text(max_size=60))
def test_any_text_is_a_code_or_a_mistake_of_a_person(text: str) -> None:
    try:
        code = Code.parse(text)
    except UsageError:
        return
    assert Code.parse(str(code)) == code
