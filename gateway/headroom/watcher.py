"""Measures what this process uses, each second and where it matters at once, and does what helps when it is too much. ⚡

Descriptors are counted where a connection comes in, not each second: a thousand come in one moment. The system gives a new
descriptor the lowest free number, so the number of one that is made and closed again tells that all below are taken.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import resource
from typing import TYPE_CHECKING, Any

from gateway.headroom.allowance import memory_allowance
from gateway.headroom.limits import HEADROOM_LOOK_SECONDS, SHRINK_SECONDS
from gateway.headroom.state import Change, Headroom
from gateway.process_use import resident

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

_logger = logging.getLogger(__name__)


class Watcher:
    """One for the process. `start` once, `close` once; `refusal` may be asked at any time."""

    def __init__(
        self,
        home: Path,
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        *,
        memory: int = 0,
        shrink: Callable[[], object] = lambda: None,
    ) -> None:
        """`memory` bytes may be resident, 0 for what seems right here; from a thread that may wait. `shrink` is called now and
        then while there are more: whoever has a cache makes it smaller.
        """
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._home = home
        self._spawn = spawn
        self._shrink = shrink
        self._shrunk_at = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._some = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self.state = Headroom(
            memory=memory or memory_allowance(),
            descriptors=None if soft == resource.RLIM_INFINITY else soft,
            home=str(home),
        )

    def __repr__(self) -> str:
        return f"Watcher({self.state!r})"

    def start(self) -> None:
        """Look from now on."""
        self._task = self._spawn(self._run(), "headroom")

    async def close(self) -> None:
        """Look no more; idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
            os.close(self._some)
            self._some = -1

    def refusal(self) -> str:
        """Why there is no room for one more connection, for whoever wants it; empty if there is."""
        why, changes = self.state.refusal(self._free_descriptors())
        _tell(changes)
        return why

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            rss, free_disk = await asyncio.to_thread(self._look)
            _tell(
                self.state.measured(
                    resident=rss, free_descriptors=self._free_descriptors(), free_disk=free_disk
                )
            )
            if self.state.memory_is_short and loop.time() >= self._shrunk_at + SHRINK_SECONDS:
                self._shrunk_at = loop.time()
                self._shrink()
                gc.collect()
                await asyncio.to_thread(_give_back)
            await asyncio.sleep(HEADROOM_LOOK_SECONDS)

    def _look(self) -> tuple[int | None, int | None]:
        try:
            disk = os.statvfs(self._home)
        except OSError:
            return resident(), None
        return resident(), disk.f_bavail * disk.f_frsize

    def _free_descriptors(self) -> int | None:
        """How many more may be opened, at most; None if any number."""
        if self.state.descriptors is None:
            return None
        try:
            number = os.dup(self._some)
        except OSError:
            return 0
        os.close(number)
        return self.state.descriptors - number


def _tell(changes: list[Change]) -> None:
    for change in changes:
        _logger.log(logging.WARNING if change.is_short else logging.INFO, "%s", change.text)


def _give_back() -> None:
    """Give the system what is freed but kept by the C library, where that is glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
