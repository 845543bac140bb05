"""Records in Redis: those of every store are in `test_stores`; here is what only Redis can do to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.beacon.shared.records import RedisRecords
from tests.lab.resolver_keys import NOW, key, packet

if TYPE_CHECKING:
    from gateway.beacon.shared.database import RedisDatabase
    from tests.lab.redis import RedisProcess

pytestmark = pytest.mark.needs("redis-server")
ID = key(1).endpoint_id
KEY = f"overlay:record:{ID}"


async def test_a_record_expires_and_putting_it_again_begins_anew(
    redis: RedisProcess, database: RedisDatabase
) -> None:
    records = RedisRecords(database, seconds=100)
    await records.put(packet(1))
    assert await redis.ask("TTL", KEY) == b":100\r\n"
    await redis.ask("EXPIRE", KEY, "10")
    await records.put(packet(1, signed_at=NOW - 1))
    assert await redis.ask("TTL", KEY) == b":10\r\n", "an older one changes nothing"
    await records.put(packet(1))
    assert await redis.ask("TTL", KEY) == b":100\r\n"


async def test_what_somebody_else_wrote_there_is_no_record(
    redis: RedisProcess, database: RedisDatabase
) -> None:
    records = RedisRecords(database)
    await redis.ask("SET", KEY, "x" * 200)
    assert await records.get(ID) is None
    await redis.ask("SET", KEY, "")
    assert await records.get(ID) is None
    assert await records.put(packet(1))


async def test_a_redis_that_forgot_the_script_and_all_is_given_it_again(
    redis: RedisProcess, database: RedisDatabase
) -> None:
    records = RedisRecords(database)
    await records.put(packet(1))
    await redis.ask("FLUSHALL")
    await redis.ask("SCRIPT", "FLUSH")
    assert await records.get(ID) is None
    assert await records.put(packet(1))
    assert await records.get(ID) == packet(1)
