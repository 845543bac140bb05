"""Two that give out ports in order meet at two ports that were told before."""

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
from tunnels.crossing.strategies.predict_both import STRATEGY
from tunnels.crossing.strategy import Ask, Ready, Shot
from tunnels.errors import ProtocolViolation
from tunnels.nat.behavior import Mapping

LEFT, RIGHT = "203.0.113.9", "192.0.2.77"
BY_PORT = Mapping.ADDRESS_AND_PORT_DEPENDENT
IN_ORDER = Rules(BY_PORT, ports=Ports.SEQUENTIAL)
PRESERVING = Rules(BY_PORT, ports=Ports.PRESERVING)
GUARDED = replace(IN_ORDER, guard=20)

OURS, THEIRS = IPv4Address(LEFT), IPv4Address(RIGHT)
PAIR = Pair(Home(IN_ORDER, LEFT).description, Home(IN_ORDER, RIGHT).description)
TARGET = Address(THEIRS, 9)


def outcomes(left: Home, right: Home, seeds: int = 100, **how):
    found = [cross(STRATEGY, left, right, seed=seed, **how) for seed in range(seeds)]
    cost = STRATEGY.cost(PAIR)
    for outcome in found:
        assert max(outcome.datagrams) <= cost.datagrams
        assert max(outcome.sockets) <= cost.sockets
        assert max(outcome.mappings) <= cost.mappings
        assert max(outcome.said) <= limits.READY_CHANGES
    return found


def share(found) -> float:
    return sum(outcome.worked for outcome in found) / len(found)


def middle(found) -> float:
    return median(outcome.seconds for outcome in found if outcome.worked)


def with_noise_told(home: Home, noise: float | None) -> Home:
    """It believes so many others to be behind its NAT."""
    told = home.description
    return replace(home, told=replace(told, behavior=replace(told.behavior, noise=noise)))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (IN_ORDER, IN_ORDER),
        (GUARDED, GUARDED),
        (replace(IN_ORDER, delta=-2), replace(IN_ORDER, delta=5)),
        (replace(IN_ORDER, mapping=Mapping.ADDRESS_DEPENDENT), IN_ORDER),
        (replace(IN_ORDER, is_poisoned=True), replace(IN_ORDER, is_poisoned=True)),
        (PRESERVING, IN_ORDER),
        (IN_ORDER, PRESERVING),
        (PRESERVING, PRESERVING),
    ],
    ids=[
        "in order",
        "guard",
        "by two and by five",
        "by address",
        "poisoned",
        "left kept",
        "right kept",
        "both kept",
    ],
)
def test_where_nobody_else_sends_it_succeeds_always_soon_and_hardly_noticed(left, right):
    found = outcomes(Home(left, LEFT), Home(right, RIGHT), loss=0.02)
    assert share(found) == 1.0
    assert middle(found) <= 0.3
    assert max(max(outcome.unsolicited) for outcome in found) < limits.MEETING_FEW
    assert max(max(outcome.mappings) for outcome in found) <= limits.MEETING_FEW + 3


@pytest.mark.parametrize(
    ("noise", "success"), [(5.0, 1.0), (20.0, 1.0), (35.0, 0.97), (100.0, 0.92), (200.0, 0.85)]
)
def test_others_behind_both_nats_are_reckoned_with(noise, success):
    found = outcomes(Home(IN_ORDER, LEFT, noise=noise), Home(IN_ORDER, RIGHT, noise=noise), 40, loss=0.02)
    assert share(found) >= success
    assert middle(found) <= 0.6


@pytest.mark.parametrize(
    ("noise", "told", "success"),
    [(20.0, None, 0.97), (35.0, 0.0, 0.97), (100.0, 0.0, 0.9), (0.0, 100.0, 1.0), (20.0, 100.0, 0.95)],
)
def test_what_was_believed_of_others_may_be_wrong(noise, told, success):
    """Each round tells how many they are now."""
    left, right = (with_noise_told(Home(IN_ORDER, ip, noise=noise), told) for ip in (LEFT, RIGHT))
    assert share(outcomes(left, right, 40, loss=0.02)) >= success


