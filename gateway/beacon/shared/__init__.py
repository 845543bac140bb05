"""The stores of a beacon that is a fleet: everything that its nodes share, in Redis.

Redis is trusted no more than a beacon is: records keep their signatures, frames are sealed by those who send them.
`database` is the way to it, and what happens when it does not answer; `records`, `presence`, `bus` and `accounts` are
the stores. What must be atomic is a script that Redis runs.
"""

from __future__ import annotations

import random
import secrets
from typing import TYPE_CHECKING

from gateway.beacon.limits import BEACON_RECORD_SECONDS
from gateway.beacon.stores import Stores
from gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable


async def open_shared(
    url: str,
    *,
    clock: Callable[[], float],
    node: str = "",
    prefix: str = "overlay:",
    record_seconds: float = BEACON_RECORD_SECONDS,
) -> Stores:
    """The stores in the Redis at `url` (`redis://[:password@]host[:port][/number]`, `rediss://` for TLS).

    `node` is this process's name among the others, one by chance if empty; `prefix` stands
    in front of every key and channel. `clock` gives unix seconds. A Redis that
    does not answer yet is no error here. ConfigurationError for a bad URL, and where the client is not installed.
    """
    try:
        from gateway.beacon.shared.accounts import RedisAccounts
        from gateway.beacon.shared.bus import RedisBus
        from gateway.beacon.shared.database import RedisDatabase
        from gateway.beacon.shared.nameplates import RedisNameplates
        from gateway.beacon.shared.presence import RedisPresence
        from gateway.beacon.shared.records import RedisRecords
        from gateway.beacon.shared.topics import RedisTopics
    except ModuleNotFoundError as error:
        if error.name != "redis":
            raise
        raise ConfigurationError(
            "redis.url: the client of Redis is not installed; install overlay-gateway[redis]"
        ) from None
    database = RedisDatabase(url, prefix)
    name = node or secrets.token_hex(8)
    presence = RedisPresence(database, name)
    bus = RedisBus(database, name)
    await presence.start()

    async def close() -> None:
        await bus.close()
        await presence.close()
        await database.close()

    return Stores(
        RedisRecords(database, seconds=record_seconds),
        RedisAccounts(database, clock),
        presence,
        bus,
        RedisNameplates(database, random.random),
        ready=database.check,
        close=close,
        topics=RedisTopics(database),
    )
