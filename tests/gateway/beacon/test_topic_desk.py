"""Topics at real beacons, alone and in a fleet: what gateways say and are told, and who says too much."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

import pytest

from gateway.beacon.embedded import open_embedded
from gateway.beacon.limits import BEACON_TOPIC_ASKS
from gateway.beacon.server import wall_clock
from gateway.beacon.shared import open_shared
from gateway.beacon.stores import Stores, StoreUnavailable
from tests.lab.redis import RedisProcess, eventually
from tests.lab.resolver_keys import key
from tunnels.limits import RELAY_TOPICS
from tunnels.relay import frames
from tunnels.relay.frames import IsIn, Refused, TopicsKept

if TYPE_CHECKING:
    from tests.lab.relay_clients import RelayClient

CHAT, GAME = b"c" * 20, b"g" * 20


async def told(client: RelayClient, topic: bytes) -> set[str]:
    await client.say(frames.WhoIsIn(topic=topic))
    answer = await client.hear()
    assert isinstance(answer, IsIn), answer
    assert answer.topic == topic
    return set(answer.ids)


async def say(client: RelayClient, *topics: bytes) -> int:
    await client.say(frames.Topics(ids=topics))
    answer = await client.hear()
    assert isinstance(answer, TopicsKept)
    return answer.kept


async def test_a_beacon_says_that_it_keeps_topics_and_tells_who_is_in_one(world) -> None:
    server = await world.beacon()
    a, b = await world.client(server, 1), await world.client(server, 2)
    assert a.welcome.topics == RELAY_TOPICS
    assert await say(a, CHAT) == 1
    assert await say(b, CHAT, GAME) == 2
    assert await told(a, CHAT) == {str(b.endpoint_id)}
    assert await told(a, GAME) == {str(b.endpoint_id)}
    assert await say(b) == 0
    assert await told(a, CHAT) == set()


async def test_who_hangs_up_is_told_of_no_more_and_who_comes_again_says_it_again(world) -> None:
    server = await world.beacon()
    a, b = await world.client(server, 1), await world.client(server, 2)
    await say(b, CHAT)
    again = await world.client(server, 2)
    assert await told(a, CHAT) == {str(b.endpoint_id)}, "another connection of the same endpoint is still it"
    await again.socket.close()
    await eventually(lambda: asyncio.sleep(0, not server.topics.table.entries))
    assert await told(a, CHAT) == set()


async def test_who_asks_without_end_is_refused_and_stays_connected(world) -> None:
    server = await world.beacon()
    a = await world.client(server, 1)
    answers = []
    for _ in range(BEACON_TOPIC_ASKS + 20):
        await a.say(frames.WhoIsIn(topic=CHAT))
        answers.append(await a.hear())
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert 0 < len(refused) <= 20
    assert {answer.code for answer in refused} == {"rate"}
    await a.say(frames.TurnPlease())
    assert await a.hear() == frames.Turn(turn=None)


@pytest.mark.parametrize(
    "garbage",
    [
        '{"type":"topics","ids":["AAAA"]}',
        '{"type":"topics","ids":7}',
        '{"type":"topics"}',
        '{"type":"who-is-in","topic":""}',
        '{"type":"who-is-in"}',
        json.dumps({"type": "topics", "ids": ["Y2NjY2NjY2NjY2NjY2NjY2NjY2M="] * (RELAY_TOPICS + 1)}),
    ],
)
async def test_garbage_ends_the_connection_of_whoever_says_it_and_no_other(world, garbage: str) -> None:
    server = await world.beacon()
    a, b = await world.client(server, 1), await world.client(server, 2)
    await say(b, CHAT)
    await a.socket.send_str(garbage)
    answer = await a.hear()
    assert isinstance(answer, Refused)
    assert await a.closed() == 1008
    assert await told(b, CHAT) == set()
    assert await say(b, CHAT) == 1


class _Shared:
    """What a fleet tells; away when it is told so."""

    def __init__(self) -> None:
        self.is_away = False
        self.members: set[tuple[bytes, object]] = set()

    def _check(self) -> None:
        if self.is_away:
            raise StoreUnavailable("away")

    async def announce(self, members) -> None:
        self._check()
        self.members.update(members)

    async def withdraw(self, members) -> None:
        self._check()
        self.members.difference_update(members)

    async def sample(self, topic, most):
        self._check()
        return tuple(each for of, each in self.members if of == topic)[:most]


async def test_a_fleet_that_does_not_answer_leaves_those_of_this_node(world) -> None:
    shared = _Shared()
    plain = await open_embedded(None, clock=wall_clock)
    world.finally_(plain.close)
    stores = Stores(
        plain.records,
        plain.accounts,
        None,
        None,
        nameplates=plain.nameplates,
        ready=plain.ready,
        close=plain.close,
        topics=shared,
    )
    server = await world.beacon(stores)
    a, b = await world.client(server, 1), await world.client(server, 2)
    await say(b, CHAT)
    await eventually(lambda: asyncio.sleep(0, (CHAT, b.endpoint_id) in shared.members))
    shared.members.add((CHAT, key(7).endpoint_id))
    assert await told(a, CHAT) == {str(b.endpoint_id), str(key(7).endpoint_id)}
    shared.is_away = True
    assert await told(a, CHAT) == {str(b.endpoint_id)}


@pytest.mark.needs("redis-server")
async def test_two_nodes_tell_of_each_others_members(world, tmp_path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(RedisProcess(tmp_path))
        servers = []
        for node in "ab":
            stores = await open_shared(redis.url, clock=wall_clock, node=node)
            stack.push_async_callback(stores.close)
            servers.append(await world.beacon(stores))
        a, b = await world.client(servers[0], 1), await world.client(servers[1], 2)
        await say(b, CHAT)

        async def is_told(expected: set[str]) -> bool:
            return await told(a, CHAT) == expected

        await eventually(lambda: is_told({str(b.endpoint_id)}))
        await b.socket.close()
        await eventually(lambda: is_told(set()))
        for server in servers:
            await world.leave(server)