def test_guards_that_block_who_sends_unasked_are_not_called_where_others_are_few():
    found = outcomes(Home(GUARDED, LEFT, noise=35.0), Home(GUARDED, RIGHT, noise=35.0), loss=0.02)
    assert share(found) >= 0.98
    assert sum(map(sum, (outcome.blocked for outcome in found))) <= 2


@pytest.mark.parametrize(
    "how", [{"skew": 0.0}, {"skew": 0.3}, {"relay_delay": 0.3}, {"loss": 0.1, "jitter": 1.0}], ids=str
)
def test_it_depends_on_no_clock(how):
    assert share(outcomes(Home(IN_ORDER, LEFT, noise=10.0), Home(IN_ORDER, RIGHT), 50, **how)) >= 0.98


@pytest.mark.parametrize("levels", [4, 7])
def test_a_nat_behind_many_routers_is_reached_in_another_round(levels):
    found = outcomes(Home(IN_ORDER, LEFT, levels=levels), Home(IN_ORDER, RIGHT), 30, hops=15, loss=0.02)
    assert share(found) >= 0.96
    assert middle(found) <= 1.0


def test_a_neighbour_hardly_notices_it_either():
    found = outcomes(Home(GUARDED, LEFT), Home(GUARDED, RIGHT), 10, hops=4)
    assert share(found) == 1.0
    assert max(max(outcome.unsolicited) for outcome in found) < limits.MEETING_FEW


def test_where_ports_are_random_it_ends_by_itself():
    wrong = Home(Rules(BY_PORT, ports=Ports.RANDOM), RIGHT, told=Home(IN_ORDER, RIGHT).description)
    found = outcomes(Home(GUARDED, LEFT), wrong, 20)
    assert share(found) == 0
    assert max(outcome.seconds for outcome in found) <= limits.MEETING_SECONDS
    assert not any(outcome.blocked[0] for outcome in found)


@pytest.mark.parametrize(
    ("left", "right", "suits"),
    [
        (IN_ORDER, IN_ORDER, True),
        (IN_ORDER, PRESERVING, True),
        (IN_ORDER, Rules(), False),
        (IN_ORDER, Rules(BY_PORT, ports=Ports.RANDOM), False),
        (IN_ORDER, Rules(BY_PORT, ports=Ports.BLOCK), False),
    ],
)
def test_it_is_for_ports_in_order_at_both_ends(left, right, suits):
    pair = Pair(Home(left, LEFT).description, Home(right, RIGHT).description)
    assert STRATEGY.suits(pair) is STRATEGY.suits(pair.swapped) is suits


def test_the_busier_the_less_likely():
    def success(noise: float) -> float:
        return STRATEGY.success(Pair(Home(IN_ORDER, LEFT, noise=noise).description, PAIR.theirs))

    assert success(0) > success(100) > success(300)


# --- one side, by hand --------------------------------------------------------------------------------------


def attempt(pair: Pair = PAIR, **how):
    found = STRATEGY.attempt(setting_of(pair, (TARGET,), **how))
    found.begin(0.0)
    return found


def ready(port: int, number: int = 1, *, is_open: bool = False, ip: IPv4Address = THEIRS) -> bytes:
    return Ready.at([Address(ip, port)], round=number, is_open=is_open).encode()


def there_is_room(side, now: float) -> None:
    """The look that the second round begins with says so."""
    fresh = 4 + limits.MEETING_FEW
    side.seen(1, SERVERS[0], Address(OURS, 30000), now)
    side.seen(fresh, SERVERS[0], Address(OURS, 30000 + fresh), now)


def said(side) -> tuple[int, int, bool]:
    word = Ready.decode(side.ready)
    return word.round, word.addresses()[0].port, word.is_open


HALF = limits.MEETING_SOCKETS // 2
FEW = limits.MEETING_FEW
BUSY = Pair(with_noise_told(Home(IN_ORDER, LEFT), 100.0).description, PAIR.theirs)
OTHERS = 20
"""That come in the 0.2 s from the first question to the peer's word."""


