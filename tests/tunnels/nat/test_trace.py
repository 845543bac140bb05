"""The way to a server, asked for hop by hop, on a virtual clock."""

from __future__ import annotations

from ipaddress import IPv4Address
from random import Random

import pytest

from tunnels.addresses import Address
from tunnels.nat import limits, stun
from tunnels.nat.stun import Class, Method
from tunnels.nat.trace import Trace

SERVER = Address.parse("198.51.100.1:3478")
OURS, SHARED, BEYOND = map(IPv4Address, ("192.168.1.1", "100.64.0.1", "62.1.1.1"))


def answer_to(request: bytes) -> bytes:
    return stun.encode(
        Method.BINDING, Class.RESPONSE, request[8:20], {"XOR-MAPPED-ADDRESS": Address.parse("203.0.113.9:5")}
    )


def run(
    way: list[IPv4Address | None], *, lost: int = 0, server_at: int | None = None
) -> tuple[Trace, float, int]:
    """A trace of a way on which None says nothing; the first `lost` datagrams are lost. With the seconds and the datagrams."""
    trace = Trace(SERVER, chance=Random(1).randbytes)
    now, sent = 10.0, 0
    trace.start(now)
    while not trace.is_over:
        for probe in trace.datagrams_to_send(now):
            sent += 1
            assert probe.to == SERVER
            assert probe.ttl == probe.socket + 1
            if sent <= lost:
                continue
            if server_at is not None and probe.ttl >= server_at:
                assert trace.is_over or trace.receive(probe.socket, answer_to(probe.datagram), SERVER, now)
            elif probe.ttl <= len(way) and (hop := way[probe.ttl - 1]) is not None:
                trace.hop_told(probe.socket, hop, now)
        timer = trace.get_timer()
        if timer is not None:
            now = max(now, timer)
    return trace, now - 10.0, sent


def test_it_ends_at_once_where_all_is_known():
    trace, seconds, sent = run([OURS, SHARED, BEYOND, None, None, None])
    assert trace.hops == (OURS, SHARED, BEYOND)
    assert seconds == 0
    assert sent == limits.TRACE_WAVE


def test_a_silent_router_is_asked_once_more_and_then_left_out():
    trace, seconds, sent = run([OURS, None, BEYOND])
    assert trace.hops == (OURS, None, BEYOND)
    assert seconds == pytest.approx(2 * limits.TRACE_WAIT)
    assert sent == limits.TRACE_WAVE + 1


def test_what_is_lost_is_sent_again():
    assert run([OURS, SHARED, BEYOND], lost=3)[0].hops == (OURS, SHARED, BEYOND)


def test_a_server_that_is_near_is_the_end_of_the_way():
    trace, seconds, _ = run([OURS], server_at=2)
    assert trace.hops == (OURS, SERVER.ip)
    assert seconds == 0
    assert run([], server_at=1)[0].hops == (SERVER.ip,)


def test_a_long_way_is_followed_within_bounds():
    trace, seconds, sent = run([IPv4Address(f"10.0.0.{at}") for at in range(1, 30)])
    assert len(trace.hops) == limits.TRACE_MOST
    assert sent == limits.TRACE_MOST
    assert seconds <= 4 * limits.TRACE_WAIT


def test_where_nobody_says_anything_it_gives_up_soon():
    trace, seconds, sent = run([])
    assert trace.hops == ()
    assert sent == 2 * limits.TRACE_WAVE
    assert seconds == pytest.approx(2 * limits.TRACE_WAIT)


def test_half_a_way_at_worst_takes_less_than_the_burst():
    _, seconds, sent = run([OURS, None, SHARED, None, OURS, None, None, None])
    assert seconds <= 4 * limits.TRACE_WAIT < 1
    assert sent <= 2 * limits.TRACE_MOST


def test_others_answers_are_passed_over():
    trace = Trace(SERVER, chance=Random(1).randbytes)
    trace.start(0.0)
    first = trace.datagrams_to_send(0.0)[0]
    assert not trace.receive(0, answer_to(first.datagram), Address(SERVER.ip, 5), 0.0)
    assert not trace.receive(1, answer_to(first.datagram), SERVER, 0.0)
    assert not trace.receive(0, first.datagram, SERVER, 0.0)
    assert not trace.receive(0, b"junk", SERVER, 0.0)
    trace.hop_told(77, OURS, 0.0)
    assert trace.hops == ()


def test_nobody_to_ask_is_over_at_once():
    trace = Trace(None, chance=Random(1).randbytes)
    assert trace.is_over
    assert trace.servers == ()
    assert trace.get_timer() is None
