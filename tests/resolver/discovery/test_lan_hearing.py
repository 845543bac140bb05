"""Who was heard: verified, bounded, not pushed out by strangers, not brought back by what they said before."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.discovery.lan_hearing import Heard, Hearing
from resolver.discovery.lan_messages import claimed_id
from resolver.limits import (
    LAN_HEARD_SECONDS,
    LAN_SOURCES,
    LAN_STRANGERS,
    LAN_VERIFIED_BURST,
    LAN_VERIFIED_PER_SECOND,
    LAN_VERIFIED_PER_SOURCE,
    LAN_WANTED_PER_SECOND,
)
from tests.lab.crowds import crowd
from tests.lab.resolver_keys import NOW, key, local_packet

OWN = key(1).endpoint_id
SOURCE = IPv4Address("192.168.1.9")
CONTACT = key(7).endpoint_id


def heard_by(*contacts: int) -> Heard:
    known = {key(number).endpoint_id for number in contacts}
    return Heard(OWN, known.__contains__)


def hear(
    heard: Heard, number: int = 2, *, now: float = 0.0, source=None, is_wanted=False, **arguments
) -> Hearing:
    data = local_packet(number, **arguments).to_bytes()
    return heard.hear(data, source, now, NOW + now, is_wanted=is_wanted)


def names(heard: Heard, now: float = 0.0) -> set:
    return {each.endpoint_id for each in heard.packets(now, NOW + now)}


def test_a_record_is_kept_as_it_was_signed():
    heard = heard_by()
    assert hear(heard) is Hearing.NEW
    assert heard.get(key(2).endpoint_id, 0, NOW) == local_packet(2)
    assert len(heard) == 1
    assert repr(heard) == "<Heard 1 endpoints>"


def test_the_newest_counts_in_whatever_order_they_come():
    heard = heard_by()
    assert hear(heard, signed_at=NOW + 5) is Hearing.NEW
    assert hear(heard, signed_at=NOW) is Hearing.OLDER
    assert hear(heard, signed_at=NOW + 5) is Hearing.KNOWN
    assert hear(heard, signed_at=NOW + 9) is Hearing.NEWER
    assert heard.get(key(2).endpoint_id, 0, NOW).timestamp == int((NOW + 9) * 1e6)


def test_our_own_words_come_back_and_are_not_heard():
    assert hear(heard_by(), 1) is Hearing.OWN


def test_a_forged_packet_is_refused_and_changes_nothing():
    heard = heard_by(2)
    hear(heard)
    data = bytearray(local_packet(2, signed_at=NOW + 50, addresses=("203.0.113.66:1",)).to_bytes())
    data[40] ^= 1
    assert heard.hear(bytes(data), SOURCE, 0, NOW) is Hearing.REFUSED
    stolen = local_packet(3, signed_at=NOW + 50).to_bytes()
    assert heard.hear(key(2).endpoint_id.key + stolen[32:], SOURCE, 0, NOW) is Hearing.REFUSED
    assert heard.get(key(2).endpoint_id, 0, NOW) == local_packet(2)
    assert heard.refused == 2


def test_what_has_expired_is_not_heard_and_what_expires_is_forgotten():
    heard = heard_by()
    assert hear(heard, signed_at=NOW - 7200) is Hearing.REFUSED
    assert hear(heard, seconds=100) is Hearing.NEW
    assert names(heard, 99) == {key(2).endpoint_id}
    assert heard.get(key(2).endpoint_id, 100, NOW + 100) is None
    assert names(heard, 100) == set()
    assert len(heard) == 0
    assert heard.hear(local_packet(2, seconds=100).to_bytes(), SOURCE, 100, NOW + 100) is Hearing.REFUSED


def test_who_falls_silent_is_forgotten_before_its_record_expires():
    heard = heard_by()
    hear(heard, seconds=10**6)
    hear(heard, seconds=10**6, now=1000.0)
    assert names(heard, 1000 + LAN_HEARD_SECONDS - 1) == {key(2).endpoint_id}
    assert names(heard, 1000 + LAN_HEARD_SECONDS) == set()


def test_a_goodbye_that_its_owner_signed_cannot_be_undone_by_what_it_said_before():
    heard = heard_by()
    hear(heard)
    assert hear(heard, signed_at=NOW + 5, seconds=-5) is Hearing.GONE
    assert heard.get(key(2).endpoint_id, 0, NOW) is None
    assert hear(heard) is Hearing.OLDER, "a replay"
    assert hear(heard, signed_at=NOW + 5, seconds=-5) is Hearing.KNOWN
    assert names(heard) == set()
    assert names(heard, LAN_HEARD_SECONDS / 4) == set()
    assert hear(heard, now=LAN_HEARD_SECONDS / 4) is Hearing.OLDER
    assert hear(heard, signed_at=NOW + 6) is Hearing.NEW, "it is back"
    assert names(heard) == {key(2).endpoint_id}


def test_a_goodbye_of_somebody_unknown_leaves_nothing():
    heard = heard_by()
    assert hear(heard, seconds=0) is Hearing.REFUSED
    assert len(heard) == 0


def test_what_somebody_says_of_another_is_undone_by_its_next_word():
    heard = heard_by()
    hear(heard)
    assert heard.left(key(2).endpoint_id)
    assert not heard.left(key(2).endpoint_id)
    assert heard.get(key(2).endpoint_id, 0, NOW) is None
    assert hear(heard) is Hearing.NEW
    assert heard.left(key(2).endpoint_id)
    assert hear(heard, signed_at=NOW + 5, seconds=-5) is Hearing.GONE, "it left indeed"
    assert hear(heard) is Hearing.OLDER


def test_ten_thousand_strangers_fill_the_table_and_push_no_contact_out():
    heard = heard_by(7)
    hear(heard, 7)
    strangers = crowd(10_000)
    for number, data in enumerate(strangers):
        assert heard.hear(data, None, number / LAN_VERIFIED_PER_SECOND, NOW) is Hearing.NEW
    assert len(heard) == LAN_STRANGERS + 1
    assert CONTACT in names(heard)
    assert claimed_id(strangers[-LAN_STRANGERS]) in names(heard)
    assert claimed_id(strangers[-LAN_STRANGERS - 1]) not in names(heard), "who was silent longest went first"


def test_a_stranger_who_became_a_contact_is_not_pushed_out():
    known = set()
    heard = Heard(OWN, known.__contains__)
    hear(heard, 7)
    known.add(CONTACT)
    for number in range(100, 100 + LAN_STRANGERS + 20):
        hear(heard, number, now=number * 0.1)
    assert CONTACT in names(heard, 80)


def test_a_flood_is_looked_at_so_often_and_contacts_and_the_wanted_are_heard_all_the_same():
    heard = heard_by(7)
    for number in range(int(LAN_VERIFIED_BURST)):
        assert hear(heard, 1000 + number) is Hearing.NEW
    assert hear(heard, 5000) is Hearing.DROPPED
    assert heard.dropped == 1
    assert hear(heard, 7) is Hearing.NEW
    assert hear(heard, 5001, is_wanted=True) is Hearing.NEW
    assert hear(heard, 5000, now=1.0) is Hearing.NEW


def test_forgeries_in_a_contacts_name_are_bounded_too():
    heard = heard_by(7)
    forged = bytearray(local_packet(7).to_bytes())
    for number in range(int(LAN_WANTED_PER_SECOND)):
        forged[-1] = 100 + number
        assert heard.hear(bytes(forged), None, 0, NOW) is Hearing.REFUSED
    assert hear(heard, 7) is Hearing.DROPPED
    assert hear(heard, 7, now=1.0) is Hearing.NEW


def test_one_source_has_its_share_only():
    heard = heard_by()
    for number in range(int(LAN_VERIFIED_PER_SOURCE)):
        assert hear(heard, 1000 + number, source=SOURCE) is Hearing.NEW
    assert hear(heard, 5000, source=SOURCE) is Hearing.DROPPED
    assert hear(heard, 5000, source=IPv4Address("192.168.1.10")) is Hearing.NEW


def test_what_is_known_already_costs_nothing():
    heard = heard_by()
    hear(heard)
    for _ in range(10_000):
        assert hear_again(heard) is Hearing.KNOWN
    assert hear(heard, 3) is Hearing.NEW


DATA = local_packet(2).to_bytes()


def hear_again(heard: Heard) -> Hearing:
    return heard.hear(DATA, SOURCE, 0.0, NOW)


def test_sources_that_are_counted_are_bounded():
    heard = heard_by()
    for number in range(3 * LAN_SOURCES):
        heard.hear(b"x" * 200, IPv4Address(number), 0.0, NOW)
    assert len(heard._sources) == LAN_SOURCES


@given(st.binary(min_size=104, max_size=1104))
def test_no_bytes_raise_anything(data):
    heard = heard_by()
    assert heard.hear(data, SOURCE, 0, NOW) in (Hearing.REFUSED, Hearing.OWN)


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_a_changed_byte_is_never_believed(at, change):
    data = bytearray(DATA)
    data[at] ^= change
    heard = heard_by()
    assert heard.hear(bytes(data), SOURCE, 0, NOW) is Hearing.REFUSED
    assert names(heard) == set()


@pytest.mark.parametrize("number", [2, 7])
def test_when_it_was_heard_last_is_known(number):
    heard = heard_by(7)
    assert heard.heard_at(key(number).endpoint_id) is None
    hear(heard, number)
    hear(heard, number, now=3.0)
    assert heard.heard_at(key(number).endpoint_id) == 3.0