def test_where_few_others_send_a_few_knock_at_once_if_the_peer_is_open():
    side = attempt()
    assert side.take() == [Ask(1, SERVERS[0])]
    side.seen(1, SERVERS[0], Address(OURS, 30000), 0.04)
    assert said(side) == (1, 30001 + FEW, False)
    side.peer_ready(ready(5000, is_open=True), 0.2)
    assert side.take() == [
        Ask(2, SERVERS[0]),
        *(Shot(socket, Address(THEIRS, 5000)) for socket in range(3, 3 + FEW)),
        Ask(3 + FEW, SERVERS[0]),
    ]
    assert said(side) == (1, 30001 + FEW, True)
    # Two of others between the first two questions: it is the last but two that goes on.
    side.seen(2, SERVERS[0], Address(OURS, 30003), 0.24)
    side.seen(3 + FEW, SERVERS[0], Address(OURS, 30004 + FEW), 0.24)
    side.handle_timer(0.24)
    assert side.take() == [Shot(FEW, Address(THEIRS, 5000))]


def test_and_only_open_their_nat_until_it_is():
    side = attempt()
    side.take()
    side.seen(1, SERVERS[0], Address(OURS, 30000), 0.04)
    side.peer_ready(ready(5000), 0.2)
    shots = [action for action in side.take() if isinstance(action, Shot)]
    assert {shot.ttl for shot in shots} == {limits.OPENER_TTLS_SEEN[0]}
    assert said(side)[2], "the peer need not wait either"
    for _ in range(2):
        side.peer_ready(ready(5000, is_open=True), 0.22)
    assert side.take() == [Shot(shot.socket, shot.to) for shot in shots]


def test_with_what_follows_few_knocks_in_vain_are_as_many_as_a_guard_lets_pass():
    side = attempt()
    side.seen(1, SERVERS[0], Address(OURS, 30000), 0.04)
    side.peer_ready(ready(5000, is_open=True), 0.2)
    side.seen(2, SERVERS[0], Address(OURS, 30001), 0.24)
    side.seen(3 + FEW, SERVERS[0], Address(OURS, 30004 + FEW), 0.24)
    found = side.take()
    while side.due < 0.2 + 1:
        side.handle_timer(side.due)
        found += side.take()
    assert (
        FEW < sum(isinstance(action, Shot) and action.ttl is None for action in found) <= limits.PREDICT_SAFE
    )


def test_in_later_rounds_only_who_is_where_it_told_knocks():
    side = attempt()
    side.seen(1, SERVERS[0], Address(OURS, 30000), 0.04)
    side.peer_ready(ready(5000), 0.2)
    side.peer_ready(ready(6000, 2, is_open=True), 0.3)
    there_is_room(side, 0.34)
    last = [action for action in side.take() if isinstance(action, Shot) and action.to.port == 6000]
    assert len(last) == limits.MEETING_FEW
    assert {shot.ttl for shot in last} == {limits.OPENER_TTLS_SEEN[0]}


def test_a_port_is_told_opened_and_knocked_from():
    side = attempt(BUSY)
    assert side.take() == [Ask(1, SERVERS[0])]
    side.seen(1, SERVERS[0], Address(OURS, 30000), 0.04)
    assert said(side) == (1, 30001 + HALF + OTHERS, False)
    side.peer_ready(ready(5000), 0.2)
    actions = side.take()
    first, *openers, last = actions
    assert first == Ask(2, SERVERS[0])
    assert openers == [
        Shot(socket, Address(THEIRS, 5000), limits.OPENER_TTLS_SEEN[0])
        for socket in range(3, 3 + limits.MEETING_SOCKETS)
    ]
    assert last == Ask(3 + limits.MEETING_SOCKETS, SERVERS[0])
    # Three more of others than expected between the first two questions, none in the burst.
    side.seen(first.socket, SERVERS[0], Address(OURS, 30004 + OTHERS), 0.24)
    side.seen(last.socket, SERVERS[0], Address(OURS, 30005 + OTHERS + limits.MEETING_SOCKETS), 0.24)
    assert said(side) == (1, 30001 + HALF + OTHERS, True)
    assert side.take() == []
    side.peer_ready(ready(5000, is_open=True), 0.25)
    assert side.take() == [Shot(3 + (30001 + HALF - 30005), Address(THEIRS, 5000))]


