"""The stores of one node, in memory: for a gateway that lends its relay, and for tests. Nothing outlives the process."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.beacon.stores import Balance
from resolver.signed_packets import newer_of

if TYPE_CHECKING:
    from gateway.beacon.stores import Accounts, Bus, Presence, RecordStore
    from resolver.signed_packets import SignedPacket
    from tunnels.identity import EndpointId


class MemoryRecords:
    """The newest packet of each of the last `limit` endpoints."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._packets: OrderedDict[EndpointId, SignedPacket] = OrderedDict()

    async def get(self, endpoint_id: EndpointId) -> SignedPacket | None:
        """The endpoint's packet, if it is here."""
        return self._packets.get(endpoint_id)

    async def put(self, packet: SignedPacket) -> bool:
        """Keep it, unless one as new or newer is here; the one untouched longest makes room."""
        known = self._packets.get(packet.endpoint_id)
        if known is not None and newer_of(known, packet) == known:
            return False
        self._packets[packet.endpoint_id] = packet
        self._packets.move_to_end(packet.endpoint_id)
        if len(self._packets) > self._limit:
            self._packets.popitem(last=False)
        return True


class MemoryAccounts:
    """Bytes relayed and credit, of the last `limit` endpoints; `limit` serials of vouchers are remembered."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used: OrderedDict[EndpointId, tuple[int, int]] = OrderedDict()
        self._credit: dict[EndpointId, int] = {}
        self._serials: set[bytes] = set()

    async def charge(self, endpoint_id: EndpointId, size: int, quota_bytes: int, period: int) -> Balance:
        """Add to what the period used; what goes beyond the quota is taken from the credit."""
        before = (await self.balance(endpoint_id, period)).used_bytes
        beyond = max(0, before + size - quota_bytes) - max(0, before - quota_bytes)
        if endpoint_id in self._credit:
            self._credit[endpoint_id] = max(0, self._credit[endpoint_id] - beyond)
        self._used[endpoint_id] = (period, before + size)
        self._used.move_to_end(endpoint_id)
        if len(self._used) > self._limit:
            self._used.popitem(last=False)
        return await self.balance(endpoint_id, period)

    async def balance(self, endpoint_id: EndpointId, period: int) -> Balance:
        """As it is now."""
        known, used = self._used.get(endpoint_id, (period, 0))
        return Balance(used if known == period else 0, self._credit.get(endpoint_id, 0))

    async def redeem(self, serial: bytes, holder: EndpointId, size: int, expires: int) -> Balance | None:
        """Add a voucher's bytes to its holder's credit; None if it was redeemed before, or there is no room for it."""
        del expires  # nothing here lives that long
        if serial in self._serials or len(self._serials) >= self._limit:
            return None
        self._serials.add(serial)
        self._credit[holder] = self._credit.get(holder, 0) + size
        return Balance(0, self._credit[holder])

    async def close(self) -> None:
        """Nothing is to be written down."""


@dataclass(frozen=True, slots=True)
class Stores:
    """What a node keeps; without presence and bus it is a node alone."""

    records: RecordStore = field(default_factory=lambda: MemoryRecords(1000))
    accounts: Accounts = field(default_factory=lambda: MemoryAccounts(10_000))
    presence: Presence | None = None
    bus: Bus | None = None
