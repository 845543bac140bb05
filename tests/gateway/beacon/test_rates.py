"""Token buckets: how much, how fast again, and how many keys."""

from __future__ import annotations

from gateway.beacon.rates import Rates


def test_a_burst_is_had_at_once_and_then_what_the_rate_gives() -> None:
    rates = Rates(10, 5, bound=100)
    assert [rates.take("a", 1, 0.0) for _ in range(6)] == [True] * 5 + [False]
    assert rates.take("a", 1, 0.1)
    assert not rates.take("a", 1, 0.1)


def test_what_is_refused_costs_nothing() -> None:
    rates = Rates(10, 5, bound=100)
    assert not rates.take("a", 6, 0.0)
    assert rates.take("a", 5, 0.0)


def test_one_key_does_not_use_up_anothers_rate() -> None:
    rates = Rates(1, 1, bound=100)
    assert rates.take("a", 1, 0.0)
    assert rates.take("b", 1, 0.0)


def test_no_more_than_the_burst_gathers() -> None:
    rates = Rates(10, 5, bound=100)
    assert rates.take("a", 5, 0.0)
    assert rates.take("a", 5, 1000.0)
    assert not rates.take("a", 1, 1000.0)


def test_a_rate_of_nothing_is_no_limit_and_remembers_nobody() -> None:
    rates = Rates(0, 0, bound=1)
    assert all(rates.take(n, 1e9, 0.0) for n in range(100))
    assert len(rates) == 0


def test_ten_thousand_keys_fill_the_table_and_no_more_and_share_what_is_left() -> None:
    rates = Rates(1, 2, bound=1000)
    taken = [rates.take(n, 1, 0.0) for n in range(10_000)]
    assert len(rates) == 1000
    assert sum(taken) == 1000 + 2


def test_keys_that_are_quiet_again_make_room() -> None:
    rates = Rates(1, 1, bound=10)
    for n in range(10):
        assert rates.take(n, 1, 0.0)
    assert rates.take("new", 1, 5.0)
    assert len(rates) == 1


def test_sweeping_forgets_the_quiet_only() -> None:
    rates = Rates(1, 10, bound=10)
    rates.take("quiet", 1, 0.0)
    rates.take("busy", 10, 0.0)
    rates.sweep(2.0)
    assert len(rates) == 1
    assert not rates.take("busy", 10, 2.0)


def test_it_tells_how_long_to_wait() -> None:
    rates = Rates(2, 4, bound=10)
    assert rates.wait("a", 1, 0.0) == 0
    rates.take("a", 4, 0.0)
    assert rates.wait("a", 1, 0.0) == 0.5
    assert rates.take("a", 1, 0.5)
