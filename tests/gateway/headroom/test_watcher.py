"""Descriptors are counted at the moment that somebody asks; memory and disk each second, and caches shrink when it helps."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
from typing import TYPE_CHECKING, Any

import pytest

from gateway.headroom import watcher as room
from gateway.headroom.watcher import Watcher
from gateway.supervision import Supervisor
from tests.lab.gateways import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
    from pathlib import Path

    Make = Callable[..., Awaitable[Watcher]]


@pytest.fixture
def few_descriptors() -> Iterator[int]:
    """This process may open a few hundred more than it has."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = max(map(int, os.listdir("/proc/self/fd"))) + 200
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    yield limit
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
async def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    monkeypatch.setattr(room, "HEADROOM_LOOK_SECONDS", 0.01)
    supervisor = Supervisor()

    def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return supervisor.spawn(coroutine, name=name)

    yield lambda **options: asyncio.to_thread(Watcher, tmp_path, spawn, **options)
    await supervisor.close()


async def test_the_reserve_is_kept_free_whatever_comes_in_one_moment(
    few_descriptors: int, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    watcher = await make()
    opened = []
    while not watcher.refusal():
        opened.append(os.dup(0))
        assert len(opened) < few_descriptors
    try:
        kept = [os.dup(0) for _ in range(watcher.state.reserved - 2)]
        for each in kept:
            os.close(each)
        assert watcher.refusal()
        assert caplog.text.count("new connections are refused") == 1
    finally:
        for each in opened:
            os.close(each)
    watcher.start()
    await asyncio.to_thread(wait_until, lambda: not watcher.state.descriptors_are_short)
    assert watcher.refusal() == ""
    await watcher.close()
    await watcher.close()


async def test_with_none_left_at_all_it_says_so(few_descriptors: int, make: Make) -> None:
    watcher = await make()
    opened = []
    try:
        with contextlib.suppress(OSError):
            while len(opened) < few_descriptors:
                opened.append(os.dup(0))
        assert len(opened) < few_descriptors
        assert "no room for more connections" in watcher.refusal()
    finally:
        for each in opened:
            os.close(each)


async def test_short_memory_makes_caches_smaller_and_refuses(make: Make) -> None:
    shrunk = asyncio.Event()
    watcher = await make(memory=1, shrink=shrunk.set)
    watcher.start()
    await asyncio.wait_for(shrunk.wait(), 20)
    assert "memory is used up" in watcher.refusal()
    watcher.state.memory = 2**50
    await asyncio.to_thread(wait_until, lambda: not watcher.refusal())
    await watcher.close()


async def test_the_disk_of_the_home_is_looked_at(make: Make) -> None:
    watcher = await make()
    watcher.start()
    await asyncio.to_thread(wait_until, lambda: watcher.state.free_disk is not None)
    assert watcher.state.resident
    await watcher.close()
