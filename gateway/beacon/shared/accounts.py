"""Bytes relayed and credit in Redis: a number for each endpoint and period, a number for each credit.

Credit and serials have no expiry, so that a Redis with `maxmemory-policy volatile-lru` never drops them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.beacon.limits import BEACON_SERIAL_SPARE_SECONDS, BEACON_USE_SECONDS
from gateway.beacon.stores import Balance
from gateway.limits import BEACON_CREDIT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.beacon.shared.database import RedisDatabase
    from tunnels.identity import EndpointId

_CHARGE: Final = """
local size, quota = tonumber(ARGV[1]), tonumber(ARGV[2])
local used = redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
local credit = tonumber(redis.call('GET', KEYS[2]) or '0')
local beyond = used - math.max(quota, used - size)
if beyond > 0 and credit > 0 then
  credit = math.max(0, credit - beyond)
  if credit == 0 then redis.call('DEL', KEYS[2])
  else redis.call('SET', KEYS[2], string.format('%.0f', credit)) end
end
return {used, credit}
"""

_REDEEM: Final = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[4])
if redis.call('ZADD', KEYS[1], 'NX', ARGV[2], ARGV[1]) == 0 then return -1 end
local credit = tonumber(redis.call('GET', KEYS[2]) or '0')
credit = math.min(tonumber(ARGV[5]), credit + tonumber(ARGV[3]))
redis.call('SET', KEYS[2], string.format('%.0f', credit))
return credit
"""


class RedisAccounts:
    """Bytes relayed and credit. See Accounts."""

    __slots__ = ("_charge", "_clock", "_database", "_redeem")

    def __init__(self, database: RedisDatabase, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._charge = database.client.register_script(_CHARGE)
        self._redeem = database.client.register_script(_REDEEM)

    async def charge(self, endpoint_id: EndpointId, size: int, quota_bytes: int, period: int) -> Balance:
        """See Accounts."""
        keys = [self._use_key(endpoint_id, period), self._credit_key(endpoint_id)]
        values = [size, quota_bytes, BEACON_USE_SECONDS]
        used, credit = await self._database.run(lambda: self._charge(keys=keys, args=values))
        return Balance(int(used), int(credit))

    async def balance(self, endpoint_id: EndpointId, period: int) -> Balance:
        """See Accounts."""
        keys = [self._use_key(endpoint_id, period), self._credit_key(endpoint_id)]
        used, credit = await self._database.run(lambda: self._database.client.mget(keys))
        return Balance(int(used or 0), int(credit or 0))

    async def redeem(self, serial: bytes, holder: EndpointId, size: int, expires: int) -> Balance | None:
        """See Accounts."""
        now = self._clock()
        if expires <= now:
            return None
        keys = [f"{self._database.prefix}serials", self._credit_key(holder)]
        forgotten = int(now) - BEACON_SERIAL_SPARE_SECONDS
        values: list[bytes | int] = [serial, expires, size, forgotten, BEACON_CREDIT_BYTES]
        credit = int(await self._database.run(lambda: self._redeem(keys=keys, args=values)))
        return Balance(0, credit) if credit >= 0 else None

    def _use_key(self, endpoint_id: EndpointId, period: int) -> str:
        return f"{self._database.prefix}use:{period}:{endpoint_id}"

    def _credit_key(self, endpoint_id: EndpointId) -> str:
        return f"{self._database.prefix}credit:{endpoint_id}"
