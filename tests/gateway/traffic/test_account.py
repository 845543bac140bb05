"""A contact, all strangers or a service keep to their rate, their quota and their connections."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.quantities import UNLIMITED
from gateway.traffic.account import Account
from gateway.traffic.limits import DATAGRAM_AHEAD_SECONDS, RATE_BURST_SECONDS, SHARE_QUANTUM
from gateway.traffic.terms import Terms

RATE = 1_000_000
NOW = 1000.0


def account(**terms: int) -> Account:
    account = Account()
    account.apply(Terms(**terms), NOW)
    return account


def moved(account: Account, seconds: float, *, step: float = 0.001, until: float = NOW) -> int:
    """Octets that go as soon as they may, by a clock that shows steps."""
    total = 0
    for tick in range(int(seconds / step)):
        now = until + tick * step
        while account.sent.back_at(now) <= now:
            octets = account.sent.most
            account.sent.charge(octets, now)
            total += octets
    return total


@pytest.mark.parametrize("step", [0.001, 0.02, 0.09])
@pytest.mark.parametrize("rate", [20_000, RATE, 100_000_000])
def test_a_rate_is_kept_within_five_percent_however_late_the_timers_are(rate, step):
    assert moved(account(rate=rate), 5, step=step) == pytest.approx(5 * rate, rel=0.05)


def test_each_direction_has_the_rate_for_itself():
    both = account(rate=RATE)
    both.sent.charge(10 * RATE, NOW)
    assert both.sent.back_at(NOW) > NOW
    assert both.received.back_at(NOW) == NOW


def test_nothing_is_saved_up_in_silence_but_a_moments_worth():
    quiet = account(rate=RATE)
    assert moved(quiet, 0.002, until=NOW + 3600) <= RATE * (RATE_BURST_SECONDS + 0.01) + SHARE_QUANTUM


def test_a_changed_rate_holds_at_once_and_debts_stay_in_time():
    slow = account(rate=RATE)
    slow.sent.charge(2 * RATE, NOW)
    owed = slow.sent.back_at(NOW) - NOW
    slow.apply(Terms(rate=4 * RATE), NOW)
    assert slow.sent.back_at(NOW) - NOW == pytest.approx(owed, rel=0.01)
    slow.apply(Terms(rate=UNLIMITED), NOW)
    assert slow.sent.back_at(NOW) == NOW


def test_a_quota_ends_at_its_last_octet():
    little = account(quota=150_000)
    sizes = []
    while little.sent.back_at(NOW) <= NOW:
        sizes.append(little.sent.most)
        little.sent.charge(sizes[-1], NOW)
    assert sum(sizes) == 150_000
    assert little.left == 0
    assert little.received.back_at(NOW) == inf
    assert not little.sent.may_datagram(1, NOW)


def test_datagrams_go_a_little_ahead_and_no_further():
    full = account(rate=RATE)
    passed = 0
    while full.sent.may_datagram(1000, NOW):
        full.sent.charge(1000, NOW)
        passed += 1000
    assert passed == pytest.approx(RATE * (RATE_BURST_SECONDS + DATAGRAM_AHEAD_SECONDS), abs=2000)


def test_connections_are_counted():
    few = account(connections=2)
    assert not few.is_full
    few.connections = 2
    assert few.is_full
    assert not account().is_full


def test_only_rates_and_quotas_are_asked_about_octets():
    assert not account(connections=3, weight=2).counts_octets
    assert not account(rate=UNLIMITED).counts_octets
    assert account(rate=1).counts_octets
    assert account(quota=1).counts_octets


@given(
    rate=st.integers(1000, 10**9),
    moments=st.lists(st.floats(0, 0.5), min_size=1, max_size=200),
)
def test_never_more_than_the_rate_and_a_burst(rate, moments):
    limited = account(rate=rate)
    now, total = NOW, 0
    for pause in moments:
        now += pause
        if limited.sent.back_at(now) <= now:
            octets = limited.sent.most
            limited.sent.charge(octets, now)
            total += octets
    burst = max(rate * RATE_BURST_SECONDS, limited.sent.quantum)
    assert total <= (now - NOW) * rate + burst + limited.sent.quantum + 1
