"""Signed packets in Redis, each under its endpoint's key, as a pkarr relay's payload, until it expires."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.beacon.limits import BEACON_RECORD_SECONDS
from resolver.errors import RecordError
from resolver.signed_packets import SignedPacket

if TYPE_CHECKING:
    from gateway.beacon.shared.database import RedisDatabase
    from tunnels.identity import EndpointId

# `newer_of`: timestamp, packet, signature. Byte by byte, as Lua compares strings by the locale and counts in doubles.
_PUT: Final = """
local function order(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x - y end
  end
  return #a - #b
end
local new, old = ARGV[1], redis.call('GET', KEYS[1])
if old then
  local o = order(string.sub(new, 65, 72), string.sub(old, 65, 72))
  if o == 0 then o = order(string.sub(new, 73), string.sub(old, 73)) end
  if o == 0 then o = order(string.sub(new, 1, 64), string.sub(old, 1, 64)) end
  if o < 0 then return 0 end
end
redis.call('SET', KEYS[1], new, 'PX', ARGV[2])
return 1
"""


class RedisRecords:
    """The newest signed packet of each endpoint. See RecordStore. Their number is bounded by Redis's `maxmemory`."""

    __slots__ = ("_database", "_milliseconds", "_put")

    def __init__(self, database: RedisDatabase, *, seconds: float = BEACON_RECORD_SECONDS) -> None:
        self._database = database
        self._milliseconds = int(seconds * 1000)
        self._put = database.client.register_script(_PUT)

    async def get(self, endpoint_id: EndpointId) -> SignedPacket | None:
        """See RecordStore."""
        payload = await self._database.run(lambda: self._database.client.get(self._key(endpoint_id)))
        if not isinstance(payload, bytes):
            return None
        try:
            return SignedPacket.parse_payload(endpoint_id, payload)
        except RecordError:  # somebody else wrote there; the next packet takes its place
            return None

    async def put(self, packet: SignedPacket) -> bool:
        """See RecordStore."""
        keys = [self._key(packet.endpoint_id)]
        values: list[bytes | int] = [packet.to_payload(), self._milliseconds]
        return bool(await self._database.run(lambda: self._put(keys=keys, args=values)))

    def _key(self, endpoint_id: EndpointId) -> str:
        return f"{self._database.prefix}record:{endpoint_id}"
