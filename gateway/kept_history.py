"""What made direct paths between which networks, on disk: the next run begins with what worked."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from gateway.home import state_error
from gateway.limits import NAT_HISTORY_BYTES, NAT_HISTORY_SAVE_SECONDS
from tunnels.crossing.history import History
from tunnels.private_files import write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.home import Home

_logger = logging.getLogger(__name__)


class KeptHistory:
    """The history, and its file: written some seconds after a change, and at the end."""

    def __init__(
        self, home: Home, spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
    ) -> None:
        """Read what is saved; of a file that is damaged or cannot be read nothing is known, and another one is written."""
        self._file = home.nat_history_file
        self._spawn = spawn
        self._saving: asyncio.Task[None] | None = None
        self._unsaved = False
        self.history = self._load()
        self.history.changed = self._changed

    def _load(self) -> History:
        try:
            with self._file.open("rb") as file:
                return History.decode(file.read(NAT_HISTORY_BYTES))
        except FileNotFoundError:
            return History()
        except OSError as error:
            _logger.warning("%s; what worked is found out again", state_error("read", self._file, error))
            return History()

    def _changed(self) -> None:
        self._unsaved = True
        if self._saving is None:
            self._saving = self._spawn(self._save_soon(), "save nat-history")

    async def close(self) -> None:
        """Write what is not written yet."""
        if self._saving is not None:
            self._saving.cancel()
            await asyncio.wait((self._saving,))
        if self._unsaved:
            await self._save()

    async def _save_soon(self) -> None:
        try:
            while self._unsaved:
                await asyncio.sleep(NAT_HISTORY_SAVE_SECONDS)
                await self._save()
        finally:
            self._saving = None  # at once: what comes before the task is done is saved by the next one

    async def _save(self) -> None:
        data = self.history.encode()
        self._unsaved = False
        try:
            await asyncio.to_thread(write_private, self._file, data)
        except OSError as error:
            _logger.warning(
                "%s; what worked is found out again after a restart", state_error("write", self._file, error)
            )
