"""Streams are admitted, counted, held back and ended as the terms say, also those that were open when these changed."""

from __future__ import annotations

import asyncio
import logging

import pytest

from gateway.config.quantities import UNLIMITED
from gateway.traffic import control as control_module
from gateway.traffic.control import LimitReached, Sharing
from gateway.traffic.ledger import UsageKey
from gateway.traffic.limits import LEDGER_STRANGERS
from gateway.traffic.terms import STRANGERS, Terms
from tests.lab.metered import BOB, CAROL
from tests.lab.serving import until
from tunnels.identity import EndpointId

EVE = EndpointId(b"e" * 32)


async def test_where_nothing_is_limited_streams_are_only_looked_at(lab):
    stream = lab.stream()
    assert not stream.gated
    stream.write(5000)
    stream.come(70)
    assert lab.ledger.totals() == {UsageKey(BOB, "web", "sent"): 5000, UsageKey(BOB, "web", "received"): 70}
    stream.write(1)
    stream.abort()
    assert lab.ledger.totals()[UsageKey(BOB, "web", "sent")] == 5001
    assert len(lab.control) == 0


async def test_what_we_use_of_others_is_counted_apart(lab):
    lab.stream(side="used").write(9)
    assert lab.ledger.totals() == {UsageKey(BOB, "web", "sent", "used"): 9}


async def test_a_rate_holds_what_waits_and_lets_it_go_in_time(lab):
    lab.set(contacts__bob=Terms(rate=1_000_000))
    slow, free = lab.stream(BOB), lab.stream(CAROL)
    assert slow.gated
    assert not free.gated
    began = asyncio.get_running_loop().time()
    slow.write(400_000)
    assert slow.waiting["sent"] >= 250_000
    await until(lambda: not slow.waiting["sent"])
    assert 0.25 < asyncio.get_running_loop().time() - began < 2


async def test_a_reload_takes_hold_of_what_is_open_and_lets_go_of_it(lab):
    stream = lab.stream()
    stream.write(10**6)
    lab.set(contacts__bob=Terms(rate=1000))
    assert stream.gated
    stream.write(10**6)
    assert stream.waiting["sent"] > 900_000
    lab.set(contacts__bob=Terms(rate=10**9))
    await until(lambda: not stream.waiting["sent"])
    stream.write(10**9)
    lab.set()
    assert not stream.gated
    assert stream.waiting["sent"] == 0


async def test_a_command_is_stronger_than_the_file_until_it_is_taken_back(lab):
    lab.set(default=Terms(rate=1000))
    stream = lab.stream()
    lab.control.set_terms("default", Terms(rate=UNLIMITED))
    assert not stream.gated
    lab.control.set_terms("default", None)
    assert stream.gated


async def test_a_quota_ends_what_is_open_at_its_last_octet_and_refuses_more(lab, monkeypatch, caplog):
    monkeypatch.setattr(control_module, "LIMIT_FLUSH_SECONDS", 0.01)
    lab.set(contacts__bob=Terms(quota=100_000))
    first, second = lab.stream(), lab.stream()
    other = lab.stream(CAROL)
    with caplog.at_level(logging.WARNING):
        first.write(60_000)
        second.come(60_000)
    assert first.bytes_sent + second.bytes_received == 100_000
    await until(lambda: first.aborted and second.aborted)
    assert not other.aborted
    assert caplog.messages == [
        "bob has used the 100 KB of this month; on 2026-12-01 (UTC) it goes on; connections that end: 2"
    ]
    with pytest.raises(LimitReached, match=r"^you have used the 100 KB of this month; on 2026-12-01 \(UTC\)"):
        lab.stream()
    with pytest.raises(LimitReached, match=r"^bob \(by a limit of your own gateway\) has used"):
        lab.stream(side="used")


async def test_a_new_month_or_a_larger_quota_lets_everybody_in_again(lab, monkeypatch):
    monkeypatch.setattr(control_module, "LIMIT_FLUSH_SECONDS", 0.01)
    lab.set(contacts__bob=Terms(quota=1000))
    stream = lab.stream()
    stream.write(1000)
    lab.set(contacts__bob=Terms(quota=3000))
    await asyncio.sleep(0.03)
    assert not stream.aborted
    stream.write(2000)
    await until(lambda: stream.aborted)
    lab.ledger.begin_month({})
    lab.stream().write(3000)
    lab.ledger.begin_month({UsageKey(BOB, "web", "received"): 3000})
    with pytest.raises(LimitReached):
        lab.stream()


async def test_a_quota_counts_what_was_used_before_it_was_set(lab):
    lab.stream().write(5000)
    lab.set(contacts__bob=Terms(quota=4000))
    with pytest.raises(LimitReached):
        lab.stream()


