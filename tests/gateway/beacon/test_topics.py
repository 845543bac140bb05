"""Who is told of whom: bounds that are filled, and answers that thousands of made-up ids do not own."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from gateway.beacon.limits import BEACON_TOPIC_ENTRIES, BEACON_TOPIC_MEMBERS, BEACON_TOPIC_PER_ADDRESS
from gateway.beacon.topics import TopicTable
from tunnels.identity import EndpointId
from tunnels.limits import RELAY_TOPIC_PEERS, RELAY_TOPICS

CHAT, GAME = b"c" * 20, b"g" * 20


def ids(count: int, kind: int = 0) -> list[EndpointId]:
    return [EndpointId(bytes([kind]) + number.to_bytes(31)) for number in range(count)]


def table(**bounds: int) -> TopicTable:
    return TopicTable(random.Random(7).randrange, **bounds)


def test_those_in_a_topic_are_told_of_each_other_and_nobody_of_itself():
    a, b, c = ids(3)
    topics = table()
    assert topics.join(a, "192.0.2.1", (CHAT, GAME)) == (CHAT, GAME)
    assert topics.join(b, "192.0.2.2", (CHAT,)) == (CHAT,)
    assert topics.sample(CHAT, a) == (b,)
    assert set(topics.sample(CHAT, c)) == {a, b}
    assert topics.sample(GAME, b) == (a,)
    assert topics.sample(b"x" * 20, a) == ()


def test_what_is_said_anew_counts_alone_and_who_leaves_is_told_of_no_more():
    a, b = ids(2)
    topics = table()
    topics.join(a, "192.0.2.1", (CHAT, GAME))
    topics.join(a, "192.0.2.9", (GAME,))
    assert (topics.sample(CHAT, b), topics.sample(GAME, b)) == ((), (a,))
    assert list(topics.all()) == [(GAME, a)]
    assert topics.leave(a) == (GAME,)
    assert (topics.entries, len(topics)) == (0, 0)
    assert topics.leave(a) == ()


def test_one_endpoint_is_in_a_few_topics_only():
    (a,) = ids(1)
    topics = table()
    wanted = [number.to_bytes(20) for number in range(RELAY_TOPICS + 5)]
    assert topics.join(a, None, wanted) == tuple(wanted[:RELAY_TOPICS])
    assert topics.entries == RELAY_TOPICS


def test_an_address_has_few_places_in_a_topic_whatever_ids_it_makes_up():
    topics = table()
    kept = [topics.join(each, "192.0.2.1", (CHAT,)) for each in ids(5000)]
    assert sum(map(len, kept)) == topics.entries == BEACON_TOPIC_PER_ADDRESS
    assert topics.join(ids(1, 9)[0], "192.0.2.2", (CHAT,)) == (CHAT,)


def test_who_comes_from_addresses_of_their_own_is_told_before_the_crowd_of_one_address():
    honest = ids(10, 9)
    topics = table()
    for each in ids(BEACON_TOPIC_PER_ADDRESS):
        topics.join(each, "192.0.2.66", (CHAT,))
    for number, each in enumerate(honest):
        topics.join(each, f"198.51.100.{number}", (CHAT,))
    told = topics.sample(CHAT, ids(1, 8)[0])
    assert len(told) == RELAY_TOPIC_PEERS
    assert set(honest) < set(told)


def test_a_full_topic_stays_open_and_neither_the_first_nor_the_last_own_it():
    topics = table()
    first, last = ids(BEACON_TOPIC_MEMBERS), ids(BEACON_TOPIC_MEMBERS, 1)
    for each in first:
        topics.join(each, None, (CHAT,))
    for each in last:
        assert topics.join(each, None, (CHAT,)) == (CHAT,)
    assert topics.entries == BEACON_TOPIC_MEMBERS
    here = {member for _, member in topics.all()}
    assert len(here) == BEACON_TOPIC_MEMBERS
    left = len(here & set(first)) / BEACON_TOPIC_MEMBERS  # 1/e of them, after as many came
    assert 0.25 < left < 0.5


def test_the_whole_table_has_a_bound_and_then_nobody_new_has_a_place():
    assert BEACON_TOPIC_ENTRIES >= 100_000
    topics = table(entries=100)
    for number, each in enumerate(ids(7)):
        topics.join(each, None, [(16 * number + more).to_bytes(20) for more in range(16)])
    assert topics.entries == 100
    (late,) = ids(1, 9)
    assert topics.join(late, None, (CHAT,)) == ()
    topics.leave(ids(7)[0])
    assert topics.join(late, None, (CHAT,)) == (CHAT,)


def test_a_flood_of_topics_leaves_nothing_behind():
    topics = table()
    for number, each in enumerate(ids(2000)):
        topics.join(each, "192.0.2.1", [(number * 16 + more).to_bytes(20) for more in range(16)])
        topics.leave(each)
    assert (topics.entries, len(topics), list(topics.all())) == (0, 0, [])


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.sampled_from([None, "192.0.2.1", "192.0.2.2"]),
            st.lists(st.sampled_from([CHAT, GAME, b"x" * 20]), max_size=4),
        ),
        max_size=40,
    )
)
def test_whatever_is_said_the_counts_are_those_of_what_is_told(steps):
    topics = table(entries=8, members=3, per_address=2)
    everybody = ids(6)
    for number, client, wanted in steps:
        if wanted:
            kept = topics.join(everybody[number], client, wanted)
            assert set(kept) <= set(wanted)
        else:
            topics.leave(everybody[number])
        told = list(topics.all())
        assert topics.entries == len(told) == len(set(told)) <= 8
        for topic in (CHAT, GAME, b"x" * 20):
            here = {member for each, member in told if each == topic}
            assert len(here) <= 3
            assert set(topics.sample(topic, EndpointId(b"z" * 32))) == here
