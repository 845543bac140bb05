"""What strategies share: the messages of most, questions to STUN servers, and the pace of knocks."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from math import inf

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.crossings import setting_of
from tunnels import limits as tunnel_limits
from tunnels.addresses import Address
from tunnels.crossing import limits
from tunnels.crossing.description import Description, Pair
from tunnels.crossing.strategy import Ask, Attempt, Pacer, Ready, Sampling, Shot
from tunnels.errors import ProtocolViolation
from tunnels.nat import limits as nat_limits
from tunnels.nat.behavior import Behavior
from tunnels.nat.levels import Levels

PLACE, OTHER = Address.parse("192.0.2.1:7777"), Address.parse("[2001:db8::1]:7777")
SERVER, SECOND = Address.parse("198.51.100.1:3478"), Address.parse("198.51.101.1:3478")


def test_a_word_comes_back_as_it_was():
    word = Ready.at([PLACE, OTHER], round=2, is_open=True)
    assert Ready.decode(word.encode()) == word
    assert word.addresses() == (PLACE, OTHER)


def test_as_many_places_are_told_as_fit():
    places = [Address(OTHER.ip, 1024 + number) for number in range(limits.READY_PLACES + 5)]
    word = Ready.at(places)
    assert word.addresses() == tuple(places[: limits.READY_PLACES])
    ipv4 = Ready.at([Address(PLACE.ip, 65535)] * limits.READY_PLACES, round=255, is_open=True)
    assert len(ipv4.encode()) <= limits.READY_BYTES


@pytest.mark.parametrize(
    ("outermost", "ttl"),
    [
        (None, tunnel_limits.OPENER_TTL),
        (0, limits.OPENER_TTL_LEAST),
        (1, 2),
        (3, 4),
        (60, limits.OPENER_TTL_MOST),
    ],
)
def test_an_opener_gets_one_router_beyond_our_outermost_nat_where_that_is_known(outermost, ttl):
    mine = Description(Behavior(levels=Levels(1, outermost, outermost)))
    setting = setting_of(Pair(mine, Description()), (PLACE,))
    assert setting.opener_ttl == ttl
    again = 3 if outermost is None else tunnel_limits.OPENER_TTL  # a router on the way may have hidden
    assert replace(setting, times=1).opener_ttl == again


def test_what_an_older_version_does_not_tell_is_as_if_there_was_one_round():
    assert Ready.decode(msgspec.msgpack.encode([[]])) == Ready()


@pytest.mark.parametrize(
    "told",
    [
        [[[b"\x01\x02\x03\x04", 0]]],
        [[[b"\x01\x02\x03\x04", 65536]]],
        [[[bytes(17), 1]]],
        [[[b"\x01\x02\x03\x04", 1]] * (limits.READY_PLACES + 1)],
        [[], 256],
        [[], -1],
        [[], 1, 1],
        {},
        None,
    ],
    ids=str,
)
def test_what_makes_no_sense_is_the_peers_fault(told):
    with pytest.raises(ProtocolViolation):
        Ready.decode(msgspec.msgpack.encode(told))


def test_a_place_that_is_none_is_left_out():
    assert Ready(((b"\x01\x02", 5), (PLACE.ip.packed, 5))).addresses() == (Address(PLACE.ip, 5),)


@given(st.binary(max_size=limits.READY_BYTES))
def test_no_bytes_do_anything_else(payload):
    with suppress(ProtocolViolation):
        Ready.decode(payload).addresses()


# --- questions ----------------------------------------------------------------------------------------------


def test_a_question_is_asked_again_until_it_is_answered():
    sampling = Sampling()
    assert sampling.ask(1, SERVER, 0.0) == Ask(1, SERVER)
    assert sampling.ask(2, SERVER, 0.0) == Ask(2, SERVER)
    assert sampling.due == nat_limits.STUN_RESEND
    assert sampling.again(0.05) == []
    sampling.seen(1, SERVER, PLACE)
    assert not sampling.is_complete
    assert sampling.again(0.1) == [Ask(2, SERVER)]
    sampling.seen(2, SERVER, OTHER)
    assert sampling.is_complete
    assert sampling.due == inf
    assert sampling.again(9.0) == []


def test_a_question_that_nobody_answers_is_given_up():
    sampling = Sampling()
    asked = [sampling.ask(1, SERVER, 0.0)]
    while sampling.due < inf:
        asked += sampling.again(sampling.due)
    assert asked == [Ask(1, SERVER)] * limits.SAMPLING_SENDS
    assert not sampling.is_complete


def test_the_answer_to_the_last_question_is_waited_for():
    """A round trip to a server may be longer than all three questions take."""
    sampling = Sampling()
    sampling.ask(1, SERVER, 0.0)
    for number in range(1, limits.SAMPLING_SENDS):
        sampling.again(number * nat_limits.STUN_RESEND)
    assert sampling.due == (limits.SAMPLING_SENDS - 1) * nat_limits.STUN_RESEND + limits.SAMPLING_WAIT
    sampling.seen(1, SERVER, PLACE)
    assert sampling.due == inf


def test_the_first_answer_counts_and_only_to_what_was_asked():
    sampling = Sampling()
    sampling.ask(1, SERVER, 0.0)
    sampling.seen(1, SECOND, OTHER)
    sampling.seen(2, SERVER, OTHER)
    assert sampling.answers == {}
    sampling.seen(1, SERVER, PLACE)
    sampling.seen(1, SERVER, OTHER)
    assert sampling.answers == {(1, SERVER): PLACE}


# --- the pace -----------------------------------------------------------------------------------------------


def test_a_pacer_lets_so_many_through_in_a_second():
    pacer, now, taken = Pacer(100, 5, 0.0), 0.0, 0
    while now < 1.0:
        taken += pacer.take(now)
        assert pacer.due > now
        now = pacer.due
    assert taken == pytest.approx(100, abs=1)


def test_who_comes_late_gets_no_more_than_a_burst_at_once():
    pacer = Pacer(100, 5, 0.0)
    assert pacer.take(3.0) == 5
    assert pacer.take(3.0) == 0
    assert pacer.take(3.021) == 2


# --- attempts -----------------------------------------------------------------------------------------------


def test_an_attempt_gives_what_is_to_be_done_once():
    attempt = Attempt(setting_of(Pair(), (PLACE,)))
    attempt.do(Shot(0, PLACE), Ask(1, SERVER))
    assert attempt.take() == [Shot(0, PLACE), Ask(1, SERVER)]
    assert attempt.take() == []
    assert attempt.due == inf


def test_the_peers_ips_are_those_it_describes_else_those_of_its_candidates():
    described = Pair(theirs=Description(Behavior(external_ips=(OTHER.ip,))))
    assert setting_of(described, (PLACE,)).peer_ips == (OTHER.ip,)
    assert setting_of(Pair(), (PLACE, PLACE, OTHER)).peer_ips == (PLACE.ip, OTHER.ip)
