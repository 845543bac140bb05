"""What is remembered and could be done without: rows are written late and together, and damage costs only them."""

from __future__ import annotations

import asyncio
import stat
from typing import TYPE_CHECKING

import pytest

from gateway import kept_state
from gateway.home import Home
from gateway.kept_state import KeptState, LateRows, Table
from gateway.supervision import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LOOPBACK = Table("loopback", ("id", "service", "address"), keys=2)


class World:
    """A home, its state as it is now, and one table of it."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.supervisor = Supervisor()

    async def open(self) -> None:
        self.state = await asyncio.to_thread(
            KeptState, self.home, lambda coroutine, name: self.supervisor.spawn(coroutine, name=name)
        )
        self.rows = LateRows(self.state, LOOPBACK)

    async def close(self) -> None:
        await self.rows.close()
        await self.state.close()

    async def reopen(self) -> list[tuple[object, ...]]:
        """After a restart: the rows that are there."""
        await self.close()
        await self.open()
        return await asyncio.to_thread(self.state.rows, LOOPBACK)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    home = Home(tmp_path / "home")
    await asyncio.to_thread(home.create)
    world = World(home)
    await world.open()
    yield world
    await world.close()
    await world.supervisor.close()


async def test_rows_come_back_in_the_order_they_were_written_last(world: World) -> None:
    for key, service, address in (("a", "", 1), ("b", "", 2), ("a", "web", 3), ("a", "", 4)):
        world.rows.put((key.encode(), service, address))
    assert await world.reopen() == [(b"a", "", 4), (b"b", "", 2), (b"a", "web", 3)]
    world.rows.put((b"a", "", 5))
    world.rows.delete(b"b", "")
    world.rows.delete(b"nothing", "")
    assert await world.reopen() == [(b"a", "web", 3), (b"a", "", 5)]


async def test_changes_are_written_without_waiting_for_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_state, "KEPT_SAVE_SECONDS", 0.0)
    rows = LateRows(world.state, LOOPBACK)
    rows.put((b"a", "", 1))
    rows.put((b"b", "", 2))
    while len(world.supervisor):  # noqa: ASYNC110 - the tasks are the supervisor's own
        await asyncio.sleep(0)
    assert len(await asyncio.to_thread(world.state.rows, LOOPBACK)) == 2


async def test_the_file_is_its_owners_only(world: World) -> None:
    mode = (await asyncio.to_thread(world.home.kept_file.stat)).st_mode
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"junk" * 5000, b"SQLite format 3\0" + bytes(90)])
async def test_a_damaged_file_is_moved_aside_and_begun_anew(
    world: World, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await world.close()
    await asyncio.to_thread(world.home.kept_file.write_bytes, content)
    assert await world.reopen() == []
    world.rows.put((b"a", "", 1))
    assert await world.reopen() == [(b"a", "", 1)]
    if content:
        damaged = world.home.kept_file.with_suffix(".damaged")
        assert await asyncio.to_thread(damaged.read_bytes) == content
        assert "asked for again" in caplog.text


async def test_where_no_file_can_be_there_is_memory(world: World, caplog: pytest.LogCaptureFixture) -> None:
    await world.close()
    await asyncio.to_thread(world.home.kept_file.unlink)
    await asyncio.to_thread(world.home.kept_file.mkdir)
    await asyncio.to_thread((world.home.kept_file / "x").touch)
    await asyncio.to_thread(world.home.kept_file.with_suffix(".damaged").touch)
    await world.open()
    world.rows.put((b"a", "", 1))
    await world.rows.close()
    assert await asyncio.to_thread(world.state.rows, LOOPBACK) == [(b"a", "", 1)]
    assert "kept.db" in caplog.text


async def test_a_full_disk_costs_only_what_would_have_been_kept(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.rows.put((b"a", "", 1))
    await world.rows.close()
    # SQLite's own bound on the file's pages behaves as a full disk does.
    await world.state.database.run(
        lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchall()
    )
    for number in range(1000):
        world.rows.put((number.to_bytes(32), "", number))
    await world.rows.close()
    assert "disk is full" in caplog.text
    assert await asyncio.to_thread(world.state.rows, LOOPBACK) == [(b"a", "", 1)]
