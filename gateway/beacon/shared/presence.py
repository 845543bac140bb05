"""Who is connected to which node, in Redis.

For each endpoint a hash: node → when it connected and when the node last said so, in milliseconds by Redis's clock.
For each node a key that lives for some seconds: nodes without it are not asked. A node says it every second, and
so notices a Redis that has forgotten everything, and tells it all again.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING, Final

from gateway.beacon.limits import (
    PRESENCE_BATCH,
    PRESENCE_BEAT_SECONDS,
    PRESENCE_NODE_SECONDS,
    PRESENCE_RENEWAL_SECONDS,
    PRESENCE_SECONDS,
)
from gateway.beacon.stores import StoreUnavailable
from gateway.supervision import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.beacon.shared.database import RedisDatabase
    from tunnels.identity import EndpointId

_logger = logging.getLogger(__name__)

# ARGV: node, milliseconds it lasts, '1' if it has just connected.
_ANNOUNCE: Final = """
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
for _, key in ipairs(KEYS) do
  local since = now
  if ARGV[3] ~= '1' then
    since = string.match(redis.call('HGET', key, ARGV[1]) or '', '^(%d+) ') or now
  end
  redis.call('HSET', key, ARGV[1], since .. ' ' .. now)
  redis.call('PEXPIRE', key, ARGV[2])
end
"""

_WITHDRAW: Final = """
for _, key in ipairs(KEYS) do redis.call('HDEL', key, ARGV[1]) end
"""

# ARGV: the node that asks, milliseconds an announcement lasts, prefix of the nodes' keys.
_NODES_OF: Final = """
local time = redis.call('TIME')
local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[2])
local alive, answer = {}, {}
for index, key in ipairs(KEYS) do
  local entries, best, latest = redis.call('HGETALL', key), '', -1
  for i = 1, #entries, 2 do
    local node = entries[i]
    local since, said = string.match(entries[i + 1], '^(%d+) (%d+)$')
    if node ~= ARGV[1] and since and tonumber(said) > oldest and tonumber(since) > latest then
      if alive[node] == nil then alive[node] = redis.call('EXISTS', ARGV[3] .. node) == 1 end
      if alive[node] then best, latest = node, tonumber(since) end
    end
  end
  answer[index] = best
