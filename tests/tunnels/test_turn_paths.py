"""Facts about which connections need our allocation, and what is tried by way of it."""

from __future__ import annotations

import asyncio

import pytest

from tests.lab.endpoints import key_of, until
from tests.lab.paths import at, relay_to
from tunnels import limits
from tunnels.addresses import Address, TurnAddress
from tunnels.nat import limits as nat_limits
from tunnels.nat.allocation import TurnPlace
from tunnels.paths.candidates import Candidate, CandidateKind, PathPolicy
from tunnels.paths.checks import Offer, Sealer
from tunnels.paths.path import PathState
from tunnels.paths.path_set import PathSet
from tunnels.turn_paths import TurnPaths

PLACE = TurnPlace(at("198.51.100.1:3478"), at("198.51.100.1:50000"))
AGAIN = TurnPlace(PLACE.server, at("198.51.100.1:50001"))
PUBLIC, RELAYED, LAN = at("203.0.113.2"), at("198.51.100.9:50000"), at("192.168.1.2")
RELAY = relay_to("bob")


class FakeAllocation:
    def __init__(self) -> None:
        self.turn: TurnPlace | None = None
        self.wanted: list[tuple] = []
        self.released = 0

    def want_turn(self, permitted) -> None:
        self.wanted.append(tuple(permitted))

    def release_turn(self) -> None:
        self.released += 1


class FakeDriver:
    """A connection with bob whose paths are real, selected long ago."""

    def __init__(self, selected=RELAY, *, policy=PathPolicy.AUTO, since=-1000.0) -> None:
        self.is_usable = True
        self.flushes = 0
        now = asyncio.get_running_loop().time()
        self.paths = PathSet((), now=now + since, chance=bytes, confirmed=selected, policy=policy)
        self.offers = 0

    def schedule_flush(self) -> None:
        self.flushes += 1

    def offered(self, *addresses: Address, kind=CandidateKind.SERVER_REFLEXIVE) -> FakeDriver:
        """Bob says that he is there."""
        theirs = tuple(Candidate(address, kind) for address in addresses)
        self.offers += 1
        self.paths._offers.received(Offer(self.offers, is_answer=False, candidates=theirs), self.offers)
        return self

    @property
    def by_turn(self) -> list[Address]:
        return [address.peer for address in self.paths.addresses if isinstance(address, TurnAddress)]

    def state(self, address: Address, server: Address = PLACE.server) -> PathState:
        return self.paths._table.get(TurnAddress(server, address)).state


@pytest.fixture
def allocation():
    return FakeAllocation()


@pytest.fixture(autouse=True)
def a_clock(monkeypatch):
    monkeypatch.setattr(limits, "TURN_LOOK", 0.02)


async def looked(drivers, allocation) -> TurnPaths:
    paths = TurnPaths(drivers, allocation)
    paths.look_soon()
    await until(lambda: allocation.wanted or allocation.released)
    return paths


async def test_a_connection_by_a_relay_gets_paths_by_turn_to_where_the_peer_may_be(allocation):
    driver = FakeDriver().offered(PUBLIC, LAN, at("203.0.113.9:53"), PLACE.server, PLACE.relayed)
    driver.offered(PUBLIC, RELAYED, LAN, at("203.0.113.9:53"), PLACE.server, PLACE.relayed)
    paths = await looked([driver], allocation)
    assert allocation.wanted[0][:2] == (PUBLIC.ip, RELAYED.ip)
    assert driver.by_turn == [], "it is not there yet"
    allocation.turn = PLACE
    paths.look_soon()
    await until(lambda: driver.by_turn)
    assert driver.by_turn == [PUBLIC, RELAYED], (
        "no private addresses, no name servers, and not by itself to itself"
    )
    assert driver.flushes
    paths.close()
    assert "1 connections" in repr(paths)


async def test_what_the_peer_offers_later_is_tried_and_nothing_is_tried_twice(allocation):
    driver = FakeDriver().offered(PUBLIC)
    allocation.turn = PLACE
    paths = await looked([driver], allocation)
    await until(lambda: driver.by_turn == [PUBLIC])
    flushes, looks = driver.flushes, len(allocation.wanted)
    await until(lambda: len(allocation.wanted) > looks + 2)
    assert driver.flushes == flushes
    driver.offered(PUBLIC, RELAYED)
    paths.look_soon()
    await until(lambda: driver.by_turn == [PUBLIC, RELAYED])
    assert allocation.wanted[-1] == (PUBLIC.ip, RELAYED.ip)
    paths.close()


@pytest.mark.parametrize(
    ("selected", "policy"),
    [
        (PUBLIC, PathPolicy.AUTO),
        (LAN, PathPolicy.AUTO),
        (PUBLIC, PathPolicy.DIRECT_ONLY),
        (None, PathPolicy.AUTO),
        (RELAY, PathPolicy.DIRECT_ONLY),
    ],
)
async def test_who_has_a_direct_path_or_wants_no_other_needs_none(allocation, selected, policy):
    driver = FakeDriver(selected).offered(PUBLIC)
    driver.paths.set_policy(policy, 0.0)
    allocation.turn = PLACE
    (await looked([driver], allocation)).close()
    assert not allocation.wanted
    assert driver.by_turn == []


