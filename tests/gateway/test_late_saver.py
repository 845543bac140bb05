"""What changes is saved late and once; what cannot be saved is kept, tried ever more seldom, and told of once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway import late_saver
from gateway.errors import StateError
from gateway.late_saver import LateSaver
from gateway.supervision import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine


class Disk:
    """Takes what it is given, while it has room."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.is_full = False
        self.tries = 0
        self.written: list[int] = []
        self.value = 0

    def saver(self, seconds: float = 0.0) -> LateSaver:
        def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
            return self.supervisor.spawn(coroutine, name=name)

        return LateSaver(self.save, seconds, "save it", spawn, lost="it is forgotten")

    async def save(self) -> None:
        self.tries += 1
        value = self.value
        await asyncio.sleep(0)
        if self.is_full:
            raise StateError("state: the disk is full")
        self.written.append(value)


@pytest.fixture
async def disk() -> AsyncIterator[Disk]:
    supervisor = Supervisor()
    yield Disk(supervisor)
    await supervisor.close()


async def settle(disk: Disk) -> None:
    while len(disk.supervisor):  # noqa: ASYNC110 - the tasks are the supervisor's own
        await asyncio.sleep(0)


async def test_many_changes_are_one_save_and_one_meanwhile_is_another(disk: Disk) -> None:
    saver = disk.saver()
    for disk.value in range(3):
        saver.changed()
    await settle(disk)
    assert disk.written == [2]
    disk.value = 7
    saver.changed()
    await saver.close()
    assert disk.written == [2, 7]


async def test_a_full_disk_is_told_of_once_tried_again_and_told_of_when_it_works(
    disk: Disk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(late_saver, "SAVE_RETRY_LONGEST_SECONDS", 0.001)
    saver = disk.saver()
    disk.is_full = True
    saver.changed()
    while disk.tries < 20:  # noqa: ASYNC110 - the disk is tried by nobody but the saver
        await asyncio.sleep(0.001)
    assert saver.problem == "state: the disk is full"
    assert caplog.text.count("the disk is full") == 1
    assert "it is forgotten if that fails until the end" in caplog.text
    disk.is_full = False
    await settle(disk)
    assert disk.written == [0]
    assert saver.problem == ""
    assert caplog.text.count("save it: it works again") == 1


async def test_attempts_are_farther_and_farther_apart(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        if seconds:
            waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr(late_saver.asyncio, "sleep", noted)
    saver = disk.saver(5.0)
    disk.is_full = True
    saver.changed()
    while len(waits) < 8:
        await sleep(0)
    await saver.close()
    assert waits[:8] == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0, 60.0]


async def test_the_end_tries_once_more(disk: Disk) -> None:
    saver = disk.saver(60.0)
    disk.is_full = True
    saver.changed()
    await saver.close()
    assert disk.tries == 1
    disk.is_full = False
    await saver.close()
    assert disk.written == [0]
    await saver.close()
    assert disk.tries == 2
