"""Whom to ask next: each bound filled, and what a flood can delay and cannot take."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.topics.base import Candidate
from gateway.topics.limits import (
    TOPIC_CHECKS_AT_ONCE,
    TOPIC_CHECKS_BURST,
    TOPIC_CHECKS_PER_MINUTE,
    TOPIC_LEFT_ALONE,
    TOPIC_PEERS,
    TOPIC_RECHECK_SECONDS,
    TOPIC_RETRY_LONGEST,
    TOPIC_RETRY_SECONDS,
    TOPIC_WAITING,
)
from gateway.topics.manifest import Manifest
from gateway.topics.swarm import MET, Swarm
from tunnels.addresses import Address
from tunnels.identity import EndpointId

CHAT, GAME = b"c" * 20, b"g" * 20
ME = EndpointId(b"m" * 32)
APP = Manifest(name="App")


def ids(count: int, kind: int = 0) -> list[EndpointId]:
    return [EndpointId(bytes([kind]) + number.to_bytes(31)) for number in range(count)]


def swarm(*topics: bytes) -> Swarm:
    made = Swarm(ME, random.Random(3).randrange)
    made.set_topics(topics or (CHAT,))
    return made


def taken(one: Swarm, now: float) -> list:
    """Everybody who is to be asked now."""
    found = []
    while (check := one.take(now)) is not None:
        found.append(check)
    return found


def ask_all(one: Swarm, now: float, found) -> float:
    """Ask until nobody waits; each proves what `found(key)` says, or fails if that is None. The time it is then."""
    while True:
        checks = taken(one, now)
        for check in checks:
            key = check.candidate.key
            shared = found(key)
            if shared is None:
                one.failed(key, now)
            else:
                one.proved(key, key, shared, now)
        if not checks:
            due = one.get_timer(now)
            if due is None or due > now + 60:
                return now
            now = max(due, now + 0.001)


def test_who_is_told_of_is_asked_once_and_is_a_peer_when_it_proves_it():
    one = swarm(CHAT, GAME)
    (bob,) = ids(1)
    assert one.offer(CHAT, Candidate(bob), "beacon", 0.0)
    one.offer(GAME, Candidate(bob), "beacon", 0.0)
    (check,) = taken(one, 0.0)
    assert (check.candidate.key, check.source) == (bob, "beacon")
    assert not one.offer(CHAT, Candidate(bob), "beacon", 0.5), "it is being asked"
    one.proved(bob, bob, {CHAT: APP}, 1.0)
    assert [(peer.endpoint_id, peer.manifest, peer.source) for peer in one.peers(CHAT)] == [
        (bob, APP, "beacon")
    ]
    assert one.peers(GAME) == ()
    assert one.is_peer(bob)
    assert one.is_alone, "in the game there is nobody"
    assert not one.offer(CHAT, Candidate(bob), "beacon", 2.0)
    assert taken(one, 2.0) == []


def test_nobody_is_told_of_himself_nor_of_topics_he_is_not_in():
    one = swarm(CHAT)
    assert not one.offer(CHAT, Candidate(ME), "beacon", 0.0)
    assert not one.offer(GAME, Candidate(ids(1)[0]), "beacon", 0.0)
    assert not one.met(ME, {CHAT: None}, 0.0)
    assert not one.met(ids(1)[0], {GAME: None}, 0.0)
    assert one.peers(CHAT) == one.peers(GAME) == ()


def test_who_is_in_none_or_does_not_answer_is_left_alone_longer_each_time():
    one = swarm()
    (liar,) = ids(1)
    now, wait = 0.0, TOPIC_RETRY_SECONDS
    while wait < TOPIC_RETRY_LONGEST:
        assert one.offer(CHAT, Candidate(liar), "beacon", now)
        taken(one, now)
        one.proved(liar, liar, {}, now)
        assert one.peers(CHAT) == ()
        assert not one.offer(CHAT, Candidate(liar), "beacon", now + wait - 1)
        now += wait + 1
        wait *= 2
    one.forgive()
    one.offer(CHAT, Candidate(liar), "beacon", now)
    taken(one, now)
    one.failed(liar, now)
    assert not one.offer(CHAT, Candidate(liar), "beacon", now + 1)


def test_an_address_is_known_by_the_endpoint_that_answers_there():
    one = swarm()
    place, (bob,) = Address.parse("192.0.2.1:7777"), ids(1)
    one.offer(CHAT, Candidate(place, (place,)), "dht", 0.0)
    (check,) = taken(one, 0.0)
    assert check.candidate.key == place
    one.proved(place, bob, {CHAT: APP}, 0.0)
    assert [peer.endpoint_id for peer in one.peers(CHAT)] == [bob]
    assert not one.offer(CHAT, Candidate(place, (place,)), "dht", 1.0), "who is there is known"


def test_who_asked_us_is_a_peer_like_any_other():
    one = swarm()
    (bob,) = ids(1)
    assert one.met(bob, {CHAT: None}, 0.0)
    assert not one.met(bob, {CHAT: None}, 1.0)
    assert one.met(bob, {CHAT: APP}, 2.0), "its manifest is news"
    assert [(peer.source, peer.since, peer.verified_at) for peer in one.peers(CHAT)] == [(MET, 0.0, 2.0)]


def test_peers_are_asked_again_and_dropped_when_they_do_not_answer():
    one = swarm(CHAT, GAME)
    stays, leaves, dies = ids(3)
    for each in (stays, leaves, dies):
        one.met(each, {CHAT: None, GAME: None}, 0.0)
    assert one.get_timer(0.0) == TOPIC_RECHECK_SECONDS
    assert taken(one, TOPIC_RECHECK_SECONDS - 1) == []
    now = TOPIC_RECHECK_SECONDS
    assert {check.candidate.key for check in taken(one, now)} == {stays, leaves, dies}
    one.proved(stays, stays, {CHAT: APP, GAME: None}, now)
    one.proved(leaves, leaves, {GAME: None}, now)
    one.failed(dies, now)
    assert [peer.endpoint_id for peer in one.peers(CHAT)] == [stays]
    assert {peer.endpoint_id for peer in one.peers(GAME)} == {stays, leaves}
    assert {peer.source for peer in one.peers(CHAT)} == {MET}
    assert taken(one, now) == []


def test_what_is_left_is_forgotten_and_who_waited_for_it_only_is_not_asked():
    one = swarm(CHAT, GAME)
    bob, carol = ids(2)
    one.met(bob, {CHAT: None}, 0.0)
    one.offer(CHAT, Candidate(carol), "beacon", 0.0)
    one.set_topics((GAME,))
    assert one.peers(CHAT) == ()
    assert taken(one, 0.0) == []
    one.set_topics((CHAT, GAME))
    assert one.peers(CHAT) == ()


# --- floods ---------------------------------------------------------------------------------------------------


def test_thousands_of_announcements_cost_a_bounded_number_of_handshakes_and_of_entries():
    one = swarm()
    for each in ids(20_000):
        one.offer(CHAT, Candidate(each), "beacon", 0.0)
    assert one.statistics == (TOPIC_WAITING, 0, 0)
    asked = 0
    for second in range(60):
        checks = taken(one, float(second))
        assert len(checks) <= TOPIC_CHECKS_AT_ONCE
        asked += len(checks)
        for check in checks:
            one.failed(check.candidate.key, float(second))
    assert TOPIC_CHECKS_BURST <= asked <= TOPIC_CHECKS_BURST + TOPIC_CHECKS_PER_MINUTE
    assert one.peers(CHAT) == ()


def test_no_more_are_asked_at_once_than_may_be():
    one = swarm()
    for each in ids(100):
        one.offer(CHAT, Candidate(each), "beacon", 0.0)
    assert len(taken(one, 0.0)) == TOPIC_CHECKS_AT_ONCE
    assert one.get_timer(0.0) is None, "whoever ends makes room"
    assert taken(one, 1000.0) == []


def test_a_flood_from_one_source_does_not_hold_up_another():
    one = swarm()
    (bob,) = ids(1, 9)
    for each in ids(5000):
        one.offer(CHAT, Candidate(each), "dht", 0.0)
    one.offer(CHAT, Candidate(bob), "local network", 0.0)
    assert bob in {check.candidate.key for check in taken(one, 0.0)[:2]}


def test_in_a_flood_the_last_and_the_first_have_the_same_chance():
    one = swarm()
    first, last = ids(TOPIC_WAITING), ids(TOPIC_WAITING, 1)
    for each in (*first, *last):
        one.offer(CHAT, Candidate(each), "beacon", 0.0)
    asked: set = set()
    ask_all(one, 0.0, lambda key: asked.add(key))
    assert len(asked) == TOPIC_WAITING
    assert len(asked & set(first)) > TOPIC_WAITING // 5


def test_a_topic_with_all_its_peers_keeps_them_and_asks_nobody_else():
    one = swarm()
    first = ids(TOPIC_PEERS)
    for each in first:
        one.met(each, {CHAT: None}, 0.0)
    for each in ids(1000, 1):
        assert not one.met(each, {CHAT: None}, 0.0)
        assert not one.offer(CHAT, Candidate(each), "beacon", 0.0)
    assert [peer.endpoint_id for peer in one.peers(CHAT)] == first
    assert taken(one, 1.0) == []


def test_a_topic_that_fills_up_meanwhile_asks_nobody_who_waits():
    one = swarm()
    for each in ids(100, 1):
        one.offer(CHAT, Candidate(each), "beacon", 0.0)
    for each in ids(TOPIC_PEERS):
        one.met(each, {CHAT: None}, 0.0)
    assert taken(one, 0.0) == []


def test_those_left_alone_are_bounded_and_those_of_longest_ago_go_first():
    one = swarm()
    everybody = ids(TOPIC_LEFT_ALONE + 10)
    for each in everybody:
        one.failed(each, 0.0)
    assert one.statistics[2] == TOPIC_LEFT_ALONE
    assert one.offer(CHAT, Candidate(everybody[0]), "beacon", 1.0)
    assert not one.offer(CHAT, Candidate(everybody[-1]), "beacon", 1.0)


def test_an_endpoint_that_is_in_no_topic_stays_out_however_often_it_is_announced():
    one = swarm()
    liars, honest = ids(300), ids(5, 9)
    now = 0.0
    for _ in range(10):
        for each in (*liars, *honest):
            one.offer(CHAT, Candidate(each), "beacon", now)
        now = ask_all(one, now, lambda key: {CHAT: None} if key in honest else {}) + 1
    assert {peer.endpoint_id for peer in one.peers(CHAT)} == set(honest)


@pytest.mark.parametrize("seed", range(3))
def test_all_of_an_honest_swarm_is_found(seed):
    one = Swarm(ME, random.Random(seed).randrange)
    one.set_topics((CHAT,))
    everybody = ids(40)
    for each in everybody:
        one.offer(CHAT, Candidate(each), "beacon", 0.0)
    ask_all(one, 0.0, lambda _: {CHAT: APP})
    assert {peer.endpoint_id for peer in one.peers(CHAT)} == set(everybody)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["offer", "take", "prove", "fail", "meet", "topics"]),
            st.integers(0, 9),
            st.sampled_from([CHAT, GAME]),
            st.floats(0, 400),
        ),
        max_size=60,
    )
)
def test_whatever_happens_tables_and_timers_hold(steps):
    one = swarm(CHAT, GAME)
    everybody = ids(10)
    asking: list = []
    now = 0.0
    for what, number, topic, pause in steps:
        now += pause
        who = everybody[number]
        match what:
            case "offer":
                one.offer(topic, Candidate(who), "a" if number % 2 else "b", now)
            case "take":
                if (check := one.take(now)) is not None:
                    assert check.candidate.key not in asking
                    asking.append(check.candidate.key)
            case "prove" if asking:
                key = asking.pop()
                one.proved(key, key, {topic: None}, now)
            case "fail" if asking:
                one.failed(asking.pop(), now)
            case "meet":
                one.met(who, {topic: None}, now)
            case "topics":
                one.set_topics((CHAT, GAME) if number % 2 else (topic,))
        waiting, in_flight, alone = one.statistics
        assert in_flight == len(asking)
        assert waiting <= 2 * 10 + 10
        assert alone <= 10
        timer = one.get_timer(now)
        assert timer is None or timer > now - TOPIC_RECHECK_SECONDS * 40
