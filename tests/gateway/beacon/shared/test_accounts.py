"""Accounts in Redis: those of every store are in `test_stores`; here is what lasts, and what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.beacon.limits import BEACON_SERIAL_SPARE_SECONDS, BEACON_USE_SECONDS
from gateway.beacon.shared.accounts import RedisAccounts
from gateway.beacon.shared.database import RedisDatabase
from gateway.beacon.stores import Balance
from tests.lab.redis import RedisProcess
from tests.lab.resolver_keys import NOW, key

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.needs("redis-server")
ID = key(1).endpoint_id
LATER = int(NOW) + 86400


async def test_credit_and_serials_never_expire_and_use_does(
    redis: RedisProcess, database: RedisDatabase
) -> None:
    accounts = RedisAccounts(database, lambda: NOW)
    await accounts.redeem(b"s" * 16, ID, 100, LATER)
    await accounts.charge(ID, 10, 0, 5)
    assert await redis.ask("TTL", "overlay:serials") == b":-1\r\n"
    assert await redis.ask("TTL", f"overlay:credit:{ID}") == b":-1\r\n"
    assert await redis.ask("TTL", f"overlay:use:5:{ID}") == b":%d\r\n" % BEACON_USE_SECONDS
    await accounts.charge(ID, 1000, 0, 5)
    assert await redis.ask("EXISTS", f"overlay:credit:{ID}") == b":0\r\n"


async def test_a_serial_is_remembered_for_longer_than_its_voucher_is_good(
    redis: RedisProcess, database: RedisDatabase
) -> None:
    now = NOW
    accounts = RedisAccounts(database, lambda: now)
    await accounts.redeem(b"s" * 16, ID, 10, LATER)
    now = LATER + BEACON_SERIAL_SPARE_SECONDS - 1
    await accounts.redeem(b"t" * 16, ID, 10, int(now) + 10)
    assert await redis.ask("ZCARD", "overlay:serials") == b":2\r\n"
    now += 1
    await accounts.redeem(b"u" * 16, ID, 10, int(now) + 10)
    assert await redis.ask("ZCARD", "overlay:serials") == b":2\r\n"


async def test_accounts_outlive_a_restart_of_a_redis_that_keeps_a_log(tmp_path: Path) -> None:
    async with RedisProcess(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as redis:
        database = RedisDatabase(redis.url)
        await RedisAccounts(database, lambda: NOW).redeem(b"s" * 16, ID, 100, LATER)
        await database.close()
        await redis.stop()
        await redis.start()
        database = RedisDatabase(redis.url)
        accounts = RedisAccounts(database, lambda: NOW)
        assert await accounts.redeem(b"s" * 16, ID, 100, LATER) is None
        assert await accounts.balance(ID, 1) == Balance(0, 100)
        await database.close()
