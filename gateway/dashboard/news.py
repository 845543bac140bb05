"""What open pages are told without asking: what moves, each second, and the reports they look at when those change.

A page says which reports it looks at. Nothing is made or kept up for a page that nobody looks at, besides the last minutes
of what moves, so that one that is loaded again draws them at once. For each page the newest of each kind waits to be
sent and nothing else, so a slow one misses what is old already, and holds no more memory than a quick one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.control.errors import reply_of
from gateway.dashboard.limits import (
    DASHBOARD_HISTORY,
    DASHBOARD_HISTORY_BYTES,
    DASHBOARD_REPORT_SHARE,
    DASHBOARD_VIEWERS,
)
from gateway.errors import GatewayError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from typing import Any, Protocol

    from gateway.control import api
    from gateway.control.status import StatusReport

    class Gateway(api.Gateway, Protocol):
        """One in our own process, which can leave the address book out: that may be long, and has a report of its own."""

        async def status(self, *, with_contacts: bool = True) -> StatusReport: ...


LIVE: Final = "live"
_LIVE_SECONDS: Final = 1.0
_REPORT_SECONDS: Final = 2.0
"""How often reports are looked at, where that is quick; what is changed by a page is looked at right away."""


def reports_of(gateway: Gateway) -> Mapping[str, Callable[[], Awaitable[object]]]:
    """What a page may look at, besides what moves."""

    async def status() -> object:
        """Without what has a report of its own, and what moves."""
        report = await gateway.status(with_contacts=False)
        return msgspec.structs.replace(report, services=(), contacts=(), tunnels=(), loopback=())

    return {
        "status": status,
        "services": gateway.services,
        "contacts": gateway.contacts,
        "groups": gateway.groups,
        "invites": gateway.invites,
        "zone": gateway.zone,
        "published": gateway.published,
    }


class Viewer:
    """One open page: what waits to be sent to it."""

    def __init__(self, watched: frozenset[str]) -> None:
        self.watched = watched
        self._waiting: dict[str, bytes] = {}
        self._earlier: list[bytes] = []
        self._news = asyncio.Event()
        self.is_over = False

    def offer(self, kind: str, event: bytes) -> None:
        """The newest of its kind, in place of one that was not sent yet."""
        self._waiting[kind] = event
        self._news.set()

    def begin(self, earlier: list[bytes]) -> None:
        """What is sent before everything else."""
        self._earlier = earlier
        self._news.set()

    def end(self) -> None:
        """Nothing more comes."""
        self.is_over = True
        self._news.set()

    async def next(self, seconds: float) -> bytes:
        """All that waits, as soon as there is something; empty after `seconds` without, and when nothing more comes."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return b""
        if self.is_over:
            return b""
        self._news.clear()
        events = b"".join([*self._earlier, *self._waiting.values()])
        self._earlier, self._waiting = [], {}
        return events


class News:
    """Makes reports while somebody looks at them."""

    def __init__(
        self, gateway: Gateway, spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
    ) -> None:
        self._gateway = gateway
        self._reports = reports_of(gateway)
        self._spawn = spawn
        self._viewers: set[Viewer] = set()
        self._task: asyncio.Task[None] | None = None
        self._earlier: deque[tuple[float, bytes]] = deque()
        """Moments and events of what moved."""
        self._last: dict[str, bytes] = {}
        self._due: dict[str, float] = {}
        self._hurry = asyncio.Event()

    def join(self, watched: frozenset[str]) -> Viewer:
        """A page that looks at these reports; UsageError when one makes no sense, or there are too many pages."""
        if unknown := watched - self._reports.keys():
            raise UsageError(f"events: there is no report called {min(unknown)[:40]}")
        if len(self._viewers) >= DASHBOARD_VIEWERS:
            raise UsageError(f"events: {DASHBOARD_VIEWERS} pages are open already; close one")
        viewer = Viewer(watched)
        self._forget_old(asyncio.get_running_loop().time())
        viewer.begin([event for _, event in self._earlier])
        for kind in watched & self._last.keys():
            viewer.offer(kind, self._last[kind])
        self._viewers.add(viewer)
        if self._task is None:
            self._task = self._spawn(self._run(), "tell dashboard pages what is new")
        self.hurry()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """The page is gone; with the last one everything stops."""
        self._viewers.discard(viewer)
        if not self._viewers and self._task is not None:
            self._task.cancel()
            self._task = None
            self._last.clear()

    def hurry(self) -> None:
        """Something was changed: look at all reports now."""
        self._due.clear()
        self._hurry.set()

    def close(self) -> None:
        """End every page's stream."""
        for viewer in tuple(self._viewers):
            viewer.end()
            self.leave(viewer)
        self._earlier.clear()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        next_live = loop.time()
        while True:
            now = loop.time()
            if now >= next_live:
                next_live = max(next_live + _LIVE_SECONDS, now + _LIVE_SECONDS / 2)
                self._moved(now, _event(LIVE, await self._gateway.live()))
            for kind in sorted(frozenset().union(*(viewer.watched for viewer in self._viewers))):
                if self._due.get(kind, 0.0) <= loop.time():
                    await self._look(kind)
            self._hurry.clear()
            if any(self._due.get(kind) is None for viewer in self._viewers for kind in viewer.watched):
                continue  # something was changed while we looked
            try:
                async with asyncio.timeout_at(min([next_live, *self._due.values()])):
                    await self._hurry.wait()
            except TimeoutError:
                pass  # it is time

    def _moved(self, now: float, event: bytes) -> None:
        self._earlier.append((now, event))
        self._forget_old(now)
        for viewer in self._viewers:
            viewer.offer(LIVE, event)

    def _forget_old(self, now: float) -> None:
        held = sum(len(event) for _, event in self._earlier)
        while self._earlier and (
            held > DASHBOARD_HISTORY_BYTES
            or len(self._earlier) > DASHBOARD_HISTORY
            or self._earlier[0][0] < now - DASHBOARD_HISTORY * _LIVE_SECONDS
        ):
            held -= len(self._earlier.popleft()[1])

    async def _look(self, kind: str) -> None:
        """Make a report, and tell those who look at it if it is new."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._due[kind] = began + _REPORT_SECONDS
        try:
            event = _event(kind, await self._reports[kind]())
        except GatewayError as error:
            event = _event(f"{kind}-failed", reply_of(error)[1])
        if kind in self._due:  # else something was changed meanwhile
            took = loop.time() - began
            self._due[kind] = began + max(_REPORT_SECONDS, took / DASHBOARD_REPORT_SHARE)
        if self._last.get(kind) == event:
            return
        self._last[kind] = event
        for viewer in self._viewers:
            if kind in viewer.watched:
                viewer.offer(kind, event)


def _event(kind: str, report: object) -> bytes:
    """A server-sent event (WHATWG HTML §9.2); JSON has no line breaks."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode(report))
