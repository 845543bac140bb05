"""Something on disk that changes often: written some seconds after a change, and at the end. ⚡"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine


class LateSaver:
    """Saves once for all changes of a while; what changes during a save is saved by the next one."""

    def __init__(
        self,
        save: Callable[[], Awaitable[None]],
        seconds: float,
        name: str,
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
    ) -> None:
        """`save` takes what there is before it first waits, and says itself what went wrong; `name` is the task's."""
        self._save = save
        self._seconds = seconds
        self._name = name
        self._spawn = spawn
        self._saving: asyncio.Task[None] | None = None
        self._unsaved = False

    def changed(self) -> None:
        """There is something to save."""
        self._unsaved = True
        if self._saving is None:
            self._saving = self._spawn(self._save_soon(), self._name)

    async def close(self) -> None:
        """Save what is not saved yet."""
        if self._saving is not None:
            self._saving.cancel()
            await asyncio.wait((self._saving,))
        if self._unsaved:
            await self._save_now()

    async def _save_soon(self) -> None:
        try:
            while self._unsaved:
                await asyncio.sleep(self._seconds)
                await self._save_now()
        finally:
            self._saving = None  # at once: what comes before the task is done is saved by the next one

    async def _save_now(self) -> None:
        self._unsaved = False
        await self._save()
