"""A SQLite file and its thread, where the caller may wait; the beacon's tests have the rest."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import pytest

from gateway.database import BoundedRows, Database
from gateway.errors import StateError, StoreUnavailable

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = "CREATE TABLE things (name TEXT NOT NULL UNIQUE);"


def database(path: Path | None) -> Database:
    return Database(path, what="the database of things", schema=SCHEMA, version=3)


async def test_it_is_opened_and_asked_from_a_thread_that_may_wait(tmp_path: Path) -> None:
    opened = database(tmp_path / "db")
    await asyncio.to_thread(opened.open_now)
    await asyncio.to_thread(
        opened.run_now, lambda connection: connection.execute("INSERT INTO things VALUES ('a')")
    )
    rows = await opened.run(lambda connection: connection.execute("SELECT name FROM things").fetchall())
    assert rows == [("a",)]
    await opened.close()
    with pytest.raises(StoreUnavailable, match="the database of things is closed"):
        opened.run_now(lambda connection: None)


async def test_what_cannot_be_opened_is_closed_again_and_named(tmp_path: Path) -> None:
    path = tmp_path / "db"
    await asyncio.to_thread(path.write_bytes, b"no database" * 100)
    broken = database(path)
    with pytest.raises(StateError, match="db: the database of things cannot be used"):
        await asyncio.to_thread(broken.open_now)
    with pytest.raises(StoreUnavailable):
        await broken.check()


async def test_on_a_full_disk_nobody_is_told_to_move_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL

    def connect(*_: object, **__: object) -> None:
        raise full

    monkeypatch.setattr(sqlite3, "connect", connect)
    with pytest.raises(StateError, match=r"cannot be used \(database or disk is full\); free some space"):
        await asyncio.to_thread(database(None).open_now)


async def test_the_rows_written_longest_ago_give_way() -> None:
    opened = database(None)
    await asyncio.to_thread(opened.open_now)
    rows = BoundedRows("things")
    for name in ("a", "b", "a", "c", "d"):

        def write(connection, name=name):
            connection.execute("INSERT OR REPLACE INTO things VALUES (?)", (name,))
            rows.bound(connection, 3)

        await opened.run(write)
    left = await opened.run(
        lambda connection: connection.execute("SELECT name FROM things ORDER BY rowid").fetchall()
    )
    assert left == [("a",), ("c",), ("d",)]
    await opened.close()
