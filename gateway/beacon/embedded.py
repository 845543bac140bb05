"""The stores of a beacon that is one process: records and accounts in SQLite; there is no other node.

All SQL runs in one thread of its own, each piece of work as one transaction. With write-ahead logging and without
waiting for the disk at each commit a crash of the process loses nothing, and one of the machine the last moments.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

from gateway.beacon.stores import Balance, Stores, StoreUnavailable
from gateway.errors import StateError
from gateway.limits import (
    BEACON_CREDIT_BYTES,
    BEACON_EXPIRED_ROWS,
    BEACON_RECORD_SECONDS,
    BEACON_RECORDS,
    BEACON_SERIAL_SPARE_SECONDS,
    BEACON_USERS,
)
from resolver.errors import RecordError
from resolver.signed_packets import SignedPacket, newer_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tunnels.identity import EndpointId

T = TypeVar("T")

_SCHEMA_VERSION: Final = 1
# A replaced row gets a new, larger rowid: the smallest is the row that was written longest ago.
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
    database = await Database.open(path)
    return Stores(
        SqliteRecords(database, clock, rows=records, seconds=record_seconds),
        SqliteAccounts(database, clock, rows=users),
        presence=None,
        bus=None,
        ready=database.check,
        close=database.close,
    )


class Database:
    """One SQLite file, and the one thread that uses it."""

    __slots__ = ("_connection", "_path", "_thread")

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._thread: ThreadPoolExecutor | None = ThreadPoolExecutor(1, thread_name_prefix="beacon-database")
        self._connection: sqlite3.Connection | None = None

    @classmethod
    async def open(cls, path: Path | None) -> Database:
        """Open or create; StateError names the file and the remedy."""
        database = cls(path)
        try:
            await asyncio.get_running_loop().run_in_executor(database._thread, database._connect)
        except BaseException:
            await database.close()
            raise
        return database

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in the thread, as one transaction: all of it or, with StoreUnavailable, nothing."""
        if self._thread is None:
            raise StoreUnavailable("the beacon's database is closed; it shuts down")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work)

    async def check(self) -> None:
        """Return if the database answers."""
        await self.run(lambda connection: connection.execute("SELECT count(*) FROM sqlite_schema").fetchone())

    async def close(self) -> None:
        """Finish the work that is waiting and close the file; idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._disconnect)
            thread.shutdown(wait=False)

    def _connect(self) -> None:
        try:
            if self._path is not None:
                # For its owner only; SQLite gives the files beside it the same mode.
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._connection = sqlite3.connect(self._path or ":memory:", isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._make_schema(self._connection)
        except OSError as error:
            raise StateError(f"{self._path}: cannot open the beacon's database: {error.strerror}") from None
        except sqlite3.Error as error:
            raise StateError(
                f"{self._path}: this is not a database of a beacon that can be used ({error}); "
                "move it away to begin with an empty one"
            ) from None

    def _make_schema(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;"
            )
        elif version != _SCHEMA_VERSION:
            raise StateError(f"{self._path}: this database was made by a newer overlay; upgrade")

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection
        if connection is None:
            raise StoreUnavailable("the beacon's database is not open")
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StoreUnavailable(
                f"the beacon's database {self._path or 'in memory'} does not work: {error}; free its disk or mend it"
            ) from None
        return result


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
        self._rows = _Rows("records")

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
            (BEACON_EXPIRED_ROWS, now - self._seconds),
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
        self._rows = _Rows("usage")

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
            (BEACON_EXPIRED_ROWS, period),
        )
        self._rows.bound(connection, self._capacity)
        return Balance(used, credit)


class _Rows:
    """How many rows a table has, at most: counting them each time would read the whole table."""

    __slots__ = ("_known", "_table")

    def __init__(self, table: str) -> None:
        self._table = table
        self._known: int | None = None

    def bound(self, connection: sqlite3.Connection, capacity: int) -> None:
        """After one row was written: delete those written longest ago, beyond `capacity`."""
        if self._known is not None:
            self._known += 1  # at most: the row may have replaced another, or nothing may be committed
        if self._known is None or self._known > capacity:
            (rows,) = connection.execute(f"SELECT count(*) FROM {self._table}").fetchone()  # noqa: S608 - ours
            if rows > capacity:
                # A few more than needed, so that a full table is not counted for each new row.
                leave = capacity - min(BEACON_EXPIRED_ROWS, capacity // 64)
                connection.execute(
                    f"DELETE FROM {self._table} WHERE rowid IN "  # noqa: S608 - ours
                    f"(SELECT rowid FROM {self._table} ORDER BY rowid LIMIT ?)",
                    (rows - leave,),
                )
                rows = leave
            self._known = rows


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
