"""Two endpoints find out what they share, and nothing else; what a liar says is told from it."""

from __future__ import annotations

import contextlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits import TOPICS
from gateway.topics.hello import (
    Answer,
    Asked,
    Asking,
    Farewell,
    HelloError,
    MessageReader,
    Question,
    Shared,
    encode,
)
from gateway.topics.limits import TOPIC_HELLO_BYTES
from gateway.topics.manifest import Manifest
from resolver.topics import topic_id, topic_key
from tests.lab.resolver_keys import key

ALICE, BOB, MALLORY = (key(number).endpoint_id for number in range(1, 4))
CHAT, GAME, MUSIC = (topic_id(name) for name in ("chat", "game", "music"))
KEYS = {topic_id(name): topic_key(name) for name in ("chat", "game", "music")}
HERS = Manifest(name="Alice's")
HIS = Manifest(name="Bob's", service="chat")


def keys(*topics: bytes) -> dict[bytes, bytes]:
    return {topic: KEYS[topic] for topic in topics}


def read(data: bytes, kind):
    reader = MessageReader()
    reader.feed(data)
    return reader.next(kind)


def asking(*topics: bytes, manifests=None, own=ALICE, peer=BOB, chance=os.urandom) -> Asking:
    return Asking(keys(*topics), manifests or {}, own, peer, chance)


def asked(question: Question, *topics: bytes, manifests=None, own=BOB, peer=ALICE) -> Asked:
    return Asked(question, keys(*topics), manifests or {}, own, peer)


def test_both_learn_what_both_are_in_with_the_manifests_of_the_other():
    alice = asking(CHAT, GAME, manifests={CHAT: HERS, GAME: HERS})
    bob = asked(read(alice.question, Question), CHAT, MUSIC, manifests={CHAT: HIS, MUSIC: HIS})
    found, farewell = alice.answered(read(bob.answer, Answer))
    assert found == {CHAT: HIS}
    assert bob.shared == {CHAT}
    assert bob.told(read(farewell, Farewell)) == {CHAT: HERS}


def test_who_shares_nothing_learns_nothing_not_even_of_how_many_there_are():
    none, many = asking(), asking(*KEYS)
    assert len(none.question) == len(many.question)
    assert len(read(none.question, Question).proofs) == TOPICS
    bob = asked(read(many.question, Question), manifests={CHAT: HIS})
    found, farewell = many.answered(read(bob.answer, Answer))
    assert (found, bob.told(read(farewell, Farewell))) == ({}, {})
    assert b"Bob" not in bob.answer


def test_the_same_question_twice_looks_different():
    assert not set(read(asking(CHAT).question, Question).proofs) & set(
        read(asking(CHAT).question, Question).proofs
    )


def test_who_knows_only_the_id_of_a_topic_proves_nothing():
    # A beacon, or whoever looks into the DHT, has the id and not the name.
    mallory = Asking({CHAT: CHAT + bytes(12)}, {}, MALLORY, BOB, os.urandom)
    bob = asked(read(mallory.question, Question), CHAT, peer=MALLORY, manifests={CHAT: HIS})
    assert bob.shared == frozenset()
    assert mallory.answered(read(bob.answer, Answer))[0] == {}


def test_a_question_that_is_passed_on_proves_nothing_for_who_passes_it_on():
    alice = asking(CHAT, peer=MALLORY)
    stolen = asked(read(alice.question, Question), CHAT, own=BOB, peer=MALLORY)
    assert stolen.shared == frozenset()


def test_an_echo_is_no_answer():
    alice = asking(CHAT)
    question = read(alice.question, Question)
    for shared in ((Shared(question.proofs[0], None),), tuple(Shared(p, HIS) for p in question.proofs)):
        with pytest.raises(HelloError, match="not asked for"):
            alice.answered(Answer(shared))


def test_a_farewell_tells_nothing_of_what_was_not_proved():
    alice = asking(CHAT)
    bob = asked(read(alice.question, Question), CHAT, GAME)
    lies = Farewell((Shared(bytes(16), HERS), Shared(read(alice.question, Question).nonce, HERS)))
    assert bob.told(lies) == {CHAT: None}


def test_the_longest_that_is_said_fits_a_message():
    longest = Manifest(
        name="\N{GRINNING FACE}" * 64,
        version="\N{GRINNING FACE}" * 32,
        description="\N{GRINNING FACE}" * 200,
        service="s" * 62,
        home_page="https://" + "h" * 192,
    )
    everything = {number.to_bytes(20): number.to_bytes(32) for number in range(TOPICS)}
    manifests = dict.fromkeys(everything, longest)
    alice = Asking(everything, manifests, ALICE, BOB, os.urandom)
    bob = Asked(read(alice.question, Question), everything, manifests, BOB, ALICE)
    found, farewell = alice.answered(read(bob.answer, Answer))
    assert found == manifests
    assert bob.told(read(farewell, Farewell)) == manifests
    assert len(bob.answer) <= TOPIC_HELLO_BYTES


def test_messages_are_read_one_byte_at_a_time_and_several_at_once():
    alice = asking(CHAT)
    reader = MessageReader()
    for byte in alice.question:
        assert reader.next(Question) is None
        reader.feed(bytes([byte]))
    assert reader.next(Question) == read(alice.question, Question)
    reader.feed(encode(Farewell(())) + encode(Answer(())))
    assert (reader.next(Farewell), reader.next(Answer), reader.next(Answer)) == (
        Farewell(()),
        Answer(()),
        None,
    )


def test_too_much_is_refused_before_it_is_kept():
    with pytest.raises(HelloError, match="are the most"):
        MessageReader().feed((TOPIC_HELLO_BYTES + 1).to_bytes(2))
    reader = MessageReader()
    whole = TOPIC_HELLO_BYTES.to_bytes(2) + bytes(TOPIC_HELLO_BYTES)
    reader.feed(whole + whole)
    with pytest.raises(HelloError, match="more of topics than"):
        reader.feed(b"x")


@given(st.lists(st.binary(max_size=80), max_size=6), st.sampled_from([Question, Answer, Farewell]))
def test_any_bytes_are_a_message_or_a_hello_error(pieces, kind):
    reader = MessageReader()
    with contextlib.suppress(HelloError):
        for piece in pieces:
            reader.feed(piece)
            reader.next(kind)


@given(st.binary(max_size=200), st.sampled_from([Question, Answer, Farewell]))
def test_any_body_is_a_message_or_a_hello_error(body, kind):
    with contextlib.suppress(HelloError):
        read(len(body).to_bytes(2) + body, kind)
