"""The stores of one process: what SQLite keeps, for how long, and what happens when it cannot."""

from __future__ import annotations

import sqlite3
import stat
from typing import TYPE_CHECKING

import pytest

from gateway.beacon.embedded import _SCHEMA, SqliteAccounts, SqliteRecords, open_embedded
from gateway.beacon.limits import BEACON_SERIAL_SPARE_SECONDS
from gateway.beacon.stores import Balance, StoreUnavailable
from gateway.database import Database
from gateway.errors import StateError
from tests.lab.resolver_keys import NOW, key, packet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ID = key(1).endpoint_id
LATER = int(NOW) + 86400


class Clock:
    """Unix seconds that move when they are told to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    opened = await Database.open(None, what="the beacon's database", schema=_SCHEMA, version=1)
    yield opened
    await opened.close()


async def rows(database: Database, table: str) -> int:
    return await database.run(
        lambda connection: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    )


def modes(directory: Path) -> set[int]:
    """The permissions of the files in it."""
    return {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}


async def test_everything_is_there_after_a_restart_and_for_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "beacon.sqlite3"
    stores = await open_embedded(path, clock=lambda: NOW)
    await stores.records.put(packet(1))
    await stores.accounts.redeem(b"s" * 16, ID, 500, LATER)
    await stores.accounts.charge(ID, 10, 0, 5)
    assert modes(tmp_path) == {0o600}
    await stores.close()
    stores = await open_embedded(path, clock=lambda: NOW)
    assert await stores.records.get(ID) == packet(1)
    assert await stores.accounts.balance(ID, 5) == Balance(10, 490)
    assert await stores.accounts.redeem(b"s" * 16, ID, 500, LATER) is None
    await stores.close()


async def test_a_record_that_nobody_renews_is_forgotten(database: Database) -> None:
    clock = Clock()
    records = SqliteRecords(database, clock, seconds=100)
    await records.put(packet(1))
    clock.now += 99
    assert await records.get(ID) == packet(1)
    await records.put(packet(1))
    clock.now += 99
    assert await records.get(ID) == packet(1)
    clock.now += 1
    assert await records.get(ID) is None
    old = packet(1, signed_at=NOW - 500)
    assert await records.put(old), "a forgotten record does not stand in the way of an older one"
    assert await records.get(ID) == old


async def test_expired_records_leave_the_file(database: Database) -> None:
    clock = Clock()
    records = SqliteRecords(database, clock, seconds=100)
    for number in range(1, 40):
        await records.put(packet(number))
    clock.now += 100
    await records.put(packet(50))
    assert await rows(database, "records") == 1


async def test_a_full_table_forgets_the_record_renewed_longest_ago(database: Database) -> None:
    records = SqliteRecords(database, Clock(), rows=3)
    for number in (1, 2, 3):
        await records.put(packet(number))
    await records.put(packet(1))
    await records.put(packet(4))
    assert [await records.get(key(number).endpoint_id) is not None for number in (1, 2, 3, 4)] == [
        True,
        False,
        True,
        True,
    ]


async def test_any_number_of_records_fills_the_table_to_its_bound(database: Database) -> None:
    records = SqliteRecords(database, Clock(), rows=128)
    for number in range(1, 400):
        await records.put(packet(number))
        if number % 50 == 0:
            assert await rows(database, "records") <= 128
    assert await records.get(key(399).endpoint_id) is not None
    assert await rows(database, "records") > 120


async def test_any_number_of_users_fills_the_table_to_its_bound(database: Database) -> None:
    accounts = SqliteAccounts(database, Clock(), rows=16)
    for number in range(1, 60):
        await accounts.charge(key(number).endpoint_id, 1, 10, 5)
    assert await rows(database, "usage") == 16
    assert await accounts.balance(key(59).endpoint_id, 5) == Balance(1, 0)
    assert await accounts.balance(key(1).endpoint_id, 5) == Balance(0, 0)


async def test_the_use_of_past_periods_and_credit_that_is_used_up_leave_the_file(database: Database) -> None:
    accounts = SqliteAccounts(database, Clock())
    for number in range(1, 20):
        await accounts.charge(key(number).endpoint_id, 1, 10, 5)
    await accounts.redeem(b"s" * 16, ID, 10, LATER)
    await accounts.charge(ID, 11, 0, 6)
    assert await rows(database, "usage") == 1
    assert await rows(database, "credit") == 0


async def test_a_serial_is_remembered_for_longer_than_its_voucher_is_good(database: Database) -> None:
    clock = Clock()
    accounts = SqliteAccounts(database, clock)
    await accounts.redeem(b"s" * 16, ID, 10, LATER)
    clock.now = LATER + 1
    assert await accounts.redeem(b"s" * 16, ID, 10, LATER) is None
    await accounts.redeem(b"t" * 16, ID, 10, LATER + 86400)
    assert await rows(database, "serials") == 2
    clock.now = LATER + BEACON_SERIAL_SPARE_SECONDS
    await accounts.redeem(b"u" * 16, ID, 10, int(clock.now) + 10)
    assert await rows(database, "serials") == 2


async def test_a_record_that_was_changed_on_disk_is_not_given(database: Database) -> None:
    records = SqliteRecords(database, Clock())
    await records.put(packet(1))
    await database.run(lambda connection: connection.execute("UPDATE records SET payload = zeroblob(200)"))
    assert await records.get(ID) is None
    assert await records.put(packet(1))
    assert await records.get(ID) == packet(1)


@pytest.mark.parametrize("content", [b"precious" * 1000, "newer"])
async def test_a_file_that_is_something_else_is_left_alone(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "file"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    before = path.read_bytes()
    with pytest.raises(StateError, match=r"move it away|upgrade") as caught:
        await open_embedded(path, clock=lambda: NOW)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before or content == "newer"


async def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no/db: cannot open the beacon's database: No such file"):
        await open_embedded(tmp_path / "no" / "db", clock=lambda: NOW)


async def put_many(records: SqliteRecords) -> None:
    for number in range(2, 200):
        await records.put(packet(number))


async def test_a_full_disk_is_told_and_keeps_what_was_there(database: Database) -> None:
    records = SqliteRecords(database, Clock())
    await records.put(packet(1))
    # SQLite's own bound on the file's pages behaves as a full disk does.
    await database.run(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchall())
    with pytest.raises(StoreUnavailable, match="database or disk is full; free its disk"):
        await put_many(records)
    assert await records.get(ID) == packet(1)


async def test_work_that_fails_leaves_nothing_behind(database: Database) -> None:
    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO serials VALUES (x'00', 1)")
        connection.execute("INSERT INTO no_table VALUES (1)")

    with pytest.raises(StoreUnavailable):
        await database.run(half)
    assert await rows(database, "serials") == 0


async def test_a_closed_database_says_so(database: Database) -> None:
    await database.close()
    await database.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await database.check()


async def test_one_node_alone_has_no_other() -> None:
    stores = await open_embedded(None, clock=lambda: NOW)
    assert (stores.presence, stores.bus) == (None, None)
    await stores.close()
