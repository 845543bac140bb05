"""Connections of a web server of ours that have not sent a request yet: each has so long, then it is cut. ⚡

aiohttp waits for the next request no longer than `keepalive_timeout`, but for the first one for ever: whoever connects and
says nothing would keep a place that others need.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.limits import FIRST_REQUESTS_KEPT

if TYPE_CHECKING:
    from aiohttp.web import RequestHandler


class FirstRequests:
    """Tell it of each connection by `expect`, and of each request by `came`."""

    def __init__(self) -> None:
        self._silent: dict[RequestHandler, asyncio.TimerHandle] = {}
        # How many there may be before those that have hung up are forgotten.
        self._look_at = FIRST_REQUESTS_KEPT

    def __len__(self) -> int:
        """How many have said nothing yet."""
        return len(self._silent)

    def expect(self, handler: RequestHandler, seconds: float) -> None:
        """A connection is there; without a whole request head within so many seconds it is cut."""
        if len(self._silent) >= self._look_at:
            for gone in [each for each in self._silent if each.transport is None]:
                self.came(gone)
            self._look_at = max(FIRST_REQUESTS_KEPT, 2 * len(self._silent))
        self._silent[handler] = asyncio.get_running_loop().call_later(seconds, self._give_up, handler)

    def came(self, handler: object) -> None:
        """A request has come on a connection, the first or a later one."""
        timer = self._silent.pop(handler, None)  # type: ignore[call-overload]
        if timer is not None:
            timer.cancel()

    def _give_up(self, handler: RequestHandler) -> None:
        del self._silent[handler]
        if handler.transport is not None:
            handler.transport.abort()
