"""When we announce, ask and answer: soon, seldom, and never more than is bounded."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from resolver.discovery.lan_messages import Kind, parse
from resolver.discovery.lan_talk import LanTalk
from resolver.limits import (
    LAN_ANNOUNCE_SECONDS,
    LAN_ANNOUNCE_TIMES,
    LAN_ANSWERS_PER_SECOND,
    LAN_ANSWERS_PER_SOURCE,
    LAN_NEWCOMER_GAP,
    LAN_NEWCOMER_SECONDS,
    LAN_QUESTION_TIMES,
    LAN_QUESTIONS_BURST,
    LAN_QUESTIONS_PER_SECOND,
    LAN_SEARCHES,
    LAN_SOURCES,
)
from tests.lab.resolver_keys import key, packet
from tunnels.addresses import Address

OWN = key(1).endpoint_id
WANTED = key(2).endpoint_id
PACKET = packet(1).to_bytes()
ASKER = Address(IPv4Address("192.168.1.9"), 40000)


def talk(*, packet: bytes = PACKET, chance: float = 0.0) -> LanTalk:
    made = LanTalk(lambda: chance)
    made.set_packet(packet, 0.0)
    return made


def run(machine: LanTalk, until: float, begin: float = 0.0) -> list[tuple[float, Kind]]:
    """What goes out, and when, driven by its own timer."""
    sent, now = [], begin
    while True:
        due = machine.get_timer()
        if due is None or due > until:
            return sent
        now = max(now, due)
        sent += [(now, parse(out.datagram).kind) for out in machine.datagrams_to_send(now)]


def test_we_announce_a_few_times_and_then_seldom():
    sent = run(talk(), 3 * LAN_ANNOUNCE_SECONDS)
    assert [at for at, _ in sent[:3]] == list(LAN_ANNOUNCE_TIMES)
    assert [at for at, _ in sent[3:]] == [LAN_ANNOUNCE_TIMES[-1] + n * LAN_ANNOUNCE_SECONDS for n in (1, 2)]
    assert {kind for _, kind in sent} == {Kind.ANNOUNCEMENT}


def test_chance_keeps_those_apart_who_came_at_once():
    early, late = run(talk(), 2000), run(talk(chance=0.99), 2000)
    assert all(a != b for (a, _), (b, _) in zip(early, late, strict=False))


def test_the_same_again_is_no_news_and_another_record_is():
    machine = talk()
    run(machine, 10)
    machine.set_packet(PACKET, 10)
    assert run(machine, 20, 10) == []
    machine.set_packet(packet(1, seconds=9).to_bytes(), 20)
    assert len(run(machine, 30, 20)) == len(LAN_ANNOUNCE_TIMES)


def test_who_has_nothing_to_tell_is_silent_but_may_ask():
    machine = talk(packet=b"")
    machine.announce(0)
    machine.met_newcomer(0)
    machine.asked(OWN, OWN, ASKER, 0)
    assert machine.get_timer() is None
    machine.ask(WANTED, 0)
    (out,) = machine.datagrams_to_send(0)
    assert parse(out.datagram).packet == b""
    assert parse(out.datagram).wanted == WANTED


def test_an_endpoint_is_asked_for_thrice_unless_it_was_heard():
    machine = talk(packet=b"")
    machine.ask(WANTED, 0)
    machine.ask(WANTED, 0.1)
    assert run(machine, 100) == [(at, Kind.QUESTION) for at in LAN_QUESTION_TIMES]
    machine.ask(WANTED, 100)
    run(machine, 100, 100)
    machine.stop_asking(WANTED)
    assert run(machine, 200, 100) == []


def test_searches_and_questions_are_bounded():
    machine = talk(packet=b"")
    for number in range(1000):
        machine.ask(key(number + 10).endpoint_id, 0)
    assert repr(machine) == f"<LanTalk, {LAN_SEARCHES} searches>"
    sent = run(machine, 0)
    assert len(sent) == LAN_QUESTIONS_BURST
    more = run(machine, 1)
    assert len(more) <= LAN_QUESTIONS_PER_SECOND + 1


def test_we_answer_who_asks_for_us_with_less_than_he_sent():
    machine = talk()
    run(machine, 10)
    machine.asked(OWN, OWN, ASKER, 10)
    (out,) = machine.datagrams_to_send(10)
    assert out.to == ASKER
    assert parse(out.datagram).packet == PACKET
    assert parse(out.datagram).kind is Kind.ANSWER
    machine.asked(WANTED, OWN, ASKER, 10)
    assert machine.datagrams_to_send(10) == [], "we do not answer for others"


def test_one_asker_is_not_answered_without_end():
    machine = talk()
    run(machine, 10)
    for _ in range(1000):
        machine.asked(OWN, OWN, ASKER, 10)
    assert len(machine.datagrams_to_send(10)) == 2 * LAN_ANSWERS_PER_SOURCE


def test_askers_under_ten_thousand_addresses_get_no_more_answers_than_the_bound():
    machine = talk()
    run(machine, 10)
    answers = 0
    for number in range(10_000):
        now = 10 + number / 10_000
        machine.asked(OWN, OWN, Address(IPv4Address(0x0A000000 + number), 5000), now)
        answers += len(machine.datagrams_to_send(now))
    assert LAN_ANSWERS_PER_SECOND <= answers <= 2 * LAN_ANSWERS_PER_SECOND
    assert len(machine._askers) == LAN_SOURCES


def test_newcomers_are_told_of_us_soon_and_all_at_once():
    machine = talk(chance=0.5)
    run(machine, 10)
    for _ in range(1000):
        machine.met_newcomer(10)
    assert run(machine, 20, 10) == [(10 + LAN_NEWCOMER_SECONDS / 2, Kind.ANNOUNCEMENT)]


def test_strangers_without_end_make_us_announce_at_most_so_often():
    machine = talk()
    run(machine, 10)
    sent, now = 0, 10.0
    while now < 110:
        machine.met_newcomer(now)
        sent += len(machine.datagrams_to_send(now))
        now += 0.01
    assert sent <= 100 / LAN_NEWCOMER_GAP + 1


def test_after_the_farewell_nothing_follows():
    machine = talk()
    machine.ask(WANTED, 0)
    machine.asked(OWN, OWN, ASKER, 0)
    last = machine.farewell(packet(1, seconds=0).to_bytes())
    assert last.to is None
    assert parse(last.datagram).kind is Kind.ANNOUNCEMENT
    assert machine.get_timer() is None
    assert machine.datagrams_to_send(1000) == []


@pytest.mark.parametrize("gap", [0.0, 1.0])
def test_newcomers_delay_no_announcement_that_is_planned(gap):
    machine = talk()
    machine.met_newcomer(gap)
    assert [at for at, _ in run(machine, 10)] == sorted({*LAN_ANNOUNCE_TIMES})


def test_a_record_that_is_only_renewed_is_announced_once():
    machine = talk()
    run(machine, 10)
    machine.set_packet(packet(1, seconds=9).to_bytes(), 20, is_news=False)
    assert run(machine, 200, 20) == [(20, Kind.ANNOUNCEMENT)]


def test_a_renewal_delays_no_announcement_that_is_planned():
    machine = talk()
    machine.set_packet(packet(1, seconds=9).to_bytes(), 0.5, is_news=False)
    assert [at for at, _ in run(machine, 100)] == list(LAN_ANNOUNCE_TIMES)
