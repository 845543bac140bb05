"""Redis answers, or it is told within a deadline that it does not, and all goes on when it does again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.beacon.shared import open_shared
from gateway.beacon.shared.database import RedisDatabase
from gateway.beacon.stores import Balance, StoreUnavailable
from gateway.errors import ConfigurationError
from tests.lab.redis import RedisProcess, eventually, free_port
from tests.lab.resolver_keys import NOW, key, packet

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.needs("redis-server")


async def answers(database: RedisDatabase) -> bool:
    try:
        await database.check()
    except StoreUnavailable:
        return False
    return True


async def test_a_redis_that_is_there_answers(database: RedisDatabase) -> None:
    await database.check()


@pytest.mark.parametrize("url", ["", "localhost", "http://localhost", "redis://localhost:port"])
async def test_a_bad_address_is_told(url: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"redis.url: this is no address .*; write redis://host:6379/0"
    ):
        await open_shared(url, clock=lambda: 0.0)


async def test_a_redis_that_is_not_there_is_told_without_its_password(tmp_path: Path) -> None:
    redis = RedisProcess(tmp_path)
    database = RedisDatabase(f"redis://:secret@127.0.0.1:{redis.port}/0")
    with pytest.raises(
        StoreUnavailable, match=f"redis 127.0.0.1:{redis.port}: .*; it is asked again soon"
    ) as caught:
        await database.check()
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    await database.close()


async def test_a_redis_that_comes_later_is_found(tmp_path: Path) -> None:
    redis = RedisProcess(tmp_path)
    database = RedisDatabase(redis.url)
    assert not await answers(database)
    async with redis:
        await eventually(lambda: answers(database))
    await database.close()


async def test_after_a_restart_all_goes_on(redis: RedisProcess, database: RedisDatabase) -> None:
    await asyncio.gather(*(database.check() for _ in range(20)))
    await redis.stop()
    assert not await answers(database)
    await redis.start()
    await eventually(lambda: answers(database))
    await asyncio.gather(*(database.check() for _ in range(20)))


async def test_a_hung_redis_keeps_nobody_waiting(redis: RedisProcess, database: RedisDatabase) -> None:
    await database.check()
    redis.hang()
    async with asyncio.timeout(10):
        with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{redis.port}: "):
            await database.check()
    asked = []

    async def ask() -> None:
        asked.append(True)

    with pytest.raises(StoreUnavailable):
        await database.run(ask)
    assert not asked, "right after a failure nothing is asked"
    redis.go_on()
    await eventually(lambda: answers(database))


async def test_many_who_wait_for_a_hung_redis_are_told_together(
    redis: RedisProcess, database: RedisDatabase
) -> None:
    redis.hang()
    async with asyncio.timeout(10):
        results = await asyncio.gather(*(database.check() for _ in range(200)), return_exceptions=True)
    assert all(isinstance(result, StoreUnavailable) for result in results)
    redis.go_on()
    await eventually(lambda: answers(database))


async def test_more_requests_than_connections_wait_for_their_turn(database: RedisDatabase) -> None:
    await asyncio.gather(*(database.check() for _ in range(500)))


async def test_a_password_is_sent_and_a_wrong_one_told(tmp_path: Path) -> None:
    async with RedisProcess(tmp_path, "--save", "", "--requirepass", "secret") as redis:
        right = RedisDatabase(f"redis://:secret@127.0.0.1:{redis.port}/0")
        await right.check()
        await right.close()
        wrong = RedisDatabase(f"redis://:wrong@127.0.0.1:{redis.port}/0")
        with pytest.raises(StoreUnavailable, match="invalid username-password pair"):
            await wrong.check()
        await wrong.close()


async def test_a_redis_without_room_is_told(redis: RedisProcess, database: RedisDatabase) -> None:
    await redis.ask("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="used memory > 'maxmemory'; it is"):
        await database.run(lambda: database.client.set("key", "value"))


async def test_a_closed_database_says_so() -> None:
    database = RedisDatabase(f"redis://127.0.0.1:{free_port()}")
    await database.close()
    await database.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await database.check()


async def test_stores_with_different_prefixes_share_nothing(redis: RedisProcess) -> None:
    one = await open_shared(redis.url, clock=lambda: NOW, node="one", prefix="first:")
    two = await open_shared(redis.url, clock=lambda: NOW, node="two", prefix="second:")
    assert one.presence is not None
    assert two.presence is not None
    assert one.bus is not None
    assert two.bus is not None
    endpoint_id = key(1).endpoint_id
    await two.bus.start(lambda _, __: None)
    await one.presence.announce((endpoint_id,))
    await one.records.put(packet(1))
    await one.accounts.redeem(b"s" * 16, endpoint_id, 5, int(NOW) + 100)
    await one.accounts.charge(endpoint_id, 1, 100, 3)
    assert await two.presence.nodes_of((endpoint_id,)) == {}
    assert await two.records.get(endpoint_id) is None
    assert await two.accounts.balance(endpoint_id, 3) == Balance(0, 0)
    assert not await one.bus.publish("two", endpoint_id, b"frame")
    assert b"overlay" not in await redis.ask("KEYS", "*")
    await one.close()
    await two.close()
