"""The ladder: what is tried between any two networks, in which order, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from itertools import product
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnels.crossing import limits
from tunnels.crossing.description import Description, NetworkClass, Pair
from tunnels.crossing.history import History
from tunnels.crossing.ladder import Rung, ladder, taken_for
from tunnels.crossing.registry import STRATEGIES, by_code
from tunnels.crossing.strategies import direct, punch, relay, reverse, spray, tcp_open
from tunnels.crossing.strategy import Cost
from tunnels.crossing.typical import typical
from tunnels.nat.behavior import Allocation, AllocationKind, Behavior, Filtering, Mapping

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunnels.crossing.strategy import Attempt, Setting

NOTHING = History()
HOME, OPEN, RESTRICTED, RANDOM, UNKNOWN = (
    replace(typical(network_class), network=label)
    for network_class, label in (
        (NetworkClass.PORT_RESTRICTED, b"home"),
        (NetworkClass.OPEN, b"open"),
        (NetworkClass.ADDRESS_RESTRICTED, b"restr"),
        (NetworkClass.RANDOM, b"random"),
        (NetworkClass.UNKNOWN, b"unknown"),
    )
)


def names(mine: Description, theirs: Description, history: History = NOTHING) -> list[str]:
    return [rung.strategy.name for rung in ladder(Pair(mine, theirs), history)]


@dataclass(frozen=True)
class Row:
    """A strategy that takes an attempt."""

    name: str
    code: int
    chance: float
    price: Cost
    fits: Callable[[Pair], bool] = lambda _: True
    summary: str = "for tests"

    def suits(self, pair: Pair) -> bool:
        return self.fits(pair)

    def success(self, pair: Pair) -> float:
        return self.chance

    def cost(self, pair: Pair) -> Cost:
        return self.price

    def attempt(self, setting: Setting) -> Attempt | None:
        raise AssertionError


QUICK = Row("quick", 201, 0.5, Cost(datagrams=20, seconds=1))
SURE = Row("sure", 202, 0.9, Cost(datagrams=50, mappings=50, seconds=6))
GUESS = Row("guess", 203, 0.98, Cost(datagrams=900, mappings=128, seconds=20, guesses=True))
VAIN = Row("vain", 204, limits.LADDER_LEAST / 2, Cost(datagrams=20, seconds=1))
ROWS = (GUESS, relay.STRATEGY, SURE, VAIN, punch.STRATEGY, QUICK)


def order(mine: Description, theirs: Description, history: History = NOTHING) -> list[str]:
    return [rung.strategy.name for rung in ladder(Pair(mine, theirs), history, ROWS)]


# --- the order ----------------------------------------------------------------------------------------------


def test_the_likeliest_for_its_cost_comes_first_and_the_relay_last():
    assert order(RANDOM, HOME) == ["quick", "sure", "guess", "relay"]


def test_nothing_expensive_is_tried_where_pings_are_nearly_sure_to_do_it():
    assert order(HOME, HOME) == ["punching", "quick", "sure", "relay"]


def test_where_pings_are_not_sure_what_is_expensive_comes_after_them():
    poisoned = replace(HOME, behavior=replace(HOME.behavior, inbound_first_poisons=True))
    assert order(poisoned, poisoned) == ["punching", "quick", "sure", "guess", "relay"]


def test_what_worked_between_these_networks_comes_first():
    history = History()
    history.note(b"random", b"home", GUESS.code, worked=True)
    rungs = ladder(Pair(RANDOM, HOME), history, ROWS)
    assert [rung.strategy.name for rung in rungs] == ["guess", "quick", "sure", "relay"]
    assert rungs[0].why == "it worked between these networks before"
    assert order(RANDOM, replace(HOME, network=b"other"), history) == order(RANDOM, HOME)


def test_what_failed_there_again_and_again_comes_after_the_rest():
    history = History()
    for _ in range(limits.HISTORY_GIVEN_UP):
        history.note(b"random", b"home", QUICK.code, worked=False)
    assert order(RANDOM, HOME, history) == ["sure", "guess", "quick", "relay"]


def test_each_failure_there_makes_others_more_promising():
    history = History()
    assert order(RANDOM, HOME, history)[:2] == ["quick", "sure"]
    history.note(b"random", b"home", QUICK.code, worked=False)
    history.note(b"random", b"home", QUICK.code, worked=False)
    assert order(RANDOM, HOME, history)[0] == "sure"


def test_where_the_fast_spray_failed_the_slow_one_is_tried_next():
    history = History()
    assert names(RANDOM, HOME, history)[:2] == ["spray of knocks", "slow spray of knocks"]
    history.note(b"random", b"home", spray.STRATEGY.code, worked=False)
    assert names(RANDOM, HOME, history)[:2] == ["slow spray of knocks", "spray of knocks"]


def test_history_does_not_bring_in_what_does_not_suit():
    history = History()
    history.note(b"home", b"home", GUESS.code, worked=True)
    assert "guess" not in order(HOME, HOME, history)


def test_a_path_over_tcp_is_sought_once_nothing_better_is_found():
    rows = (relay.STRATEGY, replace(QUICK, code=tcp_open.STRATEGY.code, name="tcp"), VAIN, GUESS)
    history = History()

    def found() -> list[str]:
        return [rung.strategy.name for rung in ladder(Pair(RANDOM, HOME), history, rows)]

    assert found() == ["guess", "tcp", "relay"]
    history.note(b"random", b"home", tcp_open.STRATEGY.code, worked=True)
    assert found() == ["guess", "tcp", "relay"]


# --- where less is tried ------------------------------------------------------------------------------------


@pytest.mark.parametrize("small", [0, 1])
def test_a_network_that_runs_out_of_mappings_is_spared(small: int):
    ends = [RANDOM, HOME]
    ends[small] = replace(ends[small], is_small=True)
    assert order(*ends) == ["quick", "relay"]


def test_nobody_guesses_ports_at_his_own_router():
    here, there = (
        replace(each, behavior=replace(each.behavior, external_ips=(IPv4Address("203.0.113.9"),)))
        for each in (RANDOM, HOME)
    )
    assert order(here, there) == ["relay"]
    assert names(here, there) == ["local network", "TURN", "relay"]
    sends_back = replace(there, behavior=replace(there.behavior, hairpin=True))
    assert names(sends_back, there) == ["local network", "hairpin", "TURN", "relay"]


# --- what is unknown ----------------------------------------------------------------------------------------


def test_an_unknown_network_is_taken_for_a_home_first():
    rungs = ladder(Pair(UNKNOWN, HOME), NOTHING, ROWS)
    punching = rungs[0]
    assert punching.strategy is punch.STRATEGY
    assert punching.pair.classes == (NetworkClass.PORT_RESTRICTED, NetworkClass.PORT_RESTRICTED)
    assert punching.pair.mine.behavior.inbound_first_poisons
    assert punching.success == pytest.approx(0.97 * limits.LADDER_UNKNOWN)
    assert punching.why.endswith("; in case we are port-restricted")


def test_and_for_a_symmetric_one_after_that():
    row = replace(SURE, fits=lambda pair: pair.has(NetworkClass.RANDOM, NetworkClass.PORT_RESTRICTED))
    (rung, _) = ladder(Pair(HOME, UNKNOWN), NOTHING, (row, relay.STRATEGY))
    assert rung.pair.classes == (NetworkClass.PORT_RESTRICTED, NetworkClass.RANDOM)
    assert rung.why == "for tests; in case the peer is symmetric, random ports"
    assert taken_for(row, Pair(UNKNOWN, UNKNOWN)) is None


def test_what_is_known_of_an_unknown_network_is_kept():
    seen = Behavior(allocation=Allocation(AllocationKind.DELTA, delta=2), inbound_first_poisons=False)
    row = replace(SURE, fits=lambda pair: pair.has(NetworkClass.SEQUENTIAL, NetworkClass.PORT_RESTRICTED))
    unknown = Description(behavior=seen)
    taken = taken_for(row, Pair(unknown, HOME))
    assert taken is not None
    assert taken.mine.behavior.allocation == seen.allocation
    home = taken_for(punch.STRATEGY, Pair(unknown, HOME))
    assert home is not None
    assert home.mine.behavior.inbound_first_poisons is False


def test_an_open_peer_is_dialled_from_wherever_we_are():
    rung = ladder(Pair(UNKNOWN, OPEN), NOTHING)[0]
    assert (rung.strategy, rung.success) == (direct.STRATEGY, 0.99)


# --- the table ----------------------------------------------------------------------------------------------

LETTERS = {
    "D": "direct dial",
    "R": "reverse dial",
    "H": "punching",
    "T": "two-stage punch",
    "P": "port prediction",
    "PP": "port prediction at both ends",
    "B": "knocks at a block",
    "BB": "combinations of two blocks",
    "PB": "predicted ports and a block",
    "S": "spray of knocks",
    "s": "slow spray of knocks",
    "C": "TCP simultaneous open",
}
TABLE = """
we, the peer:      | open  | address | port      | in order | block   | random | blocked | unknown
open               | D R C | R C     | R C       | R C      | R C     | R C    | C       | R C
address_restricted | D C   | H T C   | H T C     | R C      | R C     | R C    | C       | R H T C
port_restricted    | D C   | H T C   | H T C     | P S s C  | B S s C | S s C  | C       | H T S s C
sequential         | D C   | D C     | P S s C   | PP       | PB      | -      | C       | P S s C
block              | D C   | D C     | B S s C   | PB       | BB      | -      | C       | B S s C
random             | D C   | D C     | S s C     | -        | -       | -      | C       | S s C
blocked            | C     | C       | C         | C        | C       | C      | C       | C
unknown            | D C   | D H T C | H T S s C | P S s C  | B S s C | S s C  | C       | H T C
"""
"""What comes before TURN and the relay, with what costs more after what costs less."""


def _cells() -> list[tuple[NetworkClass, NetworkClass, str]]:
    rows = [line.split("|") for line in TABLE.strip().splitlines()[1:]]
    assert [row[0].strip() for row in rows] == [kind.name.lower() for kind in NetworkClass]
    return [
        (mine, theirs, cell.strip())
        for mine, row in zip(NetworkClass, rows, strict=True)
        for theirs, cell in zip(NetworkClass, row[1:], strict=True)
    ]


@pytest.mark.parametrize(("mine", "theirs", "cell"), _cells())
def test_what_is_tried_between_usual_networks(mine: NetworkClass, theirs: NetworkClass, cell: str):
    found = names(typical(mine), typical(theirs))
    is_blocked = NetworkClass.BLOCKED in (mine, theirs)
    assert found[-2:] == ["TURN", "relay"] or (is_blocked and found[-1] == "relay")
    direct_ones = [name for name in found if name not in ("TURN", "relay")]
    assert direct_ones == [LETTERS[letter] for letter in cell.split() if letter != "-"]


def test_the_table_is_the_same_from_both_ends():
    cells = {(mine, theirs): cell.split() for mine, theirs, cell in _cells()}
    for (mine, theirs), cell in cells.items():
        mirror = [{"D": "R", "R": "D"}.get(letter, letter) for letter in cells[theirs, mine]]
        assert sorted(cell) == sorted(mirror)


# --- any two networks ---------------------------------------------------------------------------------------

_ips = st.lists(st.sampled_from([IPv4Address("203.0.113.9"), IPv4Address("192.0.2.77")]), max_size=2).map(
    tuple
)
_allocations = st.builds(
    Allocation,
    kind=st.sampled_from(AllocationKind),
    delta=st.none() | st.integers(-8, 8),
    span=st.none() | st.just((20480, 21503)),
    keeps_parity=st.none() | st.booleans(),
)
_behaviors = st.builds(
    Behavior,
    translated=st.none() | st.booleans(),
    mapping=st.sampled_from(Mapping),
    filtering=st.sampled_from(Filtering),
    allocation=_allocations,
    noise=st.none() | st.floats(0, 300),
    external_ips=_ips,
    hairpin=st.none() | st.booleans(),
    inbound_first_poisons=st.none() | st.booleans(),
)
_descriptions = st.builds(
    Description,
    behavior=_behaviors,
    udp_blocked=st.none() | st.booleans(),
    is_mapped=st.booleans(),
    network=st.sampled_from([b"", b"one", b"other"]),
    is_small=st.booleans(),
    has_ipv6=st.booleans(),
    through_nat64=st.booleans(),
)
_pairs = st.builds(Pair, _descriptions, _descriptions)
_outcomes = st.lists(st.tuples(st.sampled_from(STRATEGIES), st.booleans()), max_size=8)


def codes(rungs: tuple[Rung, ...]) -> list[int]:
    return [rung.strategy.code for rung in rungs]


def mirrored(found: list[int]) -> set[int]:
    """As the other end calls them."""
    other = {direct.STRATEGY.code: reverse.STRATEGY.code, reverse.STRATEGY.code: direct.STRATEGY.code}
    return {other.get(code, code) for code in found}


@given(_pairs, _outcomes)
def test_between_any_two_networks_there_is_a_ladder_that_ends_at_the_relay(
    pair: Pair, outcomes: list[tuple[object, bool]]
):
    history = History()
    for strategy, worked in outcomes:
        history.note(pair.mine.network, pair.theirs.network, strategy.code, worked=worked)
    rungs = ladder(pair, history)
    assert rungs[-1].strategy is relay.STRATEGY
    assert len(set(codes(rungs))) == len(rungs)
    assert set(codes(rungs)) == set(codes(ladder(pair, NOTHING))), "history changes the order only"
    assert mirrored(codes(ladder(pair.swapped, NOTHING))) == set(codes(rungs)), "both ends find the same"
    kinds = [(rung.needs_attempt, not rung.is_direct) for rung in rungs]
    assert kinds == sorted(kinds, key=lambda kind: (kind[1], kind[0])), "pings, attempts, relays"
    for rung in rungs:
        assert rung.strategy.suits(rung.pair)
        assert rung.cost == rung.strategy.cost(rung.pair)
        assert limits.LADDER_LEAST <= rung.success <= 1
        assert rung.why


@given(_pairs)
def test_no_ports_are_guessed_at_homes_that_let_us_in_or_share_our_address(pair: Pair):
    easy = {NetworkClass.OPEN, NetworkClass.ADDRESS_RESTRICTED}
    if pair.is_behind_one_address or easy & set(pair.classes):
        for rung in ladder(pair, NOTHING):
            assert not rung.cost.guesses
            assert not rung.strategy.cost(rung.pair.swapped).guesses


def test_a_rung_is_found_by_its_code_at_the_other_end():
    for mine, theirs in product(map(typical, NetworkClass), repeat=2):
        for rung in ladder(Pair(mine, theirs), NOTHING):
            assert by_code(rung.strategy.code) is rung.strategy
