"""What made direct paths between which networks, on disk: the next run begins with what worked."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from gateway.home import state_error
from gateway.late_saver import LateSaver
from gateway.limits import NAT_HISTORY_BYTES, NAT_HISTORY_SAVE_SECONDS
from tunnels.crossing.history import History
from tunnels.private_files import write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.home import Home

_logger = logging.getLogger(__name__)

_LOST: Final = "what worked is found out again after a restart"


class KeptHistory:
    """The history, and its file: written some seconds after a change, and at the end."""

    def __init__(
        self, home: Home, spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
    ) -> None:
        """Read what is saved; of a file that is damaged or cannot be read nothing is known, and another one is written."""
        self._file = home.nat_history_file
        self._saver = LateSaver(
            lambda: self._save(), NAT_HISTORY_SAVE_SECONDS, "save nat-history", spawn, lost=_LOST
        )
        self.history = self._load()
        self.history.changed = self._saver.changed

    def _load(self) -> History:
        try:
            with self._file.open("rb") as file:
                return History.decode(file.read(NAT_HISTORY_BYTES))
        except FileNotFoundError:
            return History()
        except OSError as error:
            _logger.warning("%s; %s", state_error("read", self._file, error), _LOST)
            return History()

    async def close(self) -> None:
        """Write what is not written yet."""
        await self._saver.close()

    async def _save(self) -> None:
        data = self.history.encode()
        try:
            await asyncio.to_thread(write_private, self._file, data)
        except OSError as error:
            raise state_error("write", self._file, error) from None
