"""The newest public records of others on disk, so that they are found after a restart and with no beacon in reach. ⚡

Those of contacts are in memory too, for they are asked for all the time; those of strangers only on disk, as many as
there is room for, and whoever was learned longest ago gives way. Local records, good for a moment, are not kept.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from gateway.database import BoundedRows
from gateway.errors import StoreUnavailable
from gateway.kept_state import LateRows, Table
from gateway.limits import EXPIRED_ROWS, KEPT_RECORDS_UNWRITTEN
from resolver.discovery.base import Scope
from resolver.errors import RecordError
from resolver.limits import CACHED_RECORDS
from resolver.record_cache import KeptPacket
from resolver.signed_packets import SignedPacket, newer_of
from tunnels.identity import KEY_BYTES, EndpointId

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from gateway.kept_state import KeptState, Row
    from resolver.record_cache import CachedRecord

_logger = logging.getLogger(__name__)

_COLUMNS: Final = ("id", "payload", "source", "learned_at", "expires")
_CONTACTS: Final = Table("contact_records", _COLUMNS)
_STRANGERS: Final = Table("stranger_records", _COLUMNS)
_FIND: Final = "SELECT id, payload, source, learned_at, expires FROM stranger_records WHERE id = ?"


class KeptRecords:
    """Signed packets by endpoint: the newest of each, no more than there are contacts and `limit` of strangers."""

    def __init__(
        self,
        state: KeptState,
        is_contact: Callable[[EndpointId], bool],
        clock: Callable[[], float],
        *,
        limit: int = CACHED_RECORDS,
    ) -> None:
        """Read those of contacts, from a thread that may wait; `clock` gives unix seconds."""
        self._state = state
        self._is_contact = is_contact
        self._contact_rows = LateRows(state, _CONTACTS)
        self._stranger_rows = _StrangerRows(state, clock, limit)
        self._contacts: dict[EndpointId, Row] = {
            EndpointId(row[0]): row for row in state.rows(_CONTACTS) if len(row[0]) == KEY_BYTES
        }

    def __len__(self) -> int:
        return len(self._contacts)

    def __repr__(self) -> str:
        return f"<KeptRecords of {len(self)} contacts>"

    def get(self, endpoint_id: EndpointId) -> KeptPacket | None:
        """The newest packet of a contact."""
        row = self._contacts.get(endpoint_id)
        return None if row is None else _packet(row)

    async def find(self, endpoint_id: EndpointId) -> KeptPacket | None:
        """The newest packet of anybody, fetched from disk if it is a stranger's."""
        if (known := self.get(endpoint_id)) is not None:
            return known
        row = self._stranger_rows.unwritten(endpoint_id.key)
        if row is None:
            try:
                row = await self._state.database.run(
                    lambda connection: connection.execute(_FIND, (endpoint_id.key,)).fetchone()
                )
            except StoreUnavailable as error:
                _logger.warning("%s; the record of %s is asked for again", error, endpoint_id.short)
        return None if row is None else _packet(row)

    def payload(self, endpoint_id: EndpointId) -> bytes:
        """The newest packet of a contact as it is kept; empty if there is none."""
        row = self._contacts.get(endpoint_id)
        return b"" if row is None else row[1]

    def keep(self, cached: CachedRecord) -> None:
        """Keep the record if it is public and newer than what is kept; it is written a moment later."""
        if cached.scope is not Scope.PUBLIC:
            return
        packet = cached.packet
        row = (
            packet.endpoint_id.key,
            packet.to_payload(),
            cached.source,
            cached.learned_at,
            cached.record.expires,
        )
        if not self._is_contact(packet.endpoint_id):
            self._stranger_rows.put(row)
            return
        known = self.get(packet.endpoint_id)
        if known is None or newer_of(known.packet, packet) is not known.packet:
            self._contacts[packet.endpoint_id] = row
            self._contact_rows.put(row)

    def contacts_changed(self) -> None:
        """Forget the records of those who are contacts no more."""
        for endpoint_id in [each for each in self._contacts if not self._is_contact(each)]:
            del self._contacts[endpoint_id]
            self._contact_rows.delete(endpoint_id.key)

    async def close(self) -> None:
        """Write what is not written yet."""
        await self._contact_rows.close()
        await self._stranger_rows.close()


class _StrangerRows(LateRows):
    """Those of strangers: expired ones are cleared away, and what is too much."""

    def __init__(self, state: KeptState, clock: Callable[[], float], limit: int) -> None:
        super().__init__(state, _STRANGERS)
        self._clock = clock
        self._limit = limit
        self._rows = BoundedRows(_STRANGERS.name)

    def put(self, row: Row) -> None:
        """Write it; of too many that wait for being written the first is left out."""
        if len(self._changed) >= KEPT_RECORDS_UNWRITTEN:
            del self._changed[next(iter(self._changed))]
        super().put(row)

    def unwritten(self, key: bytes) -> Row | None:
        """The row that waits for being written."""
        return self._changed.get((key,))

    def write(self, connection: sqlite3.Connection, changed: dict[Row, Row | None]) -> None:
        """Write the changes and make room."""
        super().write(connection, changed)
        # Written in the order of time, so the expired ones are among those with the smallest rowids.
        connection.execute(
            "DELETE FROM stranger_records WHERE rowid IN "
            "(SELECT rowid FROM stranger_records ORDER BY rowid LIMIT ?) AND expires <= ?",
            (EXPIRED_ROWS, self._clock()),
        )
        self._rows.bound(connection, self._limit, len(changed))


def _packet(row: Row) -> KeptPacket | None:
    key, payload, source, learned_at, _ = row
    try:
        packet = SignedPacket.parse_payload(EndpointId(key), payload)
    except RecordError:  # the disk changed it; it is asked for again
        return None
    return KeptPacket(packet, source, learned_at)
