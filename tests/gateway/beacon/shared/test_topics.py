"""Who is in which topic, as the nodes of a fleet tell it by one Redis."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.beacon.limits import BEACON_TOPIC_SECONDS
from gateway.beacon.shared import topics as module
from gateway.beacon.shared.topics import RedisTopics
from tests.lab.redis import eventually
from tests.lab.resolver_keys import key

if TYPE_CHECKING:
    from gateway.beacon.shared.database import RedisDatabase

pytestmark = pytest.mark.needs("redis-server")
CHAT, GAME = b"c" * 20, b"g" * 20
A, B, C = (key(number).endpoint_id for number in range(1, 4))


async def test_what_one_node_says_another_is_told_until_it_is_withdrawn(database: RedisDatabase) -> None:
    topics, others = RedisTopics(database), RedisTopics(database)
    await topics.announce([(CHAT, A), (CHAT, B), (GAME, C)])
    assert set(await others.sample(CHAT, 5)) == {A, B}
    assert await others.sample(GAME, 5) == (C,)
    assert len(await others.sample(CHAT, 1)) == 1
    await topics.withdraw([(CHAT, A), (GAME, C)])
    assert await others.sample(CHAT, 5) == (B,)
    assert await others.sample(GAME, 5) == ()
    await topics.announce([])
    await topics.withdraw([])


async def test_of_too_many_those_that_were_said_longest_ago_go(
    database: RedisDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEACON_TOPIC_MEMBERS_SHARED", 2)
    topics = RedisTopics(database)
    for each in (A, B, C):
        await topics.announce([(CHAT, each)])
        await asyncio.sleep(0.005)  # it is said by the millisecond
    found = await topics.sample(CHAT, 5)
    assert len(found) == 2
    assert C in found


async def test_what_nobody_says_again_is_forgotten(
    database: RedisDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = RedisTopics(database)
    await topics.announce([(CHAT, A)])
    name = f"overlay:topic:{module.zbase32_encode(CHAT)}"
    assert 0 < await database.client.pttl(name) <= BEACON_TOPIC_SECONDS * 1000
    monkeypatch.setattr(module, "BEACON_TOPIC_SECONDS", 0.0)

    async def is_gone() -> bool:
        return await topics.sample(CHAT, 5) == ()

    await eventually(is_gone)
