"""Reaching one endpoint: one dial at a time, shared by everybody who waits; which connection is the current one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.errors import TunnelClosed
from tunnels.remote import Backoff, is_better
from tunnels.tunnel import CloseCode, TunnelState

if TYPE_CHECKING:
    from tunnels.driver import TunnelDriver
    from tunnels.errors import TunnelError
    from tunnels.identity import EndpointId


class Remote:
    """The connections with one endpoint, and the dial that is under way."""

    def __init__(self, endpoint_id: EndpointId) -> None:
        self.endpoint_id = endpoint_id
        self.drivers: list[TunnelDriver] = []
        self.current: TunnelDriver | None = None
        self.backoff = Backoff()
        self.last_error: TunnelError | None = None
        self.dial: asyncio.Task[None] | None = None
        self._waiters: set[asyncio.Future[TunnelDriver]] = set()

    @property
    def is_idle(self) -> bool:
        """Whether nothing but history would be lost by forgetting this remote."""
        return not self.drivers and self.dial is None and not self._waiters

    def opened(self, driver: TunnelDriver) -> None:
        """A connection opened, dialled by either side: it becomes current, or it is superseded at birth."""
        loop = asyncio.get_running_loop()
        self.backoff.reset()
        self.last_error = None
        current = self.current
        best = driver
        assert driver.connection is not None  # noqa: S101 - set before this call
        if current is None or current.connection is None or not current.is_usable:
            pass  # the first, or the only one that works
        elif is_better(driver.connection, current.connection):
            if driver.connection.incarnation != current.connection.incarnation:
                current.close(CloseCode.RESTARTED, _restarted(self.endpoint_id))
            else:
                self._supersede(current, loop)
        else:
            self._supersede(driver, loop)
            best = current
        self.current = best
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(best)
        self._waiters.clear()

    def _supersede(self, driver: TunnelDriver, loop: asyncio.AbstractEventLoop) -> None:
        """Open no more streams on it; whoever dialled it closes it when its last stream has ended."""
        driver.superseded = True

        def close_when_unused() -> None:
            if driver.tunnel.state is TunnelState.CLOSED:
                return
            if driver.tunnel.stream_count:
                loop.call_later(limits.SUPERSEDED_LINGER, close_when_unused)
            else:
                driver.close(CloseCode.DONE, _superseded())

        if driver.tunnel.is_client:
            loop.call_later(limits.SUPERSEDED_LINGER, close_when_unused)

    def closed(self, driver: TunnelDriver) -> None:
        """A connection is over."""
        if driver in self.drivers:
            self.drivers.remove(driver)
        if self.current is driver:
            usable = [other for other in self.drivers if other.is_usable]
            self.current = usable[-1] if usable else None

    async def wait_opened(self) -> TunnelDriver:
        """The next connection that opens; the dial's error if it ends without one."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            driver: TunnelDriver = await waiter
            return driver
        finally:
            self._waiters.discard(waiter)

    def failed(self, error: TunnelError) -> None:
        """The dial ended without a connection: everybody who waits gets its error."""
        self.last_error = error
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(type(error)(*error.args))
        self._waiters.clear()


def _restarted(endpoint_id: EndpointId) -> TunnelError:
    return TunnelClosed(f"{endpoint_id.short} restarted; this connection was with its earlier run")


def _superseded() -> TunnelError:
    return TunnelClosed("another connection with the same endpoint took over")
