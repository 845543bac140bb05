"""Knocks at guessed ports: the chances, and what each side does, whatever the other one says."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from math import prod
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.crossings import SERVERS, Home
from tests.lab.tries import CONE, LEFT, RANDOM, RIGHT, block, pair_of
from tunnels import limits as tunnel_limits
from tunnels.addresses import Address
from tunnels.crossing import limits
from tunnels.crossing.birthday import (
    HIGHEST,
    Knocking,
    Opened,
    Terms,
    Waiting,
    chance,
    cost_of,
    draw,
    guess_any,
    is_ours_to_wait,
    looks_of_knocks,
    ports_of,
    rounds,
    sane_ips,
)
from tunnels.crossing.canary import Canary
from tunnels.crossing.description import Description, Pair
from tunnels.crossing.strategy import OWN, Action, Ask, Attempt, Ready, Setting, Shot
from tunnels.errors import ProtocolViolation
from tunnels.nat.behavior import Behavior
from tunnels.paths.candidates import OTHERS_PORTS

TERMS = Terms(sockets=40, knocks=50, per_second=100, seconds=18.0, burst=4, at_once=3)
WAITING = pair_of(Home(RANDOM, LEFT), Home(CONE, RIGHT))
TOLD = Address.parse(f"{RIGHT}:5000")
FRESH = Address.parse(f"{RIGHT}:6000")
ROUND_TRIP = 0.1


def setting(pair: Pair, *targets: Address, servers: tuple[Address, ...] = SERVERS, local_port=lambda _: 0):
    return Setting(pair, targets, servers, ROUND_TRIP, Random(1), is_client=True, local_port=local_port)


def waiting(terms: Terms = TERMS, pair: Pair = WAITING, **how) -> Waiting:
    return Waiting(setting(pair, TOLD, **how), terms)


def knocking(terms: Terms = TERMS, **how) -> Knocking:
    peer = Address.parse(f"{LEFT}:7000")
    return Knocking(setting(WAITING.swapped, peer, **how), terms, guess_any)


def run(attempt: Attempt, until: float) -> list[tuple[float, Shot | Ask]]:
    """What it does up to then."""
    done = [(0.0, action) for action in attempt.take()]
    while attempt.due <= until and not attempt.is_over:
        now = attempt.due
        attempt.handle_timer(now)
        done += [(now, action) for action in attempt.take()]
    return done


def shots(done: list[tuple[float, Shot | Ask]]) -> list[Shot]:
    return [action for _, action in done if isinstance(action, Shot)]


def own_asks(actions: list[Action]) -> list[Action]:
    return [action for action in actions if isinstance(action, Ask) and action.socket == OWN]


# --- chances and ports --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waits", "knocks", "ports"), [(80, 3000, 64512), (64, 280, 4096), (1, 1, 2), (128, 100, 512)]
)
def test_the_chance_is_that_of_drawing_without_putting_back(waits, knocks, ports):
    missed = prod((ports - waits - number) / (ports - number) for number in range(knocks))
    assert chance(waits, knocks, ports) == pytest.approx(1 - missed, rel=1e-6)


@pytest.mark.parametrize(
    ("waits", "knocks", "ports", "found"),
    [(0, 9, 99, 0.0), (9, 0, 99, 0.0), (9, 99, 99, 1.0), (5, 5, 3, 1.0)],
)
def test_chances_have_their_bounds(waits, knocks, ports, found):
    assert chance(waits, knocks, ports) == found


def test_none_is_drawn_twice_and_none_of_a_service():
    drawn = draw(range(1024, 6000), 4976, Random(1))
    assert len(set(drawn)) == len(drawn) == 4976 - sum(1024 <= port < 6000 for port in OTHERS_PORTS)
    assert not OTHERS_PORTS & set(drawn)
    assert len(draw(range(2000, 2010), 5, Random(1))) == 5


def test_ports_of_a_block_are_those_that_a_nat_gives_out():
    assert ports_of((0, 2047)) == range(limits.GUESS_LOWEST, 2048)
    assert ports_of((65000, 99999)) == range(65000, HIGHEST + 1)


def test_only_one_side_waits():
    assert is_ours_to_wait(WAITING) is True
    assert is_ours_to_wait(WAITING.swapped) is False
    assert is_ours_to_wait(pair_of(Home(RANDOM, LEFT), Home(block(512), RIGHT))) is None
    assert is_ours_to_wait(pair_of(Home(RANDOM, LEFT), Home(CONE, LEFT))) is None


def test_ips_that_nobody_may_be_sent_to_are_left_out():
    ips = tuple(map(IPv4Address, ("127.0.0.1", "224.0.0.1", "169.254.169.254", LEFT)))
    theirs = Description(Behavior(external_ips=ips))
    assert sane_ips(setting(Pair(theirs=theirs))) == (IPv4Address(LEFT),)
    assert sane_ips(setting(Pair(), Address.parse("[2001:db8::1]:5000"), TOLD)) == (IPv4Address(RIGHT),)


# --- the side that waits ------------------------------------------------------------------------------------


def test_openers_go_to_where_the_peer_says_it_is_seen():
    attempt = waiting()
    attempt.begin(0.0)
    assert not attempt.take()
    attempt.peer_ready(Ready.at([FRESH]).encode(), 0.1)
    opened = shots(run(attempt, 1.0))
    assert {shot.to for shot in opened} == {FRESH}
    assert {shot.ttl for shot in opened} == {tunnel_limits.OPENER_TTL}
    assert [shot.socket for shot in opened] == list(range(1, 41))
    assert attempt.ready == Opened().encode()


@pytest.mark.parametrize(
    "payload",
    [Ready().encode(), Ready.at([Address.parse("198.51.100.9:6000"), Address.parse(f"{RIGHT}:53")]).encode()],
    ids=["unknown", "elsewhere"],
)
def test_what_was_told_before_is_used_where_it_says_nothing_sane(payload):
    attempt = waiting()
    attempt.begin(0.0)
    attempt.peer_ready(payload, 0.1)
    assert {shot.to for shot in shots(run(attempt, 1.0))} == {TOLD}


def test_a_silent_peer_is_not_waited_for():
    attempt = waiting()
    attempt.begin(0.0)
    done = run(attempt, 1.0)
    assert done[0][0] == pytest.approx(limits.GUESS_PLACE_WAIT + ROUND_TRIP)
    assert {shot.to for shot in shots(done)} == {TOLD}


def test_a_later_word_changes_nothing():
    attempt = waiting()
    attempt.begin(0.0)
    run(attempt, 0.5)
    attempt.peer_ready(Ready.at([FRESH]).encode(), 0.5)
    assert {shot.to for shot in shots(run(attempt, 99.0))} == {TOLD}


def test_each_mapping_is_used_again_before_it_is_forgotten_and_then_it_is_over():
    attempt = waiting()
    attempt.begin(0.0)
    done = run(attempt, 99.0)
    assert attempt.is_over
    assert rounds(TERMS) == 2
    for socket in range(1, 41):
        first, second = [at for at, shot in done if shot.socket == socket]
        assert second - first == pytest.approx(limits.GUESS_OPENERS_EVERY, abs=0.1)
    assert done[-1][0] < TERMS.seconds + 1.0


def test_nothing_is_sent_where_no_place_is_known():
    attempt = Waiting(setting(WAITING), TERMS)
    attempt.begin(0.0)
    assert run(attempt, 99.0) == []
    assert attempt.is_over


def test_only_sockets_of_one_parity_are_opened_where_it_is_kept():
    behavior = WAITING.mine.behavior
    kept = replace(behavior, allocation=replace(behavior.allocation, keeps_parity=True))
    pair = Pair(replace(WAITING.mine, behavior=kept), WAITING.theirs)
    attempt = waiting(pair=pair, local_port=lambda socket: 41000 + socket)
    attempt.begin(0.0)
    opened = shots(run(attempt, 1.0))
    assert [shot.socket for shot in opened] == list(range(1, 80, 2))
    assert attempt.ready == Opened(1).encode()
    assert cost_of(pair, TERMS).sockets == 80
    same = waiting(pair=pair, local_port=lambda socket: 41000 if socket == 1 else 41001)
    same.begin(0.0)
    assert len(shots(run(same, 1.0))) == 1
    assert same.ready == Opened(0).encode()


def test_no_more_wait_than_there_is_room_for_as_far_as_is_known():
    attempt = Waiting(replace(setting(WAITING, TOLD), room=25), TERMS)
    attempt.begin(0.0)
    assert len({shot.socket for shot in shots(run(attempt, 99.0))}) == 25
    assert attempt.ready == Opened().encode()
    assert cost_of(WAITING, TERMS).blind == TERMS.sockets
    assert cost_of(WAITING, replace(TERMS, sockets=200, step=64)).blind == limits.SMALL_SOCKETS
    assert cost_of(WAITING.swapped, TERMS).blind == 0


def test_without_stun_servers_no_more_are_opened_than_any_router_bears():
    terms = replace(TERMS, sockets=200, step=64)
    attempt = waiting(terms, servers=())
    attempt.begin(0.0)
    assert len({shot.socket for shot in shots(run(attempt, 99.0))}) == limits.SMALL_SOCKETS


def test_nor_where_they_are_silent():
    terms = replace(TERMS, sockets=200, step=64)
    attempt = waiting(terms)
    attempt.begin(0.0)
    done = run(attempt, 99.0)
    assert len({shot.socket for shot in shots(done)}) == limits.SMALL_SOCKETS
    assert not attempt.is_cramped
    assert len(done) <= cost_of(WAITING, terms).datagrams


# --- the side that knocks -----------------------------------------------------------------------------------


def test_it_says_where_it_is_seen_as_soon_as_it_knows():
    attempt = knocking()
    attempt.begin(0.0)
    assert own_asks(attempt.take()) == [Ask(OWN, SERVERS[0]), Ask(OWN, SERVERS[1])]
    assert attempt.ready is None
    attempt.seen(OWN, SERVERS[1], FRESH, 0.05)
    assert attempt.ready == Ready.at([FRESH]).encode()


@pytest.mark.parametrize("servers", [SERVERS, ()])
def test_it_says_that_it_does_not_know(servers):
    attempt = knocking(servers=servers)
    attempt.begin(0.0)
    asked = [action for _, action in run(attempt, limits.GUESS_PLACE_WAIT)]
    assert attempt.ready == Ready().encode()
    assert len(own_asks(asked)) == (6 if servers else 0)


def test_it_knocks_at_once_and_then_at_its_rate_and_no_more_than_said():
    attempt = knocking()
    attempt.begin(0.0)
    attempt.take()
    attempt.peer_ready(Opened(1).encode(), 1.0)
    attempt.peer_ready(Opened(0).encode(), 1.0)
    first = attempt.take()
    assert len(first) == 4
    done = [(1.0, action) for action in first] + run(attempt, 99.0)
    knocks = [(at, action) for at, action in done if isinstance(action, Shot)]
    assert len(knocks) == TERMS.knocks
    assert knocks[-1][0] == pytest.approx(1.0 + 46 / TERMS.per_second, abs=0.02)
    ports = [shot.to.port for _, shot in knocks]
    assert len(set(ports)) == len(ports)
    assert all(port & 1 for port in ports)
    assert {shot.socket for _, shot in knocks} == {OWN}
    assert {str(shot.to.ip) for _, shot in knocks} == {LEFT}
    assert attempt.is_over


def test_it_sees_again_and_again_whether_its_own_router_has_room_and_leaves_a_full_one_in_peace():
    terms = replace(TERMS, knocks=2000, per_second=100, seconds=20, step=20)
    attempt = knocking(terms)
    attempt.begin(0.0)
    first = [action for action in attempt.take() if isinstance(action, Ask) and action.socket != OWN]
    assert len(first) == looks_of_knocks(terms) == 6
    for ask in first:
        attempt.seen(ask.socket, ask.server, Address(FRESH.ip, 1000 + ask.socket), 0.05)
    attempt.peer_ready(Opened().encode(), 0.1)
    made, now = 0, 0.1
    while not attempt.is_over:
        actions = attempt.take()
        made += len([action for action in actions if isinstance(action, Shot)])
        for ask in [action for action in actions if isinstance(action, Ask) and action.socket != OWN]:
            if made < 200 or ask in first:  # then the router is full
                attempt.seen(ask.socket, ask.server, Address(FRESH.ip, 1000 + ask.socket), now)
        now = attempt.due
        attempt.handle_timer(now)
    assert attempt.is_cramped
    assert 200 < made < 256 + limits.CANARY_WAIT * 100 + 10
    cost = cost_of(WAITING.swapped, terms)
    assert cost.sockets == Canary.sockets(6)


def test_it_waits_for_what_a_look_says_before_it_knocks_as_often_again():
    terms = replace(TERMS, knocks=2000, per_second=1000, seconds=20)
    attempt = knocking(terms)
    attempt.begin(0.0)
    for ask in attempt.take():
        attempt.seen(ask.socket, ask.server, Address(FRESH.ip, 1000 + ask.socket), 0.05)
    attempt.peer_ready(Opened().encode(), 0.1)
    until_judged = 0.1 + limits.KNOCKS_LOOK / terms.per_second + limits.CANARY_WAIT
    knocks = len(shots(run(attempt, until_judged - 0.05)))
    assert knocks <= 2 * limits.KNOCKS_LOOK + terms.burst
    assert len(shots(run(attempt, until_judged + 0.1))) > 0, "nobody answers: that says nothing"


def test_a_late_clock_makes_no_flood():
    attempt = knocking()
    attempt.begin(0.0)
    attempt.peer_ready(Opened().encode(), 0.0)
    attempt.take()
    attempt.handle_timer(0.4)
    assert len(attempt.take()) <= TERMS.burst + 4  # and questions that are asked again


def test_it_is_over_where_the_peer_stays_silent():
    attempt = knocking()
    attempt.begin(0.0)
    assert not shots(run(attempt, 99.0))
    assert attempt.is_over


# --- lies ---------------------------------------------------------------------------------------------------


@given(
    st.one_of(
        st.binary(max_size=80),
        st.recursive(st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=8), st.lists).map(
            msgspec.msgpack.encode
        ),
    )
)
def test_whatever_a_peer_says_costs_no_more_and_leads_nowhere_else(payload):
    for attempt, cost, ip in (
        (waiting(), cost_of(WAITING, TERMS), RIGHT),
        (knocking(), cost_of(WAITING.swapped, TERMS), LEFT),
    ):
        attempt.begin(0.0)
        try:
            attempt.peer_ready(payload, 0.1)
        except ProtocolViolation:
            continue
        done = run(attempt, 99.0)
        assert len(done) <= cost.datagrams
        assert {str(shot.to.ip) for shot in shots(done)} <= {ip}


@pytest.mark.parametrize("payload", [b"", b"\xc1", msgspec.msgpack.encode([2]), msgspec.msgpack.encode([-1])])
def test_nonsense_is_the_peers_fault(payload):
    with pytest.raises(ProtocolViolation):
        Opened.decode(payload)
