"""TCP simultaneous open by two courses: both ends in step, no more tries than go to a peer's word, none to who is nobody's business."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import pytest

from tunnels import limits as tunnel_limits
from tunnels.addresses import Address
from tunnels.crossing import limits
from tunnels.crossing.budget import Budget
from tunnels.crossing.course import Course, Do, Release, Tell, View
from tunnels.crossing.description import Description, Pair
from tunnels.crossing.history import History
from tunnels.crossing.strategies import relay, tcp_open
from tunnels.crossing.strategy import AskTcp, ConnectTcp, Cost

BLOCKED = Description(udp_blocked=True)
ALICE, BOB = Address.parse("203.0.113.7:40000"), Address.parse("198.51.100.9:50000")


class End:
    def __init__(self, *, is_client: bool, sees: Address | None, strategy=tcp_open.STRATEGY) -> None:
        self.sees = sees
        self.connects: list[Address] = []
        self.released: list[int] = []
        self.view = View(Pair(BLOCKED, BLOCKED), round_trip=0.1)
        self.course = Course(
            is_client=is_client,
            budget=Budget(),
            history=History(),
            random=Random(1),
            prove=lambda *_: False,
            note=lambda *_: None,
            strategies=(strategy, relay.STRATEGY),
        )
        self.peer: End


def two(**ends) -> tuple[End, End]:
    client = End(is_client=True, **{"sees": ALICE} | ends)
    server = End(is_client=False, **{"sees": BOB} | {key: ends[key] for key in ends if key != "sees"})
    client.peer, server.peer = server, client
    return client, server


def run(ends: tuple[End, End], until: float) -> None:
    """Messages and answers take no time."""
    now = 100.0
    for end in ends:
        end.course.look(end.view, now)
    while True:
        busy = True
        while busy:
            busy = False
            for end in ends:
                busy |= do(end, now)
        now = max(min(end.course.due for end in ends), now + 0.001)
        if now > until:
            return
        for end in ends:
            if end.course.due <= now:
                end.course.handle_timer(now)


def do(end: End, now: float) -> bool:
    deeds = end.course.take()
    for deed in deeds:
        match deed:
            case Tell():
                end.peer.course.told(deed.cross, now)
            case Do(attempt, AskTcp(socket)):
                end.course.tcp_seen(attempt, socket, end.sees, 0, now)
            case Do(_, ConnectTcp(_, to)):
                end.connects.append(to)
            case Release():
                end.released.append(deed.attempt)
    return bool(deeds)


def test_each_connects_to_where_the_others_beacon_sees_it():
    client, server = two()
    run((client, server), 100.5)
    assert set(client.connects) == {BOB}
    assert set(server.connects) == {ALICE}
    assert client.course.trying == server.course.trying == tcp_open.STRATEGY.name


def test_to_a_peers_word_alone_go_few_tries_and_then_it_is_over():
    client, server = two()
    run((client, server), 100.0 + tunnel_limits.TCP_OPEN_SECONDS + limits.CROSS_BACKOFF[0] / 2)
    for end in (client, server):
        assert 20 <= len(end.connects) <= limits.CROSS_UNPROVEN
        assert end.released == [1]


def test_a_path_that_works_ends_it():
    client, server = two()
    run((client, server), 100.5)
    for end in (client, server):
        end.course.look(replace(end.view, is_direct=True), 101.0)
        do(end, 101.0)
        assert end.released == [1]
        assert end.course.trying == ""


def test_without_a_beacon_that_tells_it_is_over_at_both_ends():
    client, server = two(sees=None)
    run((client, server), 100.5)
    assert client.connects == server.connects == []
    assert client.released == [1]
    assert client.course.trying == server.course.trying == ""


def test_an_answer_for_an_attempt_that_is_over_is_nobodys():
    client, server = two()
    run((client, server), 100.5)
    client.course.tcp_seen(99, 1, None, 0, 100.6)
    assert client.course.take() == []
    assert client.course.trying == tcp_open.STRATEGY.name


@dataclass
class Careless(tcp_open.TcpOpen):
    """A strategy that connects wherever it is told to."""

    to: Address = BOB

    def cost(self, pair: Pair) -> Cost:
        return replace(super().cost(pair), datagrams=10_000)

    def attempt(self, setting):
        attempt = super().attempt(setting)
        attempt.peer_ready = lambda *_: attempt.do(*[ConnectTcp(1, self.to)] * 1000)
        return attempt


@pytest.mark.parametrize(
    ("to", "most"),
    [("198.51.100.9:50000", limits.CROSS_UNPROVEN), ("127.0.0.1:5000", 0), ("224.0.0.1:5000", 0)],
)
def test_the_course_holds_every_strategy_to_that(to, most):
    client, server = two(strategy=Careless(to=Address.parse(to)))
    run((client, server), 100.5)
    assert len(client.connects) == most
