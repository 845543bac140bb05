"""Who is in which topic at any node of a fleet, in Redis.

For each topic a sorted set of endpoint ids by when a node last said that they are in it, in milliseconds by Redis's
clock: what is not said again is forgotten, and of too many those that were said longest ago.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.beacon.limits import BEACON_TOPIC_MEMBERS_SHARED, BEACON_TOPIC_SECONDS
from tunnels.identity import EndpointId, zbase32_encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.beacon.shared.database import RedisDatabase

# ARGV: milliseconds that it lasts, most members of a topic, then the member for each key.
_ANNOUNCE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i, key in ipairs(KEYS) do
  redis.call('ZADD', key, now, ARGV[i + 2])
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - tonumber(ARGV[1]))
  redis.call('ZREMRANGEBYRANK', key, 0, -1 - tonumber(ARGV[2]))
  redis.call('PEXPIRE', key, ARGV[1])
end
"""

_WITHDRAW: Final = """
for i, key in ipairs(KEYS) do redis.call('ZREM', key, ARGV[i]) end
"""

# ARGV: milliseconds that it lasts, how many are wanted.
_SAMPLE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[1]))
return redis.call('ZRANDMEMBER', KEYS[1], ARGV[2])
"""


class RedisTopics:
    """See TopicMembers."""

    __slots__ = ("_announce", "_database", "_sample", "_withdraw")

    def __init__(self, database: RedisDatabase) -> None:
        self._database = database
        self._announce = database.client.register_script(_ANNOUNCE)
        self._withdraw = database.client.register_script(_WITHDRAW)
        self._sample = database.client.register_script(_SAMPLE)

    async def announce(self, members: Sequence[tuple[bytes, EndpointId]]) -> None:
        """See TopicMembers."""
        if not members:
            return
        values: list[str | int] = [int(BEACON_TOPIC_SECONDS * 1000), BEACON_TOPIC_MEMBERS_SHARED]
        values += [str(endpoint_id) for _, endpoint_id in members]
        keys = [self._key(topic) for topic, _ in members]
        await self._database.run(lambda: self._announce(keys=keys, args=values))

    async def withdraw(self, members: Sequence[tuple[bytes, EndpointId]]) -> None:
        """See TopicMembers."""
        if not members:
            return
        keys = [self._key(topic) for topic, _ in members]
        values = [str(endpoint_id) for _, endpoint_id in members]
        await self._database.run(lambda: self._withdraw(keys=keys, args=values))

    async def sample(self, topic: bytes, most: int) -> tuple[EndpointId, ...]:
        """See TopicMembers."""
        values: list[str | int] = [int(BEACON_TOPIC_SECONDS * 1000), most]
        found = await self._database.run(lambda: self._sample(keys=[self._key(topic)], args=values))
        return tuple(EndpointId.parse(text.decode()) for text in found)

    def _key(self, topic: bytes) -> str:
        return f"{self._database.prefix}topic:{zbase32_encode(topic)}"
