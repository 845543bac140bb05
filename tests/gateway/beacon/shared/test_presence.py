"""Who is where, told by two nodes that share one Redis, which may forget it all."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from gateway.beacon.limits import PRESENCE_BATCH, PRESENCE_NODE_SECONDS, PRESENCE_SECONDS
from gateway.beacon.shared.database import RedisDatabase
from gateway.beacon.shared.presence import RedisPresence
from gateway.beacon.stores import StoreUnavailable
from tests.lab.redis import RedisProcess, eventually
from tests.lab.resolver_keys import key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.needs("redis-server")
ID = key(1).endpoint_id
OTHER = key(2).endpoint_id
KEY = f"overlay:at:{ID}"


class Nodes:
    """Presence of the nodes a, b and c."""

    def __init__(self, a: RedisPresence, b: RedisPresence, c: RedisPresence) -> None:
        self.a, self.b, self.c = a, b, c


@pytest.fixture
async def nodes(redis: RedisProcess) -> AsyncIterator[Nodes]:
    async with AsyncExitStack() as stack:
        made = []
        for name in "abc":
            database = RedisDatabase(redis.url)
            stack.push_async_callback(database.close)
            presence = RedisPresence(database, name)
            stack.push_async_callback(presence.close)
            await presence.start()
            made.append(presence)
        yield Nodes(*made)


async def test_others_are_told_where_an_endpoint_is_and_its_own_node_is_not(nodes: Nodes) -> None:
    assert await nodes.a.nodes_of((ID,)) == {}
    await nodes.b.announce((ID,))
    assert await nodes.a.nodes_of((ID, OTHER)) == {ID: "b"}
    assert await nodes.b.nodes_of((ID,)) == {}
    await nodes.b.withdraw(ID)
    assert await nodes.a.nodes_of((ID,)) == {}


async def test_an_endpoint_at_several_nodes_is_where_it_came_last_and_then_where_it_still_is(
    nodes: Nodes,
) -> None:
    await nodes.b.announce((ID,))
    await eventually_moves(nodes, to="c")
    await nodes.c.withdraw(ID)
    assert await nodes.a.nodes_of((ID,)) == {ID: "b"}


async def eventually_moves(nodes: Nodes, to: str) -> None:
    """Announce it there until the clock of Redis has gone on by a millisecond."""

    async def moved() -> bool:
        await nodes.c.withdraw(ID)
        await nodes.c.announce((ID,))
        return await nodes.a.nodes_of((ID,)) == {ID: to}

    await eventually(moved)


async def test_saying_it_again_does_not_make_a_node_the_last_one(nodes: Nodes) -> None:
    await nodes.b.announce((ID,))
    await eventually_moves(nodes, to="c")
    for _ in range(20):
        await nodes.b.announce((ID, OTHER))
    assert await nodes.a.nodes_of((ID, OTHER)) == {ID: "c", OTHER: "b"}


async def test_who_has_withdrawn_does_not_take_another_nodes_word_with_it(nodes: Nodes) -> None:
    await nodes.b.announce((ID,))
    await nodes.c.withdraw(ID)
    assert await nodes.a.nodes_of((ID,)) == {ID: "b"}


@pytest.mark.parametrize("how", ["flushed", "restarted"])
async def test_a_redis_that_forgot_is_told_again(redis: RedisProcess, nodes: Nodes, how: str) -> None:
    await nodes.b.announce((ID, OTHER))
    await nodes.b.withdraw(OTHER)
    if how == "flushed":
        await redis.ask("FLUSHALL")
    else:
        await redis.stop()
        await redis.start()
    await eventually(lambda: knows(nodes.a, {ID: "b"}))


async def knows(presence: RedisPresence, expected: dict[object, str]) -> bool:
    try:
        return await presence.nodes_of((ID, OTHER)) == expected
    except StoreUnavailable:
        return False


async def test_who_comes_and_goes_while_redis_is_away_is_told_later(
    redis: RedisProcess, nodes: Nodes
) -> None:
    await nodes.b.announce((OTHER,))
    await redis.stop()
    with pytest.raises(StoreUnavailable):
        await nodes.b.announce((ID,))
    with pytest.raises(StoreUnavailable):
        await nodes.b.withdraw(OTHER)
    with pytest.raises(StoreUnavailable):
        await nodes.a.nodes_of((ID,))
    await redis.start()
    await eventually(lambda: knows(nodes.a, {ID: "b"}))


async def test_a_node_that_does_not_live_is_not_named(redis: RedisProcess, database: RedisDatabase) -> None:
    dead, asking = RedisPresence(database, "dead"), RedisPresence(database, "asking")
    await dead.announce((ID,))
    assert await asking.nodes_of((ID,)) == {}
    await redis.ask("SET", "overlay:node:dead", "1")
    assert await asking.nodes_of((ID,)) == {ID: "dead"}


async def test_an_old_announcement_does_not_count(redis: RedisProcess, database: RedisDatabase) -> None:
    await redis.ask("SET", "overlay:node:old", "1")
    asking = RedisPresence(database, "asking")
    for nonsense in ("1000 2000", "x", "", "1 2 3"):
        await redis.ask("HSET", KEY, "old", nonsense)
        assert await asking.nodes_of((ID,)) == {}


async def test_everything_said_expires(redis: RedisProcess, nodes: Nodes) -> None:
    await nodes.b.announce((ID,))
    for name, longest in ((KEY, PRESENCE_SECONDS), ("overlay:node:b", PRESENCE_NODE_SECONDS)):
        assert 0 < int((await redis.ask("PTTL", name))[1:]) <= longest * 1000


async def test_more_than_one_request_holds_are_told(nodes: Nodes) -> None:
    many = tuple(key(number).endpoint_id for number in range(1, PRESENCE_BATCH * 2 + 10))
    await nodes.b.announce(many)
    assert await nodes.a.nodes_of(many) == dict.fromkeys(many, "b")


async def test_a_node_that_closes_takes_everybody_with_it(redis: RedisProcess, nodes: Nodes) -> None:
    await nodes.b.announce((ID, OTHER))
    await nodes.b.close()
    assert await nodes.a.nodes_of((ID, OTHER)) == {}
    assert await redis.ask("KEYS", "overlay:at:*") == b"*0\r\n"
    assert await redis.ask("EXISTS", "overlay:node:b") == b":0\r\n"


async def test_a_node_starts_and_closes_without_a_redis(tmp_path: Path) -> None:
    database = RedisDatabase(RedisProcess(tmp_path).url)
    presence = RedisPresence(database, "alone")
    await presence.start()
    await presence.close()
    await database.close()