async def test_connections_are_limited_until_some_end(lab):
    lab.set(contacts__bob=Terms(connections=2), services__web=Terms(connections=3))
    streams = [lab.stream(), lab.stream()]
    with pytest.raises(LimitReached, match="you have 2 connections open, which is the limit"):
        lab.stream()
    lab.stream(CAROL)
    with pytest.raises(LimitReached, match="service web has 3 connections open"):
        lab.stream(CAROL)
    lab.stream(CAROL, "ssh")
    streams[0].abort()
    admission = lab.control.admit(BOB, "web", "served")
    admission.release()
    admission.release()
    lab.set(contacts__bob=Terms(connections=2))
    assert not lab.stream().aborted
    with pytest.raises(LimitReached):
        lab.stream()


async def test_strangers_have_one_limit_together_however_many_ids_they_come_under(lab):
    lab.set(strangers=Terms(connections=5, quota=10**9, rate=10**6))
    for number in range(5):
        lab.stream(EndpointId(number.to_bytes(32)))
    with pytest.raises(LimitReached, match="strangers have 5 connections"):
        lab.stream(EVE)
    lab.stream(BOB)


async def test_a_flood_of_ids_leaves_little_behind(lab):
    lab.set(strangers=Terms(rate=10**9), services__web=Terms(rate=10**9))
    for number in range(3 * LEDGER_STRANGERS):
        stream = lab.stream(EndpointId(number.to_bytes(32)))
        stream.write(1)
        stream.abort()
    assert len(lab.ledger) == LEDGER_STRANGERS + 1
    assert repr(lab.control) == "TrafficControl(0 open, 2 accounts)"
    assert lab.control.account(STRANGERS).used == 3 * LEDGER_STRANGERS


async def test_a_stranger_who_becomes_a_contact_has_the_limits_of_one(lab):
    lab.set(strangers=Terms(rate=1000), contacts__eve=Terms(rate=10**9))
    stream = lab.stream(EVE)
    stream.write(10**6)
    assert stream.waiting["sent"]
    lab.contacts.petnames[EVE] = "eve"
    lab.control.refresh()
    await until(lambda: not stream.waiting["sent"])


async def test_datagrams_beyond_the_rate_are_dropped_and_counted(lab):
    lab.set(contacts__bob=Terms(rate=100_000))
    stream = lab.stream()
    passed = sum(stream.meter.may_send_datagram(1000) for _ in range(200))
    assert 5 <= passed <= 40
    assert lab.control.account(BOB).dropped == 200 - passed
    assert stream.meter.may_receive_datagram(1000)


async def test_datagrams_that_no_quota_has_room_for_end_the_flow(lab, monkeypatch):
    monkeypatch.setattr(control_module, "LIMIT_FLUSH_SECONDS", 0.01)
    lab.set(contacts__bob=Terms(quota=2500))
    stream = lab.stream()
    assert [stream.meter.may_send_datagram(1000) for _ in range(3)] == [True, True, False]
    await until(lambda: stream.aborted)


@pytest.mark.parametrize(("local", "gated"), [("outside", False), ("last", True), ("same", True)])
async def test_the_local_network_is_outside_unless_it_is_said_otherwise(lab, local, gated):
    lab.local = {BOB}
    lab.set(Sharing(up=10**6, local=local))
    near, far = lab.stream(BOB), lab.stream(CAROL)
    assert (near.gated, far.gated) == (gated, True)


async def test_who_leaves_the_local_network_is_noticed(lab, monkeypatch):
    monkeypatch.setattr(control_module, "LOCAL_LOOK_SECONDS", 0.01)
    lab.local = {BOB}
    lab.set(Sharing(down=10**6))
    stream = lab.stream(BOB)
    assert not stream.gated
    lab.local = set()
    await until(lambda: stream.gated)


async def test_two_contacts_share_by_weight(lab):
    lab.set(Sharing(up=4_000_000), contacts__bob=Terms(weight=4))
    bob, carol = lab.stream(BOB), lab.stream(CAROL)
    for stream in (bob, carol):
        stream.write(10**8)
    await asyncio.sleep(0.3)
    before = bob.bytes_sent, carol.bytes_sent
    await until(lambda: bob.bytes_sent + carol.bytes_sent - sum(before) > 3_000_000)
    assert (bob.bytes_sent - before[0]) / (carol.bytes_sent - before[1]) == pytest.approx(4, rel=0.1)


async def test_what_ends_while_it_waits_costs_the_others_nothing(lab):
    lab.set(Sharing(up=1_000_000))
    gone, here = lab.stream(BOB), lab.stream(CAROL)
    gone.write(10**9)
    gone.abort()
    began = asyncio.get_running_loop().time()
    here.write(300_000)
    await until(lambda: not here.waiting["sent"])
    assert asyncio.get_running_loop().time() - began < 2


async def test_what_holds_is_remembered_for_so_many_and_no_more(lab, monkeypatch):
    monkeypatch.setattr(control_module, "TERMS_KNOWN", 3)
    lab.set(services__s7=Terms(connections=1))
    for number in range(20):
        lab.stream(CAROL, f"s{number}")
    assert len(lab.control._known_terms) <= 3
    with pytest.raises(LimitReached):
        lab.stream(CAROL, "s7")