async def test_relay_only_may_use_it(allocation):
    driver = FakeDriver().offered(PUBLIC)
    driver.paths.set_policy(PathPolicy.RELAY_ONLY, 0.0)
    allocation.turn = PLACE
    (await looked([driver], allocation)).close()
    assert driver.by_turn == [PUBLIC]


async def test_a_connection_that_is_not_open_needs_none(allocation):
    driver = FakeDriver().offered(PUBLIC)
    driver.is_usable = False
    (await looked([driver], allocation)).close()
    assert not allocation.wanted


async def test_a_direct_path_is_waited_for_first(allocation, monkeypatch):
    monkeypatch.setattr(limits, "TURN_AFTER", 0.2)
    driver = FakeDriver(since=0.0)
    driver.paths._table.select(driver.paths._table.selected, asyncio.get_running_loop().time())
    paths = await looked([driver], allocation)
    assert not allocation.wanted
    await until(lambda: allocation.wanted)  # of its own accord
    paths.close()


async def test_it_is_kept_while_a_path_by_it_is_in_use_either_way(allocation):
    allocation.turn = PLACE
    sending = FakeDriver(TurnAddress(PLACE.server, PUBLIC))
    (await looked([sending], allocation)).close()
    assert allocation.wanted
    allocation.wanted.clear()
    receiving = FakeDriver().offered(RELAYED, kind=CandidateKind.RELAYED)
    now = asyncio.get_running_loop().time()
    receiving.paths.add_candidates(receiving.paths.peer_candidates, now)
    receiving.paths._table.select(receiving.paths._table.get(RELAYED), now)
    paths = await looked([receiving], allocation)
    await until(lambda: allocation.released)
    paths.close()
    assert not allocation.wanted, "the peer's serves both directions"
    receiving.paths.add_candidates([Candidate(TurnAddress(PLACE.server, PUBLIC), CandidateKind.RELAYED)], now)
    receiving.paths.heard(TurnAddress(PLACE.server, PUBLIC), now, 1200)
    paths = TurnPaths([receiving], allocation)
    paths.look_soon()
    await until(lambda: allocation.wanted)
    paths.close()


async def test_when_the_allocation_goes_its_paths_fail_and_with_the_next_one_they_are_tried_again(allocation):
    driver = FakeDriver().offered(PUBLIC)
    sealer = Sealer(bytes(32), is_client=True, peer_id=key_of("bob").endpoint_id, chance=bytes)
    driver.paths.exchange.peer_connection_id = b"bob's id"
    driver.paths.open(sealer, asyncio.get_running_loop().time())
    allocation.turn = PLACE
    paths = await looked([driver], allocation)
    await until(lambda: driver.by_turn)
    assert driver.state(PUBLIC) is not PathState.CLOSED
    allocation.turn = None
    paths.look_soon()
    await until(lambda: driver.state(PUBLIC) is PathState.CLOSED)
    driver.paths.checks_to_send()
    allocation.turn = AGAIN
    paths.look_soon()
    await until(lambda: driver.state(PUBLIC) is not PathState.CLOSED)
    assert TurnAddress(PLACE.server, PUBLIC) in {address for _, address in driver.paths.checks_to_send()}
    paths.close()


async def test_no_peer_crowds_out_another(allocation):
    many = [at(f"203.0.113.{number}") for number in range(1, 100)]
    drivers = [FakeDriver().offered(*many[start : start + 16]) for start in range(0, 96, 16)]
    (await looked(drivers, allocation)).close()
    for permitted in allocation.wanted:  # of each look there was time for
        assert len(permitted) == nat_limits.TURN_PEERS
        assert {many[start].ip for start in range(0, 96, 16)} == set(permitted[:6])


async def test_what_one_peer_offers_is_bounded(allocation):
    driver = FakeDriver().offered(
        *(at(f"203.0.{net}.{number}") for net in range(40) for number in range(1, 200))
    )
    allocation.turn = PLACE
    (await looked([driver], allocation)).close()
    assert len(allocation.wanted[0]) == len(driver.by_turn) == limits.MAX_CANDIDATES


async def test_closed_it_looks_no_more(allocation):
    paths = TurnPaths([FakeDriver()], allocation)
    paths.look_soon()
    paths.close()
    paths.look_soon()
    await asyncio.sleep(0.05)
    assert not allocation.wanted


async def test_news_without_end_makes_no_more_looks_than_there_are_gaps_and_puts_none_off(allocation):
    driver = FakeDriver(PUBLIC)
    paths = await looked([driver], allocation)
    looks, began = allocation.released, asyncio.get_running_loop().time()
    while allocation.released < looks + 3:
        paths.look_soon()
        await asyncio.sleep(0)
    passed = asyncio.get_running_loop().time() - began
    assert passed > 2 * limits.TURN_LOOK_GAP
    paths.close()
