"""All attempts of a process together stay within its bounds; each bound is filled here."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from tunnels.addresses import Address
from tunnels.crossing import limits
from tunnels.crossing.budget import Budget, Lease, rest_after
from tunnels.crossing.strategy import Cost

HOME = Address.of("203.0.113.9", 41641)
SMALL = Cost(datagrams=10, seconds=3)
SPRAY = Cost(datagrams=2048, sockets=128, mappings=256, seconds=20, guesses=True)


def granted(budget: Budget, cost: Cost, now: float) -> Lease:
    lease = budget.begin(cost, now)
    assert lease is not None
    return lease


def sent(lease: Lease, count: int, now: float, to: Address = HOME) -> int:
    """Each from another socket."""
    return sum(lease.may_send(to, now, socket=socket) for socket in range(count))


def test_an_attempt_sends_what_it_said_and_no_more():
    lease = granted(Budget(), SMALL, 0)
    assert sent(lease, 20, 0) == lease.sent == 10
    assert repr(lease) == "<Lease: 10 of 10 datagrams, 0 of 0 sockets>"


def test_an_attempt_opens_as_many_sockets_as_it_said():
    lease = granted(Budget(), Cost(sockets=3, seconds=1), 0)
    assert [lease.may_open() for _ in range(4)] == [True, True, True, False]


def test_nothing_is_allowed_after_the_end():
    lease = granted(Budget(), replace(SMALL, sockets=1), 0)
    lease.end(1)
    lease.end(1)
    assert not lease.may_send(HOME, 1)
    assert not lease.may_open()


def test_an_attempt_that_nobody_ends_ends_some_time_after_it_should_have():
    budget = Budget()
    lease = granted(budget, replace(SPRAY, seconds=5), 0)
    assert lease.may_send(HOME, 5 + limits.CROSSING_GRACE - 0.01)
    assert not lease.may_send(HOME, 5 + limits.CROSSING_GRACE)
    assert not lease.may_open()
    assert repr(budget) == "<Budget with 0 leases>"


def test_all_attempts_together_send_no_more_in_a_second_than_a_network_bears():
    budget = Budget()
    leases = [granted(budget, Cost(datagrams=10_000, seconds=60), 0) for _ in range(4)]
    elsewhere = [Address.of(f"198.51.100.{number}", 1) for number in range(4)]
    at_once = sum(sent(lease, 200, 0, to) for lease, to in zip(leases, elsewhere, strict=True))
    assert at_once == limits.CROSSING_BURST
    steps = [step / 10 for step in range(1, 11)]
    second = sum(
        sent(lease, 200, now, to) for now in steps for lease, to in zip(leases, elsewhere, strict=True)
    )
    assert second == pytest.approx(limits.CROSSING_PER_SECOND, abs=2)


@pytest.mark.parametrize(
    ("places", "other"),
    [
        (("203.0.113.9", "203.0.113.9"), "203.0.113.10"),
        (("2001:db8::1", "2001:db8::2"), "2001:db8:0:1::1"),  # one host has all of a /64
    ],
)
def test_peers_that_name_one_ip_get_no_more_sent_there_together(places: tuple[str, ...], other: str):
    budget = Budget()
    leases = [granted(budget, Cost(datagrams=100_000, seconds=600), 0) for _ in range(10)]
    total = 0
    for tenth in range(300):
        total += sum(
            sent(lease, 10, tenth / 10, Address.of(places[number % 2], 1 + tenth))
            for number, lease in enumerate(leases)
        )
    assert total <= limits.CROSSING_DESTINATION_BURST + 30 * limits.CROSSING_DESTINATION_PER_SECOND
    assert total >= limits.CROSSING_DESTINATION_BURST
    assert leases[0].may_send(Address.of(other, 1), 31)


def test_a_destination_is_counted_until_it_has_its_whole_share_again():
    budget = Budget()
    lease = granted(budget, Cost(datagrams=10_000, seconds=1000), 0)
    many = [Address.of(f"198.51.{number // 200}.{1 + number % 200}", 1) for number in range(300)]
    now = 0.0
    for number, to in enumerate(many):
        now = number / 100
        assert lease.may_send(to, now) is (number < limits.CROSSING_DESTINATIONS)
    assert lease.may_send(many[0], now), "who is counted goes on"
    rest = limits.CROSSING_DESTINATION_BURST / limits.CROSSING_DESTINATION_PER_SECOND
    assert lease.may_send(many[-1], now + rest)


def test_mappings_count_for_as_long_as_a_router_keeps_them():
    budget = Budget()
    cost = Cost(datagrams=300, mappings=limits.CROSSING_MAPPINGS // 2, seconds=4)
    one, other = granted(budget, cost, 0), granted(budget, cost, 0)
    assert budget.begin(cost, 0) is None
    assert budget.wait(cost, 0) == 4 + limits.CROSSING_GRACE + limits.CROSSING_MAPPING_SECONDS
    assert sum(sent(one, 10, step / 10) for step in range(30)) == 300
    one.end(3)
    other.end(3)  # it made none
    assert budget.wait(cost, 3) == 0
    assert granted(budget, cost, 3)
    takes = cost.mappings / limits.CROSSING_PER_SECOND
    assert limits.CROSSING_MAPPING_SECONDS - takes <= budget.wait(cost, 3) <= limits.CROSSING_MAPPING_SECONDS


def test_a_large_attempt_makes_its_mappings_while_those_of_the_one_before_are_forgotten():
    budget = Budget()
    cost = Cost(datagrams=4800, mappings=4700, seconds=12, guesses=True)
    made: list[float] = []
    now, starts = 0.0, []
    for _ in range(3):
        now += budget.wait(cost, now)
        starts.append(now)
        lease = granted(budget, cost, now)
        while lease.sent < cost.mappings:
            to = Address.of(f"198.51.100.{1 + lease.sent % 200}", 1)
            if lease.may_send(to, now):
                made.append(now)
            now += 1 / 1000
        lease.end(now)
    for first, last in zip(made, made[limits.CROSSING_MAPPINGS :], strict=False):
        assert last - first >= limits.CROSSING_MAPPING_SECONDS
    assert starts[1] - starts[0] < limits.CROSSING_MAPPING_SECONDS + 5
    assert starts[2] - starts[1] < limits.CROSSING_MAPPING_SECONDS + 5


def test_sockets_are_free_again_at_the_end():
    budget = Budget()
    cost = Cost(sockets=limits.CROSSING_SOCKETS // 2, seconds=4)
    one = granted(budget, cost, 0)
    granted(budget, cost, 1)
    assert budget.begin(cost, 1) is None
    assert budget.wait(cost, 1) == 3 + limits.CROSSING_GRACE + limits.CROSS_LINGER
    one.end(2)
    assert granted(budget, cost, 2)


def test_one_attempt_at_a_time_guesses_and_then_none_for_a_while():
    budget = Budget()
    lease = granted(budget, SPRAY, 0)
    assert budget.begin(SPRAY, 1) is None
    assert granted(budget, SMALL, 1), "others go on"
    assert lease.may_send(HOME, 1)
    lease.end(3)
    assert budget.wait(SPRAY, 3) == limits.CROSSING_GUESS_REST_LEAST
    assert budget.begin(SPRAY, 3.9) is None
    assert granted(budget, SPRAY, 4)
    assert budget.wait(SPRAY, 4) == 20 + limits.CROSSING_GRACE + rest_after(SPRAY.datagrams)


def test_the_more_it_sent_the_longer_is_the_rest():
    budget = Budget()
    lease = granted(budget, SPRAY, 0)
    assert sum(sent(lease, 10, step / 100) for step in range(200)) > 1000
    lease.end(2)
    assert budget.wait(SPRAY, 2) == pytest.approx(lease.sent / limits.CROSSING_GUESS_REST_PER_SECOND)
    assert rest_after(10 * lease.sent) == pytest.approx(10 * rest_after(lease.sent))


@pytest.mark.parametrize("each", [1, 50, 280, 1000, 3840, 6240])
def test_guesses_without_end_are_bounded_whatever_the_attempts_are_like(each: int):
    """When each was followed by 20 s, the largest were 173 in a second."""
    budget = Budget()
    now, total = 0.0, 0
    cost = Cost(datagrams=each, seconds=1000, guesses=True)
    while now < 600:
        lease = granted(budget, cost, now)
        while lease.sent < each:
            to = Address.of(f"198.51.100.{1 + lease.sent % 200}", 1)
            total += lease.may_send(to, now)
            now += 1 / limits.CROSSING_PER_SECOND
        lease.end(now)
        now += budget.wait(cost, now)
    assert total / now < 168


def test_an_attempt_that_guessed_and_was_forgotten_makes_the_next_one_wait_no_longer():
    budget = Budget()
    assert granted(budget, replace(SPRAY, seconds=5), 0).may_send(HOME, 0)
    ended = 5 + limits.CROSSING_GRACE
    assert budget.wait(SPRAY, ended + 0.5) == limits.CROSSING_GUESS_REST_LEAST - 0.5


def test_an_attempt_that_the_peer_refused_makes_the_next_one_wait_not_at_all():
    budget = Budget()
    granted(budget, SPRAY, 0).end(1, has_guessed=False)
    assert granted(budget, SPRAY, 1)


WAITING = Cost(datagrams=200, sockets=56, mappings=56, blind=56, seconds=12, guesses=True)


def test_no_more_mappings_are_made_blindly_than_any_router_has_room_for():
    budget = Budget()
    first = granted(budget, WAITING, 0)
    assert first.room == limits.CROSSING_BLIND
    assert sent(first, 200, 5) == 200
    assert first.blind == limits.CROSSING_BLIND
    first.end(12)
    forgotten = 5 + limits.CROSSING_MAPPING_SECONDS
    assert 12 + budget.wait(WAITING, 12) == forgotten > 12 + rest_after(200)
    assert budget.begin(WAITING, forgotten - 0.1) is None
    assert granted(budget, WAITING, forgotten).room == limits.CROSSING_BLIND


def test_what_measured_our_network_leaves_less_room_until_our_router_has_forgotten_it():
    budget = Budget(lambda: (100.0, 17))
    lease = granted(budget, WAITING, 101)
    assert lease.room == limits.CROSSING_BLIND - 17
    lease.end(101, has_guessed=False)
    assert granted(budget, WAITING, 130).room == limits.CROSSING_BLIND
    assert Budget(lambda: (100.0, 40)).wait(WAITING, 101) == 29


def test_what_others_made_leaves_less_room_and_what_looks_whether_there_is_some_does_not():
    budget = Budget()
    small, looking = Cost(datagrams=9, mappings=9, seconds=4), replace(SPRAY, seconds=4)
    for cost, to in ((small, HOME), (looking, Address.of("198.51.100.1", 1))):
        lease = granted(budget, cost, 0)
        sent(lease, 50, 0, to)
        lease.end(1)
    assert granted(budget, WAITING, 25).room == limits.CROSSING_BLIND - 9


def test_half_of_what_an_attempt_would_make_is_enough_to_begin():
    made = limits.CROSSING_BLIND - limits.CROSSING_BLIND_LEAST
    assert granted(Budget(lambda: (0.0, made)), WAITING, 1).room == limits.CROSSING_BLIND_LEAST
    assert Budget(lambda: (0.0, made + 1)).begin(WAITING, 1) is None
    few = replace(WAITING, blind=limits.CROSSING_BLIND_LEAST - 1)
    assert granted(Budget(lambda: (0.0, made + 1)), few, 1).room == few.blind


def test_what_was_granted_to_an_attempt_is_nobody_elses_while_it_runs():
    budget = Budget(lambda: (0.0, 17))
    meeting = Cost(datagrams=189, sockets=105, mappings=105, blind=15, seconds=6)
    leases = [granted(budget, meeting, 1) for _ in range(2)]
    assert [lease.room for lease in leases] == [15, 15]
    assert 1 + budget.wait(meeting, 1) == limits.CROSSING_MAPPING_SECONDS
    leases[0].end(2)
    again = granted(budget, meeting, 2)
    assert again.room == 15, "nothing was sent"
    sent(again, 10, 2)
    sent(again, 10, 2)
    again.end(3)
    assert granted(budget, replace(meeting, blind=14), 3).room == 14, "a flow is counted once"


def test_what_was_made_after_a_look_leaves_less_room_for_the_next_attempt():
    budget = Budget()
    meeting = Cost(datagrams=189, sockets=105, mappings=105, blind=15, seconds=6)
    lease = granted(budget, meeting, 0)
    sent(lease, 44, 1)
    lease.end(3)
    assert 3 + budget.wait(meeting, 3) == 1 + limits.CROSSING_MAPPING_SECONDS


def test_there_are_only_so_many_attempts_at_once():
    budget = Budget()
    leases = [granted(budget, SMALL, 0) for _ in range(limits.CROSSING_ATTEMPTS)]
    assert budget.begin(SMALL, 0) is None
    assert budget.wait(SMALL, 0) == 3 + limits.CROSSING_GRACE
    leases[0].end(0)
    assert granted(budget, SMALL, 0)


@pytest.mark.parametrize(
    "cost", [Cost(sockets=limits.CROSSING_SOCKETS + 1), Cost(mappings=limits.CROSSING_MAPPINGS + 1)]
)
def test_what_is_beyond_all_bounds_never_begins(cost: Cost):
    assert Budget().wait(cost, 0) == inf
    assert Budget().begin(cost, 0) is None
