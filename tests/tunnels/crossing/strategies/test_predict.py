"""A symmetric NAT's ports lie between two that were asked for."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from math import inf
from statistics import median

import pytest

from tests.lab.crossings import SERVERS, Home, cross, setting_of
from tests.lab.translation import Ports, Rules
from tunnels.addresses import Address
from tunnels.crossing import limits
from tunnels.crossing.description import Pair
from tunnels.crossing.strategies.predict import STRATEGY
from tunnels.crossing.strategy import OWN, Ask, Ready, Shot
from tunnels.errors import ProtocolViolation
from tunnels.nat.behavior import Filtering, Mapping

LEFT, RIGHT = "203.0.113.9", "192.0.2.77"
CONE = Rules()
BY_PORT = Mapping.ADDRESS_AND_PORT_DEPENDENT
IN_ORDER = Rules(BY_PORT, ports=Ports.SEQUENTIAL)
PRESERVING = Rules(BY_PORT, ports=Ports.PRESERVING)
GUARD = 20

SYMMETRIC_FIRST = Pair(Home(IN_ORDER, LEFT).description, Home(CONE, RIGHT).description)
TARGET = Address.parse("192.0.2.77:5000")
PEER = IPv4Address(LEFT)


def outcomes(cone: Home, symmetric: Home, seeds: int = 100, *, is_cone_first: bool = True, **how):
    found = []
    for seed in range(seeds):
        pair = (cone, symmetric) if is_cone_first else (symmetric, cone)
        outcome = cross(STRATEGY, *pair, seed=seed, **how)
        descriptions = Pair(pair[0].description, pair[1].description)
        for side, own in enumerate((descriptions, descriptions.swapped)):
            cost = STRATEGY.cost(own)
            assert outcome.datagrams[side] <= cost.datagrams
            assert outcome.sockets[side] <= cost.sockets
            assert outcome.mappings[side] <= cost.mappings
        found.append(outcome)
    return found


@pytest.mark.parametrize(
    "rules",
    [
        IN_ORDER,
        PRESERVING,
        replace(IN_ORDER, delta=2),
        replace(IN_ORDER, delta=-3),
        replace(IN_ORDER, guard=GUARD),
        replace(IN_ORDER, mapping=Mapping.ADDRESS_DEPENDENT),
    ],
    ids=["in order", "preserving", "by two", "by three, downwards", "guard", "by address"],
)
@pytest.mark.parametrize("is_cone_first", [True, False])
def test_it_succeeds_always_and_soon(rules, is_cone_first):
    found = outcomes(Home(CONE, LEFT), Home(rules, RIGHT), is_cone_first=is_cone_first, loss=0.02)
    assert all(outcome.worked for outcome in found)
    assert median(outcome.seconds for outcome in found) <= 0.3
    assert not any(outcome.blocked[0] + outcome.blocked[1] for outcome in found)


@pytest.mark.parametrize("noise", [5, 20, 35, 100, 300])
@pytest.mark.parametrize("guard", [None, GUARD])
def test_others_behind_that_nat_do_not_matter(noise, guard):
    symmetric = Home(replace(IN_ORDER, guard=guard), RIGHT, noise=noise)
    found = outcomes(Home(CONE, LEFT), symmetric, 30, loss=0.02)
    assert all(outcome.worked for outcome in found)
    assert median(outcome.seconds for outcome in found) <= 0.3


def test_losses_cost_time_only():
    found = outcomes(Home(CONE, LEFT), Home(IN_ORDER, RIGHT), loss=0.2, jitter=1.0)
    assert sum(outcome.worked for outcome in found) >= 97


@pytest.mark.parametrize("is_cone_first", [True, False])
def test_a_server_may_be_as_far_away_as_all_questions_take_and_more(is_cone_first):
    found = outcomes(Home(CONE, LEFT), Home(IN_ORDER, RIGHT), 20, is_cone_first=is_cone_first, delay=0.16)
    assert all(outcome.worked for outcome in found)


def test_a_pool_of_outside_addresses_is_tried_at_each():
    symmetric = Home(IN_ORDER, RIGHT, more_ips=("192.0.2.78", "192.0.2.79"))
    assert all(outcome.worked for outcome in outcomes(Home(CONE, LEFT), symmetric, loss=0.02))


@pytest.mark.parametrize("levels", [4, 7])
def test_a_nat_behind_many_routers_is_reached_by_openers_that_live_longer(levels):
    found = outcomes(Home(CONE, LEFT), Home(IN_ORDER, RIGHT, levels=levels), hops=15, loss=0.02)
    assert all(outcome.worked for outcome in found)
    assert median(outcome.seconds for outcome in found) <= 0.4


def test_a_neighbour_that_datagrams_poison_gets_none_unasked():
    found = outcomes(Home(Rules(is_poisoned=True), LEFT), Home(IN_ORDER, RIGHT), 30, hops=4)
    assert all(outcome.worked and outcome.unsolicited[0] == 0 for outcome in found)


def test_where_ports_are_random_it_ends_by_itself_and_no_guard_is_called_at_once():
    """What the symmetric side believes of its NAT is wrong."""
    wrong = Home(
        Rules(BY_PORT, ports=Ports.RANDOM, guard=GUARD), RIGHT, told=Home(IN_ORDER, RIGHT).description
    )
    found = outcomes(Home(CONE, LEFT), wrong, 20)
    assert not any(outcome.worked for outcome in found)
    assert all(outcome.busiest[0] <= limits.PREDICT_PER_SECOND + 2 for outcome in found)
    early = [
        cross(STRATEGY, Home(CONE, LEFT), wrong, seed=seed, most_seconds=1.2).unsolicited[1]
        for seed in range(9)
    ]
    assert max(early) <= GUARD


@pytest.mark.parametrize(
    ("left", "right", "suits"),
    [
        (CONE, IN_ORDER, True),
        (CONE, PRESERVING, True),
        (Rules(filtering=Filtering.ADDRESS_DEPENDENT), IN_ORDER, True),
        (Rules(filtering=Filtering.ENDPOINT_INDEPENDENT), IN_ORDER, False),
        (None, IN_ORDER, False),
        (IN_ORDER, IN_ORDER, False),
        (CONE, CONE, False),
        (CONE, Rules(BY_PORT, ports=Ports.RANDOM), False),
        (Rules(BY_PORT, ports=Ports.BLOCK), IN_ORDER, False),
    ],
)
def test_it_is_for_ports_in_order_at_one_end_only(left, right, suits):
    pair = Pair(Home(left, LEFT).description, Home(right, RIGHT).description)
    assert STRATEGY.suits(pair) is STRATEGY.suits(pair.swapped) is suits


def test_nobody_guesses_and_it_is_cheap():
    for pair in (SYMMETRIC_FIRST, SYMMETRIC_FIRST.swapped):
        cost = STRATEGY.cost(pair)
        assert not cost.guesses
        assert cost.datagrams < 100
        assert cost.mappings <= limits.SMALL_NETWORK_MAPPINGS


# --- the symmetric side, by hand ----------------------------------------------------------------------------


def opening(rules: Rules = IN_ORDER, more_ips: tuple[str, ...] = (), **how):
    pair = Pair(Home(rules, LEFT, more_ips=more_ips).description, Home(CONE, RIGHT).description)
    found = STRATEGY.attempt(setting_of(pair, how.pop("targets", (TARGET,)), **how))
    found.begin(0.0)
    return found


LAST = limits.PREDICT_SOCKETS + 2


def ports(side) -> list[int]:
    return [place.port for place in Ready.decode(side.ready).addresses()]


def test_openers_leave_between_two_questions():
    openers = [Shot(socket, TARGET, limits.OPENER_TTLS_SEEN[0]) for socket in range(2, LAST)]
    assert opening().take() == [Ask(1, SERVERS[0]), *openers, Ask(LAST, SERVERS[0])]


@pytest.mark.parametrize(
    ("delta", "first", "last", "told"),
    [
        (1, 10000, 10009, [10001, 10008, 10002, 10007, 10003, 10006, 10004, 10005]),
        (1, 10000, 10003, [10001, 10002]),
        (-2, 20000, 19992, [19998, 19994, 19996]),
        (1, 65530, 1030, [65531, 1029, 65532, 1028, 65533, 1027, 65534, 1026, 65535, 1025, 1024]),
    ],
)
def test_what_lies_between_is_told_from_both_ends(delta, first, last, told):
    side = opening(replace(IN_ORDER, delta=delta))
    side.seen(LAST, SERVERS[0], Address(PEER, last), 0.04)
    assert side.ready is None
    side.seen(1, SERVERS[0], Address(PEER, first), 0.05)
    assert ports(side) == told


def test_where_others_took_too_many_what_is_close_to_both_ends_is_told():
    side = opening()
    side.seen(1, SERVERS[0], Address(PEER, 10000), 0.04)
    side.seen(LAST, SERVERS[0], Address(PEER, 20000), 0.04)
    half = limits.READY_PLACES // 2
    assert sorted(ports(side)) == [*range(10001, 10001 + half), *range(20000 - half, 20000)]


@pytest.mark.parametrize(("socket", "told"), [(1, 10001), (LAST, 9999)])
def test_one_answer_has_to_do(socket, told):
    side = opening()
    side.seen(socket, SERVERS[0], Address(PEER, 10000), 0.04)
    asked = 0
    while side.ready is None:
        side.handle_timer(side.due)
        asked += sum(isinstance(action, Ask) for action in side.take())
    assert ports(side)[0] == told
    assert asked == 1 + limits.SAMPLING_SENDS


def test_ports_that_are_kept_are_told_for_each_ip():
    side = opening(PRESERVING, more_ips=("203.0.113.10",), local_port=lambda socket: 50000 + socket)
    for socket in (1, LAST):
        side.seen(socket, SERVERS[0], Address(PEER, 50000 + socket), 0.04)
    places = Ready.decode(side.ready).addresses()
    assert places[:2] == (Address(PEER, 50002), Address.parse("203.0.113.10:50002"))
    assert {place.port for place in places} == set(range(50002, 50000 + LAST))


def test_the_nat_is_kept_open_until_it_is_over():
    side = opening()
    for socket, port in ((1, 10000), (LAST, 10009)):
        side.seen(socket, SERVERS[0], Address(PEER, port), 0.04)
    actions = side.take()
    while not side.is_over:
        now = side.due
        side.handle_timer(now)
        assert side.due > now
        actions += side.take()
    assert side.due == inf
    assert len(actions) <= STRATEGY.cost(SYMMETRIC_FIRST).datagrams
    assert all(action.ttl == limits.OPENER_TTLS_SEEN[0] for action in actions if isinstance(action, Shot))


@pytest.mark.parametrize(
    "how", [{"servers": ()}, {"targets": ()}, {"targets": (Address.parse("[2001:db8::1]:5"),)}]
)
def test_without_what_it_takes_it_is_over_at_once(how):
    assert opening(**how).is_over


def test_without_any_answer_it_is_over():
    side = opening()
    while not side.is_over:
        assert side.due <= 1
        side.handle_timer(side.due)
    assert side.ready is None


def test_what_the_peer_says_to_that_side_has_to_make_sense_and_does_nothing():
    side = opening()
    side.take()
    side.peer_ready(Ready.at([TARGET]).encode(), 0.1)
    assert side.take() == []
    with pytest.raises(ProtocolViolation):
        side.peer_ready(b"", 0.1)


# --- the other side, by hand --------------------------------------------------------------------------------


def knocking():
    found = STRATEGY.attempt(setting_of(SYMMETRIC_FIRST.swapped, (Address(PEER, 9),)))
    found.begin(0.0)
    return found


def knocks(side, places) -> list[tuple[float, Shot]]:
    """All that it sends, and when, after the peer told these."""
    side.peer_ready(Ready.at(places, is_open=True).encode(), 0.1)
    found = [(0.1, shot) for shot in side.take()]
    while not side.is_over:
        now = side.due
        side.handle_timer(now)
        assert side.due > now
        found += [(now, shot) for shot in side.take()]
    return found


def test_it_knocks_from_its_own_socket_at_once_and_then_slowly():
    told = [Address(PEER, port) for port in range(10000, 10000 + limits.READY_PLACES)]
    found = knocks(knocking(), told)
    assert [shot for _, shot in found] == [Shot(OWN, place) for place in told] * limits.PREDICT_PASSES
    assert len([at for at, _ in found if at == 0.1]) == limits.PREDICT_BURST
    assert len([at for at, _ in found if at < 1.1]) <= GUARD
    assert found[-1][0] < 3


def test_nothing_is_sent_to_ports_that_no_nat_gives_out():
    told = [Address(PEER, 53), Address(PEER, 1025), Address(PEER, 65530), Address.parse("[2001:db8::1]:5000")]
    found = knocks(knocking(), told)
    assert {shot.to.ip for _, shot in found} == {PEER}
    assert min(shot.to.port for _, shot in found) >= 1024


def test_a_peer_cannot_make_it_send_more_than_it_costs():
    told = [Address(IPv4Address(f"198.51.100.{number}"), 2000 * number) for number in range(1, 33)]
    side = knocking()
    found = knocks(side, told)
    cost = STRATEGY.cost(SYMMETRIC_FIRST.swapped)
    assert len(found) == cost.datagrams
    assert {shot.to for _, shot in found} == set(told)
    assert found[-1][0] <= cost.seconds
    side.peer_ready(Ready.at(told).encode(), 9.0)
    assert side.take() == []


def test_the_second_word_of_a_peer_changes_nothing():
    side = knocking()
    side.peer_ready(Ready.at([Address(PEER, 10000)]).encode(), 0.1)
    side.take()
    side.peer_ready(Ready.at([Address(PEER, 20000)]).encode(), 0.2)
    assert side.take() == []


def test_a_peer_that_tells_no_place_is_waited_for_in_vain():
    assert knocks(knocking(), []) == []


def test_what_makes_no_sense_is_the_peers_fault():
    with pytest.raises(ProtocolViolation):
        knocking().peer_ready(b"\xff", 0.1)