def test_others_in_the_burst_leave_a_few_sockets_in_doubt():
    side = attempt(BUSY)
    side.seen(1, SERVERS[0], Address(OURS, 30000), 0.04)
    side.peer_ready(ready(5000, is_open=True), 0.2)
    side.take()
    side.seen(2, SERVERS[0], Address(OURS, 30001 + OTHERS), 0.24)
    last = 30004 + OTHERS + limits.MEETING_SOCKETS
    side.seen(3 + limits.MEETING_SOCKETS, SERVERS[0], Address(OURS, last), 0.24)
    side.handle_timer(0.24)
    exact = 3 + (30001 + HALF - 30002)
    assert [shot.socket for shot in side.take()] == [exact - 2, exact - 1, exact]


@pytest.mark.parametrize(
    ("others", "between"),
    [(HALF + 1, 0), (3000, 0), (0, limits.MEETING_DOUBTS)],
    ids=["a little", "a lot", "too many in the burst"],
)
def test_who_missed_begins_anew_from_where_the_ports_are_now(others, between):
    side = attempt(BUSY)
    side.seen(1, SERVERS[0], Address(OURS, 30000), 0.04)
    side.peer_ready(ready(5000), 0.2)
    side.take()
    first = 30001 + OTHERS + others
    side.seen(2, SERVERS[0], Address(OURS, first), 0.24)
    last = first + 1 + limits.MEETING_SOCKETS + between
    side.seen(3 + limits.MEETING_SOCKETS, SERVERS[0], Address(OURS, last), 0.24)
    fresh = 4 + limits.MEETING_SOCKETS
    assert side.take() == [Ask(fresh, SERVERS[0]), Ask(1, SERVERS[0])]
    side.seen(1, SERVERS[0], Address(OURS, 30000), 0.28)
    side.seen(fresh, SERVERS[0], Address(OURS, last + 1), 0.28)
    number, port, is_open = said(side)
    assert (number, is_open) == (2, False)
    assert port > last + HALF
    assert side.take() == []  # what it knows is new enough
    side.peer_ready(ready(6000, 2), 0.4)
    assert {action.to.port for action in side.take() if isinstance(action, Shot)} == {6000}


def test_a_peer_that_missed_is_followed():
    side = attempt()
    side.seen(1, SERVERS[0], Address(OURS, 30000), 0.04)
    side.peer_ready(ready(5000), 0.2)
    side.take()
    side.peer_ready(ready(6000, 2), 0.3)
    there_is_room(side, 0.34)
    assert said(side)[0] == 2
    assert {action.to.port for action in side.take() if isinstance(action, Shot)} == {6000}


def second_round(**how):
    """One side at the beginning of it, and the socket that asks whether there is room."""
    side = attempt(**how)
    side.seen(1, SERVERS[0], Address(OURS, 30000), 0.04)
    side.peer_ready(ready(5000), 0.2)
    side.take()
    side.peer_ready(ready(6000, 2), 0.3)
    fresh = 4 + limits.MEETING_FEW
    assert side.take() == [Ask(fresh, SERVERS[0]), Ask(1, SERVERS[0])]
    return side, fresh


def on(side, until: float) -> list:
    found = []
    while side.due <= until:
        side.handle_timer(side.due)
        found += side.take()
    return found


def test_a_router_that_refuses_more_is_left_in_peace():
    side, _ = second_round()
    side.seen(1, SERVERS[0], Address(OURS, 30000), 0.34)
    assert not any(isinstance(action, Shot) for action in on(side, 0.3 + limits.CANARY_WAIT))
    assert side.is_cramped
    assert side.is_over


def test_a_router_that_forgets_what_is_old_is_left_in_peace():
    side, fresh = second_round()
    side.seen(fresh, SERVERS[0], Address(OURS, 30020), 0.34)
    assert side.take() == []
    side.seen(1, SERVERS[0], Address(OURS, 30021), 0.34)
    assert side.is_cramped
    assert side.is_over
    assert side.take() == []


def test_a_server_that_does_not_answer_says_nothing_of_room():
    side, fresh = second_round()
    on(side, 0.31 + limits.CANARY_WAIT)
    assert not side.is_cramped
    assert not side.is_over
    side.seen(fresh, SERVERS[0], Address(OURS, 30020), 0.9)
    assert said(side)[0] == 2


