"""A Dialer that reaches real local servers by invented names, and fails as told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from gateway.dialing import DialError, Failure, Flow, OpenedStream
from gateway.proxy.direct import DirectDialer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class FakeDialer:
    """`services` maps (host, port) or host to a real address; `failures` maps host to what dialing it raises."""

    def __init__(self) -> None:
        self.services: dict[tuple[str, int] | str, tuple[str, int]] = {}
        self.failures: dict[str, Failure] = {}
        self.dialed: list[tuple[str, int, str | None]] = []
        self.flows: list[FakeFlow] = []
        self.gate: asyncio.Event | None = None
        """Dials wait for it, when it is set."""
        self.waiting = 0
        self._direct = DirectDialer()

    def _place(self, host: str, port: int) -> tuple[str, int]:
        if host in self.failures:
            raise DialError(self.failures[host], f"{host} fails: {self.failures[host].value}")
        place = self.services.get((host, port)) or self.services.get(host)
        if place is None:
            raise DialError(Failure.UNKNOWN_NAME, f"nobody is called {host}")
        return place

    async def _pass_gate(self) -> None:
        if self.gate is not None:
            self.waiting += 1
            try:
                await self.gate.wait()
            finally:
                self.waiting -= 1

    async def open_stream(self, host: str, port: int, *, user: str | None = None) -> OpenedStream:
        self.dialed.append((host, port, user))
        await self._pass_gate()
        return await self._direct.open_stream(*self._place(host, port))

    async def open_flow(
        self,
        host: str,
        port: int,
        on_datagram: Callable[[bytes], None],
        on_closed: Callable[[], None],
        *,
        user: str | None = None,
    ) -> Flow:
        self.dialed.append((host, port, user))
        await self._pass_gate()
        flow = FakeFlow(
            await self._direct.open_flow(*self._place(host, port), on_datagram, on_closed), on_closed
        )
        self.flows.append(flow)
        return flow


class FakeFlow:
    """A real UDP flow that counts."""

    def __init__(self, flow: Flow, on_closed: Callable[[], None]) -> None:
        self._flow = flow
        self.sent = 0
        self.closed = False
        self._on_closed = on_closed

    def send(self, data: bytes) -> None:
        self.sent += 1
        self._flow.send(data)

    def close(self) -> None:
        self.closed = True
        self._flow.close()

    def end(self) -> None:
        """Let the flow end by itself."""
        self._flow.close()
        self._on_closed()


class Tasks:
    """`spawn` for tests: tasks are kept, a crash fails the test when `close` is awaited."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.crashes: list[BaseException] = []

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.crashes.append(error)

    async def close(self) -> None:
        for task in tuple(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        assert not self.crashes, self.crashes
