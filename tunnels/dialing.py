"""Reaching one endpoint: one dial at a time, shared by everybody who waits; which connection is the current one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.backoff import Backoff
from tunnels.errors import TunnelClosed, TunnelError, Unreachable
from tunnels.events import CloseCode
from tunnels.paths.reports import all_moved
from tunnels.remote import is_better

if TYPE_CHECKING:
    from tunnels.driver import TunnelDriver
    from tunnels.identity import EndpointId
    from tunnels.paths.candidates import PathPolicy, Tier
    from tunnels.paths.reports import Moved


@dataclass(frozen=True, slots=True)
class Lane:
    """Who shares a connection beside the main one: all that want such paths, or, with a name, those of that name alone."""

    policy: PathPolicy
    name: str = ""


class Remote:
    """The connections with one endpoint, and the dial that is under way; or those of one lane beside the main one."""

    def __init__(self, endpoint_id: EndpointId, lane: Lane | None = None) -> None:
        self.endpoint_id = endpoint_id
        self.lane = lane
        self.policy: PathPolicy | None = None
        """A lane: which paths may be used for it."""
        self.drivers: list[TunnelDriver] = []
        self.current: TunnelDriver | None = None
        self.backoff = Backoff(limits.BACKOFF_FIRST, limits.BACKOFF_MAX)
        self.last_error: TunnelError | None = None
        self.dial: asyncio.Task[None] | None = None
        self.redial: asyncio.Task[None] | None = None
        self.moved_before: dict[Tier, Moved] = {}
        """What went by connections that are over."""
        self.was_dialled = False
        """Whether it was ever dialled from here: somebody on this machine wanted to reach it."""
        self._waiters: set[asyncio.Future[TunnelDriver | TunnelError]] = set()

    @property
    def is_idle(self) -> bool:
        """Whether nothing but history would be lost by forgetting this remote."""
        return not self.drivers and self.dial is None and self.redial is None and not self._waiters

    @property
    def has_connection(self) -> bool:
        """Whether there is a connection, be it one that fell silent."""
        return self.current is not None and self.current.is_usable

    def moved(self) -> dict[Tier, Moved]:
        """What went to and from this endpoint so far, by kind of path."""
        return all_moved([self.moved_before, *(driver.paths.moved() for driver in self.drivers)])

    def working(self, now: float) -> TunnelDriver | None:
        """The connection for new streams, if there is one and its peer did not fall silent."""
        current = self.current
        if current is None or not current.is_usable or current.is_suspect(now):
            return None
        return current

    def opened(self, driver: TunnelDriver, now: float) -> None:
        """A connection opened, dialled by either side: it becomes current, or it is superseded at birth."""
        self.backoff.reset()
        self.last_error = None
        current = self.current
        best = driver
        assert driver.connection is not None  # noqa: S101 - set before this call
        if current is not None and current.is_usable and current.connection is not None:
            restarted = driver.connection.incarnation != current.connection.incarnation
            # A connection that fell silent does not win, whoever dialled it: somebody needed another.
            if restarted or current.is_suspect(now) or is_better(driver.connection, current.connection):
                current.supersede()
            else:
                driver.supersede()
                best = current
        self.current = best
        self.close_earlier_runs(best)
        self._answer(best)

    def close_earlier_runs(self, best: TunnelDriver) -> None:
        """Connections with an earlier run of the peer's program are dead, and their streams are told now."""
        for other in list(self.drivers):
            if (
                other.connection is not None
                and best.connection is not None
                and other.connection.incarnation != best.connection.incarnation
            ):
                other.close(CloseCode.RESTARTED, _restarted(self.endpoint_id))

    def recovered(self, driver: TunnelDriver) -> None:
        """A connection that had fallen silent is heard again: it serves those who wait for a fresh one."""
        if driver is self.current and driver.is_usable:
            self._answer(driver)

    def closed(self, driver: TunnelDriver) -> None:
        """A connection is over."""
        if driver in self.drivers:
            self.moved_before = all_moved([self.moved_before, driver.paths.moved()])
            self.drivers.remove(driver)
        if self.current is driver:
            usable = [other for other in self.drivers if other.is_usable and (self.lane or not other.is_side)]
            self.current = usable[-1] if usable else None
            if self.current is not None:
                self.current.reinstate()

    async def wait_opened(self) -> TunnelDriver:
        """The next connection that opens or recovers; the dial's error if it ends without one."""
        waiter: asyncio.Future[TunnelDriver | TunnelError] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            answer = await waiter
        finally:
            self._waiters.discard(waiter)
        if isinstance(answer, TunnelError):
            raise type(answer)(*answer.args)  # each who waits gets a traceback of its own
        return answer

    def dial_ended(self, now: float) -> None:
        """The dial's task is over: whoever still waits gets what there is, or its error."""
        self.dial = None
        self._answer(
            self.working(now) or self.last_error or Unreachable("the attempt to connect was given up")
        )

    def _answer(self, answer: TunnelDriver | TunnelError) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(answer)
        self._waiters.clear()


def _restarted(endpoint_id: EndpointId) -> TunnelError:
    return TunnelClosed(f"{endpoint_id.short} restarted; this connection was with its earlier run")
