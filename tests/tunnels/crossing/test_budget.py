"""All attempts of a process together stay within its bounds; each bound is filled here."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from tunnels.addresses import Address
from tunnels.crossing import limits
from tunnels.crossing.budget import Budget, Lease
from tunnels.crossing.strategy import Cost

HOME = Address.of("203.0.113.9", 41641)
SMALL = Cost(datagrams=10, seconds=3)
SPRAY = Cost(datagrams=2048, sockets=128, mappings=256, seconds=20, guesses=True)


def granted(budget: Budget, cost: Cost, now: float) -> Lease:
    lease = budget.begin(cost, now)
    assert lease is not None
    return lease


def sent(lease: Lease, count: int, now: float, to: Address = HOME) -> int:
    return sum(lease.may_send(to, now) for _ in range(count))


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
    assert budget.wait(cost, 3) == limits.CROSSING_MAPPING_SECONDS


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
    assert budget.wait(SPRAY, 3) == limits.CROSSING_GUESS_REST
    assert budget.begin(SPRAY, 22.9) is None
    assert granted(budget, SPRAY, 23)
    assert budget.wait(SPRAY, 23) == 20 + limits.CROSSING_GRACE + limits.CROSSING_GUESS_REST


def test_an_attempt_that_guessed_and_was_forgotten_makes_the_next_one_wait_no_longer():
    budget = Budget()
    assert granted(budget, replace(SPRAY, seconds=5), 0).may_send(HOME, 0)
    ended = 5 + limits.CROSSING_GRACE
    assert budget.wait(SPRAY, ended + 1) == limits.CROSSING_GUESS_REST - 1


def test_an_attempt_that_the_peer_refused_makes_the_next_one_wait_not_at_all():
    budget = Budget()
    granted(budget, SPRAY, 0).end(1, has_guessed=False)
    assert granted(budget, SPRAY, 1)


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