@pytest.mark.parametrize("noise", [0.0, 100.0])
@pytest.mark.parametrize("evicts", [False, True])
def test_a_full_router_is_seen_before_much_more_is_made(noise, evicts):
    """Where nobody is met, all rounds are gone through; ours has room for the first, and at most for our own flow besides."""
    blind = STRATEGY.cost(Pair(Home(IN_ORDER, LEFT, noise=noise).description, PAIR.theirs)).blind
    wrong = Home(Rules(BY_PORT, ports=Ports.RANDOM), RIGHT, told=Home(IN_ORDER, RIGHT).description)
    small = with_noise_told(Home(replace(IN_ORDER, room=blind + (not evicts), evicts=evicts), LEFT), noise)
    attempts = []
    found = [
        cross(STRATEGY, small, wrong, seed=seed, begun=lambda left, _: attempts.append(left))
        for seed in range(20)
    ]
    assert blind <= limits.CROSSING_BLIND - 17, "right after our network was measured"
    assert all(attempt.is_cramped for attempt in attempts)
    assert max(outcome.mappings[0] + outcome.refused[0] for outcome in found) <= blind + 6


def test_ports_go_on_from_the_lowest_after_the_highest():
    side = attempt(BUSY)
    side.seen(1, SERVERS[0], Address(OURS, 65535), 0.04)
    assert said(side) == (1, 1024 + HALF + OTHERS, False)
    side.peer_ready(ready(5000, is_open=True), 0.2)
    side.take()
    side.seen(2, SERVERS[0], Address(OURS, 1024 + OTHERS), 0.24)
    last = 1025 + OTHERS + limits.MEETING_SOCKETS
    side.seen(3 + limits.MEETING_SOCKETS, SERVERS[0], Address(OURS, last), 0.24)
    assert said(side)[2]


def test_without_a_server_or_an_answer_it_comes_to_an_end():
    assert attempt(servers=()).is_over
    side = attempt()
    while not side.is_over:
        now = side.due
        assert now <= limits.MEETING_SECONDS
        side.handle_timer(now)
        assert side.due > now
    assert side.ready is None
    assert side.due == inf


def test_where_no_socket_can_be_opened_that_keeps_its_port_it_is_over():
    kept = Pair(Home(PRESERVING, LEFT).description, PAIR.theirs)
    side = STRATEGY.attempt(setting_of(kept, (TARGET,), local_port=lambda socket: 0))
    side.begin(0.0)
    side.seen(1, SERVERS[0], Address(OURS, 30000), 0.04)
    assert side.is_over
    assert side.ready is None


def test_a_slow_relay_does_not_make_it_longer():
    side = attempt(round_trip=30.0)
    while not side.is_over:
        assert side.due <= limits.MEETING_SECONDS
        side.handle_timer(side.due)


def test_a_peer_cannot_make_it_send_more_than_it_costs():
    """Whatever it says, in whatever order."""
    side = attempt()
    cost = STRATEGY.cost(PAIR)
    found = side.take()
    now, port = 0.0, 30000
    while not side.is_over:
        for number in (0, 1, 2, 3, 4, 255):
            place = IPv4Address(f"198.51.100.{number}")
            side.peer_ready(
                ready(1 + int(now * 1000) % 65535, min(number, 1 + int(now)), is_open=True, ip=place), now
            )
        for action in found:
            if isinstance(action, Ask):
                side.seen(action.socket, action.server, Address(OURS, 30000 + action.socket), now)
        side.handle_timer(now)
        found += side.take()
        now, port = now + 0.01, port + 1
    assert now <= cost.seconds + 0.1
    assert len(found) <= cost.datagrams
    assert len({action.socket for action in found}) <= cost.sockets
    assert len({shot.to for shot in found if isinstance(shot, Shot)}) <= limits.MEETING_ROUNDS


def test_what_makes_no_sense_is_the_peers_fault():
    with pytest.raises(ProtocolViolation):
        attempt().peer_ready(b"\xff", 0.1)


def test_a_word_without_a_place_is_none():
    side = attempt()
    side.take()
    side.peer_ready(Ready(round=2, is_open=True).encode(), 0.1)
    assert side.take() == []
