"""Numbers of spoken codes at one node: small, few for each, for a while, and taken once."""

from __future__ import annotations

import random

import pytest

from gateway.beacon.limits import BEACON_NAMEPLATE_SECONDS, BEACON_NAMEPLATES_PER_ENDPOINT
from gateway.beacon.nameplates import NameplateTable, candidates
from gateway.beacon.stores import Nameplate
from tests.lab.invites import Clock
from tests.lab.resolver_keys import key
from tunnels.limits import NAMEPLATES

ID = key(1).endpoint_id
PLATE = Nameplate(ID, bytes(16))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(clock: Clock) -> NameplateTable:
    return NameplateTable(clock, random.Random(7).random)


async def test_a_nameplate_is_found_and_taken_once(table: NameplateTable) -> None:
    number = await table.put(PLATE)
    assert number is not None
    assert number < 10
    assert await table.look(number)
    assert await table.take(number) == PLATE
    assert not await table.look(number)
    assert await table.take(number) is None


async def test_it_is_there_for_a_while(table: NameplateTable, clock: Clock) -> None:
    number = await table.put(PLATE)
    clock.now += BEACON_NAMEPLATE_SECONDS
    assert not await table.look(number)
    assert await table.take(number) is None


async def test_only_its_owner_takes_it_away(table: NameplateTable) -> None:
    number = await table.put(PLATE)
    await table.release(number, key(2).endpoint_id)
    assert await table.look(number)
    await table.release(number, ID)
    assert not await table.look(number)
    await table.release(number, ID)


async def test_an_endpoint_has_a_few_and_expired_ones_do_not_count(
    table: NameplateTable, clock: Clock
) -> None:
    for _ in range(BEACON_NAMEPLATES_PER_ENDPOINT):
        assert await table.put(PLATE)
    assert await table.put(PLATE) is None
    assert await table.put(Nameplate(key(2).endpoint_id, bytes(16)))
    clock.now += BEACON_NAMEPLATE_SECONDS
    assert await table.put(PLATE)
    assert len(table) == 1


async def test_the_table_is_bounded_by_the_numbers_that_there_are(table: NameplateTable) -> None:
    given = set()
    for owner in range(1, 60):
        for _ in range(BEACON_NAMEPLATES_PER_ENDPOINT):
            given.add(await table.put(Nameplate(key(owner).endpoint_id, bytes(16))))
    assert None not in given
    assert len(given) == len(table) == 59 * BEACON_NAMEPLATES_PER_ENDPOINT
    full = NameplateTable(Clock(), lambda: 0.5)  # the same number of each length again and again
    for owner in range(1, 5):
        assert await full.put(Nameplate(key(owner).endpoint_id, bytes(16)))
    assert await full.put(Nameplate(key(5).endpoint_id, bytes(16))) is None


@pytest.mark.parametrize("chance", [0.0, 0.5, 1 - 2**-53])
def test_numbers_get_longer_only_when_short_ones_are_taken(chance: float) -> None:
    numbers = list(candidates(lambda: chance))
    assert sorted(numbers, key=lambda number: len(str(number))) == numbers
    assert 1 <= min(numbers) <= max(numbers) <= NAMEPLATES
