"""A SQLite file and the one thread that uses it: each piece of work is one transaction. ⚡

With write-ahead logging and without waiting for the disk at each commit a crash of the process loses nothing, and one
of the machine the last moments.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from gateway.errors import StateError, StoreUnavailable
from gateway.limits import EXPIRED_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

_logger = logging.getLogger(__name__)


class Database:
    """One SQLite file, and the one thread that uses it."""

    __slots__ = ("_connection", "_path", "_schema", "_thread", "_version", "_what")

    def __init__(self, path: Path | None, *, what: str, schema: str, version: int) -> None:
        """`path` None is memory. `what` is what people call it, such as `the beacon's database`; `schema` makes the
        tables of an empty one, whose form has this `version`, above 0.
        """
        self._path = path
        self._what = what
        self._schema = schema
        self._version = version
        self._thread: ThreadPoolExecutor | None = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._connection: sqlite3.Connection | None = None

    @classmethod
    async def open(cls, path: Path | None, *, what: str, schema: str, version: int) -> Database:
        """Open or create; StateError names the file and the remedy."""
        database = cls(path, what=what, schema=schema, version=version)
        try:
            await asyncio.get_running_loop().run_in_executor(database._thread, database._connect)
        except BaseException:
            await database.close()
            raise
        return database

    @classmethod
    def open_or_begin_anew(cls, path: Path, *, what: str, schema: str, version: int, lost: str) -> Database:
        """As `open`, from a thread that may wait, for what can be done without: a damaged file is moved aside, and where
        there can be none it is in memory. `lost` tells people what becomes of what was in it.
        """

        def opened(place: Path | None) -> Database:
            database = cls(place, what=what, schema=schema, version=version)
            database.open_now()
            return database

        try:
            return opened(path)
        except StateError as error:
            _logger.warning("%s; %s", error, lost)
        try:
            os.replace(path, path.with_suffix(".damaged"))
            return opened(path)
        except (StateError, OSError):
            return opened(None)

    def open_now(self) -> None:
        """As `open`, from a thread that may wait; once, before anything else."""
        assert self._thread is not None  # noqa: S101 - it is new
        try:
            self._thread.submit(self._connect).result()
        except BaseException:
            self._thread.submit(self._disconnect).result()
            self._thread.shutdown(wait=False)
            self._thread = None
            raise

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in the thread, as one transaction: all of it or, with StoreUnavailable, nothing."""
        if self._thread is None:
            raise StoreUnavailable(f"{self._what} is closed; its owner shuts down")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work)

    def run_now(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `run`, from a thread that may wait."""
        if self._thread is None:
            raise StoreUnavailable(f"{self._what} is closed; its owner shuts down")
        return self._thread.submit(self._transact, work).result()

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
            raise StateError(f"{self._path}: cannot open {self._what}: {error.strerror}") from None
        except sqlite3.Error as error:
            # A full disk is no fault of the file: who moves that away loses what is in it, and has no more room.
            is_full = getattr(error, "sqlite_errorcode", None) in (
                sqlite3.SQLITE_FULL,
                sqlite3.SQLITE_IOERR_WRITE,
            )
            remedy = "free some space" if is_full else "move it away to begin with an empty one"
            raise StateError(f"{self._path}: {self._what} cannot be used ({error}); {remedy}") from None

    def _make_schema(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE; {self._schema} PRAGMA user_version = {self._version}; COMMIT;"
            )
        elif version != self._version:
            raise StateError(f"{self._path}: this database was made by a newer overlay; upgrade")

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection
        if connection is None:
            raise StoreUnavailable(f"{self._what} is not open")
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
                f"{self._what} {self._path or 'in memory'} does not work: {error}; free its disk or mend it"
            ) from None
        return result


class BoundedRows:
    """How many rows a table has, at most: counting them each time would read the whole table.

    A row that is written again gets a new, larger rowid, so the smallest is that of the row written longest ago.
    """

    __slots__ = ("_known", "_table")

    def __init__(self, table: str) -> None:
        self._table = table
        self._known: int | None = None

    def bound(self, connection: sqlite3.Connection, capacity: int, written: int = 1) -> None:
        """After some rows were `written`: delete those written longest ago, beyond `capacity`."""
        if self._known is not None:
            self._known += written  # at most: a row may have replaced another, or nothing may be committed
        if self._known is None or self._known > capacity:
            (rows,) = connection.execute(f"SELECT count(*) FROM {self._table}").fetchone()  # noqa: S608 - ours
            if rows > capacity:
                # A few more than needed, so that a full table is not counted for each new row.
                leave = capacity - min(EXPIRED_ROWS, capacity // 64)
                connection.execute(
                    f"DELETE FROM {self._table} WHERE rowid IN "  # noqa: S608 - ours
                    f"(SELECT rowid FROM {self._table} ORDER BY rowid LIMIT ?)",
                    (rows - leave,),
                )
                rows = leave
            self._known = rows
