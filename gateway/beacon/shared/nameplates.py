"""Numbers of spoken codes in Redis: a key for each, which expires by itself, and for each endpoint the numbers it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.beacon.limits import BEACON_NAMEPLATE_SECONDS, BEACON_NAMEPLATES_PER_ENDPOINT
from gateway.beacon.nameplates import candidates
from gateway.beacon.stores import Nameplate
from tunnels.identity import KEY_BYTES, EndpointId
from tunnels.limits import NAMEPLATE_TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.beacon.shared.database import RedisDatabase

# KEYS: the owner's set, then a key for each candidate. ARGV: owner and token, milliseconds, how many it may have.
_PUT: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
for index = 2, #KEYS do
  if redis.call('SET', KEYS[index], ARGV[1], 'PX', ARGV[2], 'NX') then
    redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), KEYS[index])
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    return index - 1
  end
end
return 0
"""

# KEYS: the owner's set, the number's key. ARGV: the owner.
_RELEASE: Final = """
local plate = redis.call('GET', KEYS[2])
if plate and string.sub(plate, 1, #ARGV[1]) == ARGV[1] then
  redis.call('DEL', KEYS[2])
  redis.call('ZREM', KEYS[1], KEYS[2])
end
"""


class RedisNameplates:
    """See Nameplates; `chance` gives numbers in [0, 1)."""

    __slots__ = ("_chance", "_database", "_put", "_release")

    def __init__(self, database: RedisDatabase, chance: Callable[[], float]) -> None:
        self._database = database
        self._chance = chance
        self._put = database.client.register_script(_PUT)
        self._release = database.client.register_script(_RELEASE)

    async def put(self, plate: Nameplate) -> int | None:
        """See Nameplates."""
        numbers = list(dict.fromkeys(candidates(self._chance)))
        keys = [self._owner_key(plate.owner), *map(self._key, numbers)]
        values: list[bytes | int] = [
            plate.owner.key + plate.token,
            int(BEACON_NAMEPLATE_SECONDS * 1000),
            BEACON_NAMEPLATES_PER_ENDPOINT,
        ]
        index = int(await self._database.run(lambda: self._put(keys=keys, args=values)))
        return numbers[index - 1] if index else None

    async def look(self, number: int) -> Nameplate | None:
        """See Nameplates."""
        return _plate(await self._database.run(lambda: self._database.client.get(self._key(number))))

    async def take(self, number: int) -> Nameplate | None:
        """See Nameplates."""
        plate = _plate(await self._database.run(lambda: self._database.client.getdel(self._key(number))))
        if plate is not None:
            key, member = self._owner_key(plate.owner), self._key(number)
            await self._database.run(lambda: self._database.client.zrem(key, member))
        return plate

    async def release(self, number: int, owner: EndpointId) -> None:
        """See Nameplates."""
        keys = [self._owner_key(owner), self._key(number)]
        await self._database.run(lambda: self._release(keys=keys, args=[owner.key]))

    def _key(self, number: int) -> str:
        return f"{self._database.prefix}plate:{number}"

    def _owner_key(self, owner: EndpointId) -> str:
        return f"{self._database.prefix}plates:{owner}"


def _plate(found: object) -> Nameplate | None:
    """What is kept; None for what somebody else wrote there."""
    if not isinstance(found, bytes) or len(found) != KEY_BYTES + NAMEPLATE_TOKEN:
        return None
    return Nameplate(EndpointId(found[:KEY_BYTES]), found[KEY_BYTES:])
