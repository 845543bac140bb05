"""What the gateway remembers and could do without, in one SQLite file: rows of it are written, never the whole of it. ⚡

Records, services that endpoints told of and loopback addresses, ten thousand of each and more. A file that is damaged
is moved aside, and what was in it found out again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.database import Database
from gateway.errors import StoreUnavailable
from gateway.late_saver import LateSaver
from gateway.limits import KEPT_ROWS_UNWRITTEN, KEPT_SAVE_SECONDS

if TYPE_CHECKING:
    import asyncio
    import sqlite3
    from collections.abc import Callable, Coroutine

    from gateway.home import Home

    Row = tuple[Any, ...]

_logger = logging.getLogger(__name__)

_VERSION: Final = 1
# What is written again gets a new, larger rowid: the order of rowids is that in which rows were written last.
_SCHEMA: Final = """
CREATE TABLE contact_records
    (id BLOB NOT NULL UNIQUE, payload BLOB NOT NULL, source TEXT NOT NULL, learned_at REAL NOT NULL, expires INTEGER NOT NULL);
CREATE TABLE stranger_records
    (id BLOB NOT NULL UNIQUE, payload BLOB NOT NULL, source TEXT NOT NULL, learned_at REAL NOT NULL, expires INTEGER NOT NULL);
CREATE TABLE remote_services (id BLOB NOT NULL UNIQUE, services BLOB NOT NULL);
CREATE TABLE loopback (id BLOB NOT NULL, service TEXT NOT NULL, address INTEGER NOT NULL, UNIQUE (id, service));
"""
_LOST: Final = "records and services are asked for again, and loopback addresses chosen anew"


@dataclass(frozen=True, slots=True)
class Table:
    """One of its tables: the first `keys` of its `columns` tell one row from another."""

    name: str
    columns: tuple[str, ...]
    keys: int = 1

    @property
    def put(self) -> str:
        """SQL that writes a row in place of the one with the same keys."""
        columns, values = ", ".join(self.columns), ", ".join("?" * len(self.columns))
        return f"INSERT OR REPLACE INTO {self.name} ({columns}) VALUES ({values})"  # noqa: S608 - all of it ours

    @property
    def delete(self) -> str:
        """SQL that deletes the row with some keys."""
        where = " AND ".join(f"{column} = ?" for column in self.columns[: self.keys])
        return f"DELETE FROM {self.name} WHERE {where}"  # noqa: S608 - all of it ours

    @property
    def read(self) -> str:
        """SQL that gives all rows, the one written longest ago first."""
        return f"SELECT {', '.join(self.columns)} FROM {self.name} ORDER BY rowid"  # noqa: S608 - all of it ours


class KeptState:
    """The open file. `close` it once, after all who write to it."""

    def __init__(
        self, home: Home, spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
    ) -> None:
        """Open it, from a thread that may wait. Where there can be none, all of it is in memory."""
        self.spawn = spawn
        self.database = Database.open_or_begin_anew(
            home.kept_file,
            what="the database of what is remembered",
            schema=_SCHEMA,
            version=_VERSION,
            lost=_LOST,
        )

    def rows(self, table: Table) -> list[Row]:
        """All rows of a table, the one written longest ago first; for a thread that may wait."""
        try:
            return self.database.run_now(lambda connection: connection.execute(table.read).fetchall())
        except StoreUnavailable as error:
            _logger.warning("%s; %s", error, _LOST)
            return []

    async def close(self) -> None:
        """Close the file; idempotent."""
        await self.database.close()


class LateRows:
    """Changes of one table, written a moment later and together: those of a while are one transaction."""

    def __init__(self, state: KeptState, table: Table) -> None:
        self._state = state
        self._table = table
        self._changed: dict[Row, Row | None] = {}
        self._saver = LateSaver(
            lambda: self._save(), KEPT_SAVE_SECONDS, f"save {table.name}", state.spawn, lost=_LOST
        )

    def put(self, row: Row) -> None:
        """Write this row in place of the one with the same keys."""
        self._changed[row[: self._table.keys]] = row
        self._saver.changed()

    def delete(self, *key: object) -> None:
        """Delete the row with these keys, if there is one."""
        self._changed[key] = None
        self._saver.changed()

    async def close(self) -> None:
        """Write what is not written yet."""
        await self._saver.close()

    async def _save(self) -> None:
        changed, self._changed = self._changed, {}
        try:
            await self._state.database.run(lambda connection: self.write(connection, changed))
        except StoreUnavailable:
            for key, row in self._changed.items():  # what changed meanwhile is newer
                changed[key] = row
            self._changed = changed
            while len(self._changed) > KEPT_ROWS_UNWRITTEN:
                del self._changed[next(iter(self._changed))]
            raise

    def write(self, connection: sqlite3.Connection, changed: dict[Row, Row | None]) -> None:
        """Write the changes, by their keys; in the database's thread."""
        connection.executemany(self._table.delete, [key for key, row in changed.items() if row is None])
        connection.executemany(self._table.put, [row for row in changed.values() if row is not None])
