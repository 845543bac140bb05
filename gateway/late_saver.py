"""Something on disk that changes often: written some seconds after a change, and at the end. ⚡

Where it cannot be written, because the disk is full, say, it is tried again, at longer and longer intervals, and the log
says so once: what is to be saved stays in memory until then.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from gateway.errors import GatewayError
from gateway.limits import SAVE_RETRY_LONGEST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

_logger = logging.getLogger(__name__)


class LateSaver:
    """Saves once for all changes of a while; what changes during a save is saved by the next one."""

    def __init__(
        self,
        save: Callable[[], Awaitable[None]],
        seconds: float,
        name: str,
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        *,
        lost: str,
    ) -> None:
        """`save` takes what there is before it first waits, and raises GatewayError if it could not write it, having put
        it back. `name` is the task's; `lost` says what becomes of what is never written.
        """
        self._save = save
        self._seconds = seconds
        self._name = name
        self._spawn = spawn
        self._lost = lost
        self._saving: asyncio.Task[None] | None = None
        self._unsaved = False
        self._failures = 0
        self.problem = ""
        """Why the last attempt failed, for people; empty if it did not."""

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
                wait = max(self._seconds, 1.0) * 2**self._failures if self._failures else self._seconds
                await asyncio.sleep(min(wait, max(self._seconds, SAVE_RETRY_LONGEST_SECONDS)))
                await self._save_now()
        finally:
            self._saving = None  # at once: what comes before the task is done is saved by the next one

    async def _save_now(self) -> None:
        self._unsaved = False
        try:
            await self._save()
        except asyncio.CancelledError:  # it ends; whether it was written is not known
            self._unsaved = True
            raise
        except GatewayError as error:
            self._unsaved = True
            if not self._failures:
                _logger.warning(
                    "%s; it is tried again, and %s if that fails until the end", error, self._lost
                )
            self.problem = str(error)
            self._failures = min(self._failures + 1, 16)  # the longest interval is reached well before
        else:
            if self._failures:
                _logger.info("%s: it works again", self._name)
            self._failures, self.problem = 0, ""
