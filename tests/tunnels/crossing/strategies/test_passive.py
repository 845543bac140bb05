"""Strategies for which nothing is done but pings: between which networks each of them is enough."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from itertools import product
from random import Random

import pytest

from tunnels.crossing.description import Description, NetworkClass, Pair
from tunnels.crossing.registry import STRATEGIES
from tunnels.crossing.strategies import direct, hairpin, ipv6, lan, mapped, nat64, punch, relay, reverse, turn
from tunnels.crossing.strategies.passive import Passive
from tunnels.crossing.strategy import Cost, Setting
from tunnels.crossing.typical import typical

PASSIVE = [strategy for strategy in STRATEGIES if isinstance(strategy, Passive)]
OPEN, RESTRICTED, HOME, RANDOM, BLOCKED = (
    typical(each)
    for each in (
        NetworkClass.OPEN,
        NetworkClass.ADDRESS_RESTRICTED,
        NetworkClass.PORT_RESTRICTED,
        NetworkClass.RANDOM,
        NetworkClass.BLOCKED,
    )
)
IPV6, MAPPED = replace(HOME, has_ipv6=True), replace(RANDOM, is_mapped=True)
NAT64 = replace(HOME, through_nat64=True)


def at(description: Description, *, hairpin: bool | None = None) -> Description:
    """Seen at an address that is always the same."""
    behavior = replace(description.behavior, external_ips=(IPv4Address("203.0.113.9"),), hairpin=hairpin)
    return replace(description, behavior=behavior)


def poisoned(description: Description) -> Description:
    return replace(description, behavior=replace(description.behavior, inbound_first_poisons=True))


@pytest.mark.parametrize(
    ("strategy", "mine", "theirs", "suits"),
    [
        (direct, HOME, OPEN, True),
        (direct, OPEN, HOME, False),
        (reverse, OPEN, HOME, True),
        (direct, OPEN, OPEN, True),
        (direct, RANDOM, RESTRICTED, True),  # after the other one sent to our ip
        (reverse, RESTRICTED, RANDOM, True),
        (direct, HOME, RESTRICTED, False),  # punching does it
        (direct, BLOCKED, OPEN, False),
        (direct, HOME, MAPPED, False),  # that is a row of its own
        (mapped, HOME, MAPPED, True),
        (mapped, BLOCKED, MAPPED, False),
        (punch, HOME, HOME, True),
        (punch, RESTRICTED, HOME, True),
        (punch, HOME, RANDOM, False),
        (punch, HOME, BLOCKED, False),
        (ipv6, IPV6, IPV6, True),
        (ipv6, IPV6, HOME, False),
        (nat64, NAT64, OPEN, True),
        (nat64, NAT64, HOME, False),
        (nat64, NAT64, NAT64, False),
        (lan, at(HOME), at(HOME), True),
        (lan, at(HOME), HOME, False),
        (punch, at(HOME), at(HOME), False),
        (direct, at(HOME), at(OPEN), False),
        (hairpin, at(HOME, hairpin=True), at(HOME), True),
        (hairpin, at(HOME, hairpin=True), at(HOME, hairpin=False), False),
        (hairpin, at(HOME), at(HOME), False),
        (hairpin, at(HOME, hairpin=True), at(RANDOM), False),
        (turn, RANDOM, RANDOM, True),
        (turn, RANDOM, BLOCKED, False),
        (relay, BLOCKED, BLOCKED, True),
    ],
)
def test_a_strategy_suits_where_it_can_work(
    strategy: object, mine: Description, theirs: Description, suits: bool
):
    row = strategy.STRATEGY
    assert row.suits(Pair(mine, theirs)) is suits
    if row.code not in (direct.STRATEGY.code, reverse.STRATEGY.code):
        assert row.suits(Pair(theirs, mine)) is suits


def test_direct_at_one_end_is_reverse_at_the_other():
    for mine, theirs in product(map(typical, NetworkClass), repeat=2):
        pair = Pair(mine, theirs)
        assert direct.STRATEGY.suits(pair) == reverse.STRATEGY.suits(pair.swapped)


def test_two_routers_that_a_stranger_confuses_are_seldom_punched():
    assert punch.STRATEGY.success(Pair(HOME, poisoned(HOME))) > 0.9
    assert punch.STRATEGY.success(Pair(poisoned(HOME), poisoned(HOME))) < 0.5


@pytest.mark.parametrize("strategy", PASSIVE, ids=lambda strategy: strategy.name)
def test_nothing_is_done_and_nothing_is_spent(strategy: Passive):
    setting = Setting(
        pair=Pair(HOME, OPEN), targets=(), servers=(), round_trip=0.1, random=Random(1), is_client=True
    )
    assert strategy.attempt(setting) is None
    assert strategy.cost(setting.pair) == Cost()
    assert 0 < strategy.success(setting.pair) <= 1


def test_only_turn_and_the_relay_are_not_direct():
    assert [each for each in PASSIVE if not each.is_direct] == [turn.STRATEGY, relay.STRATEGY]
