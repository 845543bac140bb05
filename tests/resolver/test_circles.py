"""Circles: believed for a day, bounded, told to nobody about who did not agree, and read from anybody's bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.circles import (
    Circles,
    Member,
    Question,
    decode_circle,
    decode_question,
    encode_circle,
    encode_question,
)
from resolver.errors import InvalidState, MalformedRecord, RecordError
from resolver.limits import (
    CIRCLE_MEMBERS,
    CIRCLE_SECONDS,
    CIRCLE_TOLD_BYTES,
    CIRCLES,
    CIRCLES_MEMBERS,
    CONSENT_SECONDS,
    CONSENTS,
)
from tests.lab.resolver_keys import NOW, key, packet
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from resolver.signed_packets import SignedPacket

ALICE, BOB, CAROL = 1, 2, 3
ALICE_ID, BOB_ID, CAROL_ID = (key(number).endpoint_id for number in (ALICE, BOB, CAROL))


def stranger(number: int) -> EndpointId:
    return EndpointId(number.to_bytes(32))


def packet_of(number: int, age: float = 0.0) -> SignedPacket:
    return packet(number, signed_at=NOW - age)


def test_who_is_introduced_is_a_member_for_a_day() -> None:
    circles = Circles()
    assert circles.told(ALICE_ID, [Member(CAROL_ID)], NOW)
    assert circles.is_member(ALICE_ID, CAROL_ID, NOW + CIRCLE_SECONDS - 1)
    assert not circles.is_member(ALICE_ID, CAROL_ID, NOW + CIRCLE_SECONDS)
    assert not circles.is_member(ALICE_ID, BOB_ID, NOW)
    assert not circles.is_member(BOB_ID, CAROL_ID, NOW)
    assert circles.introducers_of(CAROL_ID, NOW) == (ALICE_ID,)


def test_the_last_word_of_an_introducer_is_the_whole_circle() -> None:
    circles = Circles()
    circles.told(ALICE_ID, [Member(CAROL_ID)], NOW)
    assert not circles.told(ALICE_ID, [Member(CAROL_ID, packet_of(CAROL))], NOW + 1)  # nobody new
    assert circles.told(ALICE_ID, [Member(BOB_ID)], NOW + 2)
    assert not circles.is_member(ALICE_ID, CAROL_ID, NOW + 2)


def test_nobody_is_in_a_circle_of_its_own() -> None:
    circles = Circles()
    circles.told(ALICE_ID, [Member(ALICE_ID)], NOW)
    assert not circles.is_member(ALICE_ID, ALICE_ID, NOW)


def test_the_newest_record_that_was_passed_on_is_given() -> None:
    circles = Circles()
    old, new = packet_of(CAROL, 60), packet_of(CAROL)
    circles.told(ALICE_ID, [Member(CAROL_ID, new)], NOW)
    circles.told(BOB_ID, [Member(CAROL_ID, old)], NOW)
    assert circles.packet_of(CAROL_ID, NOW) == new
    assert circles.packet_of(CAROL_ID, NOW + CIRCLE_SECONDS) is None
    assert circles.packet_of(BOB_ID, NOW) is None


def test_only_who_agreed_is_told_of_and_not_to_itself() -> None:
    circles = Circles()
    circles.consented(Member(BOB_ID), NOW)
    circles.consented(Member(CAROL_ID), NOW + 1)
    assert [member.endpoint_id for member in circles.own(ALICE_ID, NOW + 2)] == [CAROL_ID, BOB_ID]
    assert [member.endpoint_id for member in circles.own(BOB_ID, NOW + 2)] == [CAROL_ID]
    circles.refused(CAROL_ID)
    assert [member.endpoint_id for member in circles.own(ALICE_ID, NOW + 2)] == [BOB_ID]
    assert circles.own(ALICE_ID, NOW + CONSENT_SECONDS) == ()


def test_who_is_no_contact_any_more_is_forgotten() -> None:
    circles = Circles()
    circles.told(ALICE_ID, [Member(CAROL_ID)], NOW)
    circles.consented(Member(ALICE_ID), NOW)
    circles.told(BOB_ID, [Member(CAROL_ID)], NOW)
    assert circles.keep_only(BOB_ID.__eq__)
    assert not circles.keep_only(BOB_ID.__eq__)
    assert circles.introducers_of(CAROL_ID, NOW) == (BOB_ID,)
    assert circles.own(BOB_ID, NOW) == ()


def test_what_is_too_old_goes_by_itself() -> None:
    circles = Circles()
    circles.told(ALICE_ID, [Member(CAROL_ID)], NOW)
    circles.consented(Member(BOB_ID), NOW)
    assert not circles.expire(NOW + CIRCLE_SECONDS - 1)
    assert circles.has_members(ALICE_ID)
    assert circles.expire(NOW + CIRCLE_SECONDS)
    assert not circles.has_members(ALICE_ID)
    assert circles.agreed(NOW + CIRCLE_SECONDS) == {BOB_ID}
    assert not circles.expire(NOW + CONSENT_SECONDS), "no circle went"
    assert circles.to_json() == {"circles": {}, "consents": []}


def test_who_introduces_nobody_any_more_asks_for_consents_again() -> None:
    circles = Circles()
    circles.consented(Member(BOB_ID), NOW)
    circles.refuse_all()
    assert circles.own(ALICE_ID, NOW) == ()


def test_circles_are_bounded() -> None:
    circles = Circles()
    for number in range(CIRCLES + 1):
        circles.told(stranger(number), [Member(CAROL_ID)], NOW)
    assert len(circles.introducers_of(CAROL_ID, NOW)) == CIRCLES
    assert circles.told_at(stranger(0)) is None  # heard longest ago

    crowd = [Member(stranger(number)) for number in range(1000, 1000 + CIRCLE_MEMBERS + 1)]
    circles.told(ALICE_ID, crowd, NOW)
    assert circles.is_member(ALICE_ID, crowd[-2].endpoint_id, NOW)
    assert not circles.is_member(ALICE_ID, crowd[-1].endpoint_id, NOW)


def test_all_circles_together_are_bounded() -> None:
    circles = Circles()
    crowd = [Member(stranger(number)) for number in range(1000, 1000 + CIRCLE_MEMBERS)]
    for number in range(CIRCLES_MEMBERS // CIRCLE_MEMBERS):
        circles.told(stranger(number), crowd, NOW)
    circles.told(ALICE_ID, crowd, NOW)
    assert not circles.is_member(ALICE_ID, crowd[0].endpoint_id, NOW)
    assert circles.told(stranger(0), [], NOW)
    circles.told(ALICE_ID, crowd, NOW)
    assert circles.is_member(ALICE_ID, crowd[0].endpoint_id, NOW)


def test_consents_are_bounded_and_a_circle_that_is_told_too() -> None:
    circles = Circles()
    for number in range(CONSENTS + 1):
        circles.consented(Member(stranger(number)), NOW)
    told = circles.own(ALICE_ID, NOW)
    assert len(told) == CIRCLE_MEMBERS
    assert told[0].endpoint_id == stranger(CONSENTS)
    assert len(circles.to_json()["consents"]) == CONSENTS


def test_they_are_saved_and_read_again() -> None:
    circles = Circles()
    circles.told(ALICE_ID, [Member(CAROL_ID, packet_of(CAROL)), Member(BOB_ID)], NOW)
    circles.consented(Member(BOB_ID, packet_of(BOB)), NOW)
    again = Circles.from_json(circles.to_json())
    assert again.packet_of(CAROL_ID, NOW) == packet_of(CAROL)
    assert again.is_member(ALICE_ID, BOB_ID, NOW)
    assert again.own(ALICE_ID, NOW) == circles.own(ALICE_ID, NOW)


@pytest.mark.parametrize(
    "saved",
    [
        [],
        {"circles": {"nobody": {"told_at": 1, "members": []}}},
        {"circles": {str(ALICE_ID): {"told_at": 1, "members": [{"id": str(BOB_ID), "record": "?"}]}}},
        {"consents": [{"id": str(BOB_ID), "record": "AAAA"}]},
    ],
)
def test_a_damaged_file_is_told(saved) -> None:
    with pytest.raises(InvalidState):
        Circles.from_json(saved)


# --- on the wire ----------------------------------------------------------------------------------------


def test_a_question_says_whether_its_asker_may_be_introduced() -> None:
    own = packet_of(BOB)
    assert decode_question(encode_question(introducible=True, packet=own), BOB_ID) == Question(
        Member(BOB_ID, own), has_news=False
    )
    assert decode_question(
        encode_question(introducible=True, packet=None, has_news=True), BOB_ID
    ) == Question(Member(BOB_ID), has_news=True)
    unwilling = encode_question(introducible=False, packet=own)
    assert decode_question(unwilling, BOB_ID) == Question(None, has_news=False)
    assert len(unwilling) < 10  # and does not tell where it is


def test_a_circle_is_read_as_it_was_told() -> None:
    members = (Member(BOB_ID, packet_of(BOB)), Member(CAROL_ID))
    assert decode_circle(encode_circle(members)) == members


def test_a_record_of_somebody_else_is_refused() -> None:
    with pytest.raises(MalformedRecord):
        decode_question(encode_question(introducible=True, packet=packet_of(CAROL)), BOB_ID)
    with pytest.raises(MalformedRecord):
        decode_circle(encode_circle([Member(BOB_ID, packet_of(CAROL))]))


def test_too_much_is_refused() -> None:
    with pytest.raises(MalformedRecord):
        decode_circle(encode_circle([Member(CAROL_ID)] * (CIRCLE_MEMBERS + 1)))
    with pytest.raises(MalformedRecord):
        decode_circle(bytes(CIRCLE_TOLD_BYTES + 1))
    with pytest.raises(MalformedRecord):
        decode_question(bytes(5000), BOB_ID)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data) -> None:
    for read in (decode_circle, lambda data: decode_question(data, BOB_ID)):
        try:
            read(data)
        except RecordError:
            continue
