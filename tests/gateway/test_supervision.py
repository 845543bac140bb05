"""A crash ends one task and is told once."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from gateway.supervision import Supervisor

if TYPE_CHECKING:
    import pytest


async def test_a_crash_is_logged_once_and_ends_only_its_task(caplog: pytest.LogCaptureFixture) -> None:
    supervisor = Supervisor()
    release = asyncio.Event()

    async def crash() -> None:
        raise ZeroDivisionError("by nobody")

    async def go_on() -> None:
        await release.wait()

    other = supervisor.spawn(go_on(), name="other")
    crashed = supervisor.spawn(crash(), name="the crasher")
    await asyncio.wait([crashed])
    assert crashed.exception() is None
    assert not other.done()
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "the crasher crashed" in record.getMessage()
    assert record.exc_info is not None
    release.set()
    await other
    assert len(supervisor) == 0


async def test_close_cancels_every_task_and_waits_for_it() -> None:
    supervisor = Supervisor()
    started, cleaned = asyncio.Event(), []

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    supervisor.spawn(work(), name="work")
    await started.wait()
    await supervisor.close()
    await supervisor.close()
    assert cleaned == [True]
    assert repr(supervisor) == "Supervisor(0 tasks, closed)"


async def test_a_task_that_is_cancelled_before_it_began_leaves_no_warning() -> None:
    supervisor = Supervisor()
    ran = []

    async def work() -> None:
        ran.append(True)

    supervisor.spawn(work(), name="never begun").cancel()
    await supervisor.close()
    assert ran == []


async def test_nothing_starts_after_close() -> None:
    supervisor = Supervisor()
    await supervisor.close()
    ran = []

    async def work() -> None:
        ran.append(True)

    task = supervisor.spawn(work(), name="late")
    await asyncio.wait([task])
    assert task.cancelled()
    assert ran == []


async def test_a_supervised_task_may_close_the_supervisor() -> None:
    supervisor = Supervisor()

    async def work() -> None:
        await supervisor.close()

    await supervisor.spawn(work(), name="closer")


async def test_tasks_have_names() -> None:
    supervisor = Supervisor()
    task = supervisor.spawn(asyncio.sleep(0), name="a name")
    assert task.get_name() == "a name"
    await task
