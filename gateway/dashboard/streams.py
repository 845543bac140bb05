"""Streams of server-sent events to pages: news, and the log as it is written."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from gateway.dashboard.limits import DASHBOARD_HEARTBEAT_SECONDS, DASHBOARD_VIEWERS, DASHBOARD_WRITE_SECONDS
from gateway.errors import UsageError
from gateway.limits import CONTROL_LOG_LINES
from gateway.logs import LogTail

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.dashboard.news import News

_HEARTBEAT: Final = b": still here\n\n"
_LOG_SECONDS: Final = 0.5
"""How often a followed log is looked at."""


class Streams:
    """The handlers of both, each of which runs until its page hangs up, is logged out, or takes nothing for too long."""

    def __init__(self, news: News, log_file: Path) -> None:
        self._news = news
        self._log_file = log_file
        self._readers = 0
        self._is_closed = False

    def close(self) -> None:
        """End all of them."""
        self._is_closed = True
        self._news.close()

    async def events(self, request: web.Request, is_open: Callable[[], bool]) -> web.StreamResponse:
        """News of what moves, and of the reports named in `watch`."""
        viewer = self._news.join(frozenset(filter(None, request.query.get("watch", "").split(","))))
        try:
            response = await _begin(request)
            while is_open():
                events = await viewer.next(DASHBOARD_HEARTBEAT_SECONDS)
                if viewer.is_over or not await _send(request, response, events or _HEARTBEAT):
                    break
            return response
        finally:
            self._news.leave(viewer)

    async def logs(self, request: web.Request, is_open: Callable[[], bool]) -> web.StreamResponse:
        """The last `lines` lines, then each new one; UsageError when there are too many readers."""
        count = request.query.get("lines", "400")
        if not count.isascii() or not count.isdigit():
            raise UsageError("logs: lines is a number")
        if self._readers >= DASHBOARD_VIEWERS:
            raise UsageError(f"logs: {DASHBOARD_VIEWERS} pages follow it already; close one")
        self._readers += 1
        tail = LogTail(self._log_file)
        try:
            lines = await asyncio.to_thread(tail.last, min(int(count[:9]), CONTROL_LOG_LINES))
            response = await _begin(request)
            quiet = 0.0
            while is_open() and not self._is_closed and request.transport is not None:
                if lines or quiet >= DASHBOARD_HEARTBEAT_SECONDS:
                    text = b"event: lines\ndata: %s\n\n" % msgspec.json.encode(lines) if lines else _HEARTBEAT
                    if not await _send(request, response, text):
                        break
                    quiet = 0.0
                await asyncio.sleep(_LOG_SECONDS)
                quiet += _LOG_SECONDS
                lines = await asyncio.to_thread(tail.added)
            return response
        finally:
            self._readers -= 1
            tail.close()


async def _begin(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_type = "text/event-stream"
    response.charset = "utf-8"
    with contextlib.suppress(
        ConnectionError
    ):  # the page has hung up, which the next that is sent to it tells
        await response.prepare(request)
    return response


async def _send(request: web.Request, response: web.StreamResponse, data: bytes) -> bool:
    """Whether the page took it; one that takes nothing for too long is hung up on."""
    try:
        async with asyncio.timeout(DASHBOARD_WRITE_SECONDS):
            await response.write(data)
    except ConnectionError:
        return False
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        return False
    return True