end
return answer
"""


class RedisPresence:
    """Who is connected to this node, and to which others. See Presence."""

    __slots__ = (
        "_announce",
        "_database",
        "_here",
        "_node",
        "_node_prefix",
        "_nodes_of",
        "_tasks",
        "_unsaid",
        "_withdraw",
    )

    def __init__(self, database: RedisDatabase, node: str) -> None:
        self._database = database
        self._node = node
        self._node_prefix = f"{database.prefix}node:"
        self._here: set[EndpointId] = set()
        self._unsaid: set[EndpointId] = set()
        """Connected while Redis did not answer."""
        self._tasks = Supervisor()
        self._announce = database.client.register_script(_ANNOUNCE)
        self._withdraw = database.client.register_script(_WITHDRAW)
        self._nodes_of = database.client.register_script(_NODES_OF)

    async def start(self) -> None:
        """Begin to keep what is announced known."""
        try:
            await self._beat()
        except StoreUnavailable as error:
            _logger.warning("presence is not shared yet: %s", error)
        self._tasks.spawn(self._keep(), name="beacon presence")

    async def announce(self, endpoint_ids: tuple[EndpointId, ...]) -> None:
        """See Presence."""
        # Those who are here already have not moved here again: their node may only not know yet that they left.
        self._unsaid.update(endpoint_id for endpoint_id in endpoint_ids if endpoint_id not in self._here)
        self._here.update(endpoint_ids)
        new = tuple(endpoint_id for endpoint_id in endpoint_ids if endpoint_id in self._unsaid)
        await self._say(new, new=True)
        await self._say(tuple(set(endpoint_ids).difference(new)), new=False)

    async def withdraw(self, endpoint_id: EndpointId) -> None:
        """See Presence."""
        self._here.discard(endpoint_id)
        self._unsaid.discard(endpoint_id)
        await self._take_back((endpoint_id,))
        if endpoint_id in self._here:  # it came back meanwhile, and Redis may have heard of that first
            await self._say((endpoint_id,), new=True)

    async def nodes_of(self, endpoint_ids: tuple[EndpointId, ...]) -> dict[EndpointId, str]:
        """See Presence."""
        found: dict[EndpointId, str] = {}
        for batch in _batches(endpoint_ids):
            keys = [self._key(endpoint_id) for endpoint_id in batch]
            values: list[str | int] = [self._node, int(PRESENCE_SECONDS * 1000), self._node_prefix]
            nodes = await self._database.run(lambda: self._nodes_of(keys=keys, args=values))  # noqa: B023 - awaited
            for endpoint_id, node in zip(batch, nodes, strict=True):
                if node:
                    found[endpoint_id] = node.decode()
        return found

    async def close(self) -> None:
        """Withdraw everybody who is here. Whom Redis cannot be told about is forgotten within PRESENCE_SECONDS."""
        await self._tasks.close()
        gone = tuple(self._here)
        self._here.clear()
        self._unsaid.clear()
        try:
            await self._take_back(gone)
            await self._database.run(lambda: self._database.client.delete(self._node_prefix + self._node))
        except StoreUnavailable as error:
            _logger.info("presence was not withdrawn: %s", error)

    async def _keep(self) -> None:
        """Say every second that the node lives, and whom it has when that is due or was forgotten."""
        clock = asyncio.get_running_loop().time
        due = clock() + PRESENCE_RENEWAL_SECONDS
        lost = False
        while True:
            await asyncio.sleep(PRESENCE_BEAT_SECONDS)
            try:
                lost = await self._beat() or lost
                if self._unsaid:
                    await self._say(tuple(self._unsaid), new=True)
                if lost or clock() >= due:
                    await self._renew()
                    lost, due = False, clock() + PRESENCE_RENEWAL_SECONDS
            except StoreUnavailable as error:
                _logger.debug("presence is not renewed: %s", error)

    async def _beat(self) -> bool:
        """Say that this node lives; whether Redis knew nothing of it."""
        key, life = self._node_prefix + self._node, int(PRESENCE_NODE_SECONDS * 1000)
        return (
            await self._database.run(lambda: self._database.client.set(key, "1", px=life, get=True)) is None
        )

    async def _renew(self) -> None:
        for batch in _batches(tuple(self._here)):
            await self._say(batch, new=False)
            gone = tuple(endpoint_id for endpoint_id in batch if endpoint_id not in self._here)
            await self._take_back(gone)  # withdrawn meanwhile, and Redis may have heard of that first

    async def _say(self, endpoint_ids: tuple[EndpointId, ...], *, new: bool) -> None:
        for batch in _batches(endpoint_ids):
            keys = [self._key(endpoint_id) for endpoint_id in batch]
            values: list[str | int] = [self._node, int(PRESENCE_SECONDS * 1000), int(new)]
            await self._database.run(lambda: self._announce(keys=keys, args=values))  # noqa: B023 - awaited
            self._unsaid.difference_update(batch)

    async def _take_back(self, endpoint_ids: tuple[EndpointId, ...]) -> None:
        for batch in _batches(endpoint_ids):
            keys = [self._key(endpoint_id) for endpoint_id in batch]
            await self._database.run(lambda: self._withdraw(keys=keys, args=[self._node]))  # noqa: B023 - awaited

    def _key(self, endpoint_id: EndpointId) -> str:
        return f"{self._database.prefix}at:{endpoint_id}"


def _batches(endpoint_ids: Iterable[EndpointId]) -> Iterator[tuple[EndpointId, ...]]:
    waiting = iter(endpoint_ids)
    while batch := tuple(itertools.islice(waiting, PRESENCE_BATCH)):
        yield batch
