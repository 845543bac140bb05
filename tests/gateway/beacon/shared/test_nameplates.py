"""Numbers of spoken codes that all nodes of a fleet share."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from gateway.beacon.limits import BEACON_NAMEPLATE_SECONDS, BEACON_NAMEPLATES_PER_ENDPOINT
from gateway.beacon.shared.database import RedisDatabase
from gateway.beacon.shared.nameplates import RedisNameplates
from gateway.beacon.stores import Nameplate, StoreUnavailable
from tests.lab.resolver_keys import key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.lab.redis import RedisProcess

pytestmark = pytest.mark.needs("redis-server")
ID = key(1).endpoint_id
PLATE = Nameplate(ID, bytes(range(16)))


@pytest.fixture
async def nodes(redis: RedisProcess) -> AsyncIterator[tuple[RedisNameplates, RedisNameplates]]:
    async with AsyncExitStack() as stack:
        made = []
        for seed in (1, 2):
            database = RedisDatabase(redis.url)
            stack.push_async_callback(database.close)
            made.append(RedisNameplates(database, random.Random(seed).random))
        yield made[0], made[1]


async def test_what_one_node_puts_another_takes_once(nodes) -> None:
    here, there = nodes
    number = await here.put(PLATE)
    assert number < 10
    assert await there.look(number)
    taken = await asyncio.gather(*(node.take(number) for node in nodes))
    assert sorted(taken, key=str) == sorted([PLATE, None], key=str)
    assert not await here.look(number)


async def test_an_endpoint_has_a_few_on_all_nodes_together(nodes) -> None:
    here, there = nodes
    numbers = [await node.put(PLATE) for node in (here, there) * (BEACON_NAMEPLATES_PER_ENDPOINT // 2)]
    assert len(set(numbers)) == BEACON_NAMEPLATES_PER_ENDPOINT
    assert await here.put(PLATE) is None
    await there.take(numbers[0])
    assert await here.put(PLATE)
    assert await here.put(PLATE) is None
    await there.release(numbers[1], ID)
    assert await here.put(PLATE)


async def test_only_its_owner_takes_it_away(nodes) -> None:
    number = await nodes[0].put(PLATE)
    await nodes[1].release(number, key(2).endpoint_id)
    assert await nodes[1].look(number)
    await nodes[1].release(number, ID)
    assert not await nodes[0].look(number)


async def test_redis_forgets_them_by_itself(nodes, database: RedisDatabase) -> None:
    number = await nodes[0].put(PLATE)
    for name in (f"overlay:plate:{number}", f"overlay:plates:{ID}"):
        assert 0 < await database.client.pttl(name) <= BEACON_NAMEPLATE_SECONDS * 1000


async def test_what_somebody_else_wrote_there_is_nobody(nodes, database: RedisDatabase) -> None:
    await database.client.set("overlay:plate:5", b"nonsense")
    assert await nodes[0].take(5) is None


async def test_a_redis_that_is_away_is_told(nodes, redis: RedisProcess) -> None:
    await redis.stop()
    with pytest.raises(StoreUnavailable):
        await nodes[0].put(PLATE)
