"""A proxy on a free port over a fake Dialer, and curl."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.proxy.listener import ProxyListener, ProxySettings
from tests.lab.dialer import FakeDialer, Tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.proxy.requests import Credentials


@dataclass
class LabProxy:
    """A running proxy and what it stands on."""

    listener: ProxyListener
    dialer: FakeDialer
    tasks: Tasks

    @property
    def place(self) -> str:
        return "{}:{}".format(*self.listener.address)


@asynccontextmanager
async def proxy(credentials: Credentials | None = None, **limits: Any) -> AsyncIterator[LabProxy]:
    dialer, tasks = FakeDialer(), Tasks()
    listener = ProxyListener(ProxySettings(dialer, credentials), tasks.spawn, port=0, **limits)  # type: ignore[arg-type]
    await listener.start()
    try:
        yield LabProxy(listener, dialer, tasks)
    finally:
        await listener.close()
        await tasks.close()


@dataclass(frozen=True)
class Curl:
    """What curl did."""

    exit_code: int
    out: bytes
    err: str


async def curl(*arguments: str, stdin: bytes | None = None) -> Curl:
    """Run curl without its configuration file and without environment proxies."""
    process = await asyncio.create_subprocess_exec(
        "curl", "-q", "-sS", "--noproxy", "", "--max-time", "15", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return Curl(process.returncode, out, err.decode())


async def until(condition, timeout: float = 10.0) -> None:
    """Wait, one turn of the event loop after the other, until the condition holds."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 - any condition, not only those that have an event
            await asyncio.sleep(0)
