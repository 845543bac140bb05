"""The stores of a beacon that is one process: records and accounts in SQLite; there is no other node."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from gateway.beacon.limits import (
    BEACON_RECORD_SECONDS,
    BEACON_RECORDS,
    BEACON_SERIAL_SPARE_SECONDS,
    BEACON_USERS,
)
from gateway.beacon.nameplates import NameplateTable
from gateway.beacon.stores import Balance, Stores
from gateway.database import BoundedRows, Database
from gateway.limits import BEACON_CREDIT_BYTES, EXPIRED_ROWS
from resolver.errors import RecordError
from resolver.signed_packets import SignedPacket, newer_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from tunnels.identity import EndpointId

_SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE records (id BLOB NOT NULL UNIQUE, payload BLOB NOT NULL, kept_at REAL NOT NULL);
CREATE TABLE usage (id BLOB NOT NULL UNIQUE, period INTEGER NOT NULL, used INTEGER NOT NULL);
CREATE TABLE credit (id BLOB PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE serials (serial BLOB PRIMARY KEY, expires INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX serials_by_expiry ON serials (expires);
"""


async def open_embedded(
    path: Path | None,
    *,
    clock: Callable[[], float],
    records: int = BEACON_RECORDS,
    record_seconds: float = BEACON_RECORD_SECONDS,
    users: int = BEACON_USERS,
) -> Stores:
    """The stores in the database file at `path`, made if it is not there, or in memory if None.

    `clock` gives unix seconds. StateError when the file cannot be used; it is left as it is.
    """
    database = await Database.open(
        path, what="the beacon's database", schema=_SCHEMA, version=_SCHEMA_VERSION
    )
    return Stores(
        SqliteRecords(database, clock, rows=records, seconds=record_seconds),
        SqliteAccounts(database, clock, rows=users),
        presence=None,
        bus=None,
        nameplates=NameplateTable(clock, random.random),
        ready=database.check,
        close=database.close,
    )


class SqliteRecords:
    """The newest signed packet of each endpoint. See RecordStore."""

    __slots__ = ("_capacity", "_clock", "_database", "_rows", "_seconds")

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float],
        *,
        rows: int = BEACON_RECORDS,
        seconds: float = BEACON_RECORD_SECONDS,
    ) -> None:
        self._database = database
        self._clock = clock
        self._capacity = rows
        self._seconds = seconds
        self._rows = BoundedRows("records")

    async def get(self, endpoint_id: EndpointId) -> SignedPacket | None:
        """See RecordStore."""
        oldest = self._clock() - self._seconds
        return await self._database.run(lambda connection: _read_record(connection, endpoint_id, oldest))

    async def put(self, packet: SignedPacket) -> bool:
        """See RecordStore."""
        now = self._clock()
        return await self._database.run(lambda connection: self._put(connection, packet, now))

    def _put(self, connection: sqlite3.Connection, packet: SignedPacket, now: float) -> bool:
        present = _read_record(connection, packet.endpoint_id, now - self._seconds)
        if present is not None and newer_of(packet, present) != packet:
            return False
        connection.execute(
            "INSERT OR REPLACE INTO records (id, payload, kept_at) VALUES (?, ?, ?)",
            (packet.endpoint_id.key, packet.to_payload(), now),
        )
        # Written in the order of time, so the expired ones are those with the smallest rowids.
        connection.execute(
            "DELETE FROM records WHERE rowid IN (SELECT rowid FROM records ORDER BY rowid LIMIT ?) AND kept_at <= ?",
            (EXPIRED_ROWS, now - self._seconds),
        )
        self._rows.bound(connection, self._capacity)
        return True


class SqliteAccounts:
    """Bytes relayed and credit. See Accounts."""

    __slots__ = ("_capacity", "_clock", "_database", "_rows")

    def __init__(self, database: Database, clock: Callable[[], float], *, rows: int = BEACON_USERS) -> None:
        self._database = database
        self._clock = clock
        self._capacity = rows
        self._rows = BoundedRows("usage")

    async def charge(self, endpoint_id: EndpointId, size: int, quota_bytes: int, period: int) -> Balance:
        """See Accounts."""
        key = endpoint_id.key
        return await self._database.run(
            lambda connection: self._charge(connection, key, size, quota_bytes, period)
        )

    async def balance(self, endpoint_id: EndpointId, period: int) -> Balance:
        """See Accounts."""
        key = endpoint_id.key
        return await self._database.run(lambda connection: _read_balance(connection, key, period))

    async def redeem(self, serial: bytes, holder: EndpointId, size: int, expires: int) -> Balance | None:
        """See Accounts; the balance tells the credit alone, as no period was asked for."""
        now = self._clock()
        if expires <= now:
            return None
        return await self._database.run(
            lambda connection: _redeem(connection, serial, holder.key, size, expires, now)
        )

    def _charge(
        self, connection: sqlite3.Connection, key: bytes, size: int, quota_bytes: int, period: int
    ) -> Balance:
        before = _read_balance(connection, key, period)
        used = before.used_bytes + size
        beyond = max(0, used - max(quota_bytes, before.used_bytes))
        credit = max(0, before.credit_bytes - beyond)
        connection.execute(
            "INSERT OR REPLACE INTO usage (id, period, used) VALUES (?, ?, ?)", (key, period, used)
        )
        if credit != before.credit_bytes:
            _write_credit(connection, key, credit)
        connection.execute(
            "DELETE FROM usage WHERE rowid IN (SELECT rowid FROM usage ORDER BY rowid LIMIT ?) AND period < ?",
            (EXPIRED_ROWS, period),
        )
        self._rows.bound(connection, self._capacity)
        return Balance(used, credit)


def _read_record(
    connection: sqlite3.Connection, endpoint_id: EndpointId, oldest: float
) -> SignedPacket | None:
    row = connection.execute(
        "SELECT payload FROM records WHERE id = ? AND kept_at > ?", (endpoint_id.key, oldest)
    ).fetchone()
    if row is None:
        return None
    try:
        return SignedPacket.parse_payload(endpoint_id, row[0])
    except RecordError:  # the disk, or somebody, changed it; the next packet takes its place
        return None


def _read_balance(connection: sqlite3.Connection, key: bytes, period: int) -> Balance:
    used = connection.execute("SELECT used FROM usage WHERE id = ? AND period = ?", (key, period)).fetchone()
    credit = connection.execute("SELECT bytes FROM credit WHERE id = ?", (key,)).fetchone()
    return Balance(used[0] if used else 0, credit[0] if credit else 0)


def _write_credit(connection: sqlite3.Connection, key: bytes, credit: int) -> None:
    if credit:
        connection.execute("INSERT OR REPLACE INTO credit (id, bytes) VALUES (?, ?)", (key, credit))
    else:
        connection.execute("DELETE FROM credit WHERE id = ?", (key,))


def _redeem(
    connection: sqlite3.Connection, serial: bytes, key: bytes, size: int, expires: int, now: float
) -> Balance | None:
    connection.execute("DELETE FROM serials WHERE expires <= ?", (int(now) - BEACON_SERIAL_SPARE_SECONDS,))
    if connection.execute("SELECT 1 FROM serials WHERE serial = ?", (serial,)).fetchone():
        return None
    connection.execute("INSERT INTO serials (serial, expires) VALUES (?, ?)", (serial, expires))
    row = connection.execute("SELECT bytes FROM credit WHERE id = ?", (key,)).fetchone()
    credit = min(BEACON_CREDIT_BYTES, (row[0] if row else 0) + size)
    _write_credit(connection, key, credit)
    return Balance(0, credit)
