"""Run named tasks so that a crash is logged once and ends only the task it happened in.

This is the one room that may catch every exception.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

_logger = logging.getLogger(__name__)


class Supervisor:
    """Keeps the tasks it started alive until they end or it is closed."""

    __slots__ = ("_closed", "_tasks")

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def spawn(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Start a task. Its crash is logged with its traceback and ends it alone; the task itself never fails.

        After `close` the coroutine is not started and the task returned is cancelled.
        """
        task = asyncio.get_running_loop().create_task(_watched(coroutine, name), name=name)
        task.add_done_callback(
            lambda _: coroutine.close()
        )  # a task cancelled before its first step never ran it
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._closed:
            task.cancel()
        return task

    async def close(self) -> None:
        """Cancel every task and wait until each has ended; idempotent. Tasks spawned meanwhile end too."""
        self._closed = True
        me = asyncio.current_task()
        while tasks := [task for task in self._tasks if task is not me]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def __len__(self) -> int:
        """How many tasks run."""
        return len(self._tasks)

    def __repr__(self) -> str:
        return f"Supervisor({len(self)} tasks{', closed' if self._closed else ''})"


async def _watched(coroutine: Coroutine[Any, Any, None], name: str) -> None:
    try:
        await coroutine
    except Exception:  # the one place: the crash of one task must not end the gateway
        _logger.exception("%s crashed; everything else goes on", name, extra={"task": name})
