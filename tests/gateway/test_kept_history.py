"""What worked between networks survives a restart."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway import kept_history
from gateway.home import Home
from gateway.kept_history import KeptHistory
from gateway.limits import NAT_HISTORY_BYTES
from gateway.supervision import Supervisor
from tunnels.crossing import limits
from tunnels.crossing.history import History

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from pathlib import Path


class World:
    """A home, and the last task."""

    def __init__(self, home: Home, supervisor: Supervisor) -> None:
        self.home = home
        self.supervisor = supervisor

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        self.task = self.supervisor.spawn(coroutine, name=name)
        return self.task

    async def open(self) -> KeptHistory:
        return await asyncio.to_thread(KeptHistory, self.home, self.spawn)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    home = Home(tmp_path)
    await asyncio.to_thread(home.create)
    supervisor = Supervisor()
    yield World(home, supervisor)
    await supervisor.close()


def note(kept: KeptHistory, code: int) -> None:
    kept.history.note(b"home", b"cafe", code, worked=True)


async def test_what_worked_is_known_after_a_restart_and_nobody_else_may_read_it(world: World) -> None:
    kept = await world.open()
    assert len(kept.history) == 0
    note(kept, 9)
    await kept.close()
    assert (await world.open()).history.worked(b"home", b"cafe") == (9,)
    assert (await asyncio.to_thread(world.home.nat_history_file.stat)).st_mode & 0o777 == 0o600


async def test_it_is_written_without_waiting_for_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_history, "NAT_HISTORY_SAVE_SECONDS", 0.0)
    kept = await world.open()
    note(kept, 9)
    await world.task
    assert (await world.open()).history.worked(b"home", b"cafe") == (9,)
    note(kept, 10)
    await world.task
    assert (await world.open()).history.worked(b"home", b"cafe") == (10, 9)


async def test_many_changes_are_one_write(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_history, "NAT_HISTORY_SAVE_SECONDS", 0.0)
    written = []
    monkeypatch.setattr(kept_history, "write_private", lambda path, data: written.append(data))
    kept = await world.open()
    for code in range(1, 20):
        note(kept, code)
    await world.task
    await kept.close()
    assert len(written) == 1


async def test_nothing_is_written_if_nothing_changed(world: World) -> None:
    kept = await world.open()
    await kept.close()
    assert not await asyncio.to_thread(world.home.nat_history_file.exists)


async def test_a_damaged_file_is_as_good_as_none(world: World) -> None:
    await asyncio.to_thread(world.home.nat_history_file.write_bytes, b"\xff\x00")
    kept = await world.open()
    assert len(kept.history) == 0
    note(kept, 9)
    await kept.close()
    assert (await world.open()).history.worked(b"home", b"cafe") == (9,)


async def test_a_file_that_cannot_be_read_is_told_of(world: World, caplog: pytest.LogCaptureFixture) -> None:
    await asyncio.to_thread(world.home.nat_history_file.mkdir)
    kept = await world.open()
    assert len(kept.history) == 0
    assert "cannot read" in caplog.text
    note(kept, 9)
    await kept.close()
    assert "cannot write" in caplog.text


def test_the_fullest_history_fits_into_the_file() -> None:
    history = History()
    for pair in range(limits.HISTORY_PAIRS):
        labels = pair.to_bytes(8, "big"), (2**64 - 1 - pair).to_bytes(8, "big")
        for code in range(255, 255 - limits.HISTORY_STRATEGIES, -1):
            history.note(*labels, code, worked=True)
    assert len(history.encode()) < NAT_HISTORY_BYTES
    assert len(History.decode(history.encode())) == limits.HISTORY_PAIRS
