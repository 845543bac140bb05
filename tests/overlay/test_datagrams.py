"""Datagrams come whole, both ways; what is not received in time is dropped and counted."""

from __future__ import annotations

import asyncio

import pytest

import overlay
from gateway.limits import DATAGRAM_BYTES
from overlay.limits import DATAGRAMS_WAITING, DATAGRAMS_WAITING_BYTES


async def test_datagrams_of_all_sizes_go_both_ways(me):
    async with me.listen_datagrams("game", public=True) as listener:
        async with await me.datagrams("me", "game") as near:
            far = None
            for size in (0, 1, 1200, 9000, DATAGRAM_BYTES):
                await near.send(bytes(size))
                far = far or await listener.accept()
                assert await far.recv() == bytes(size)
                await far.send(b"x" * size)
                assert await near.recv() == b"x" * size
            assert far is not None
            far.close()


async def test_one_that_is_too_large_is_refused(me):
    async with me.listen_datagrams("game", public=True), await me.datagrams("me", "game") as near:
        with pytest.raises(overlay.InvalidRequest, match="use a stream"):
            await near.send(bytes(DATAGRAM_BYTES + 1))


@pytest.mark.parametrize(
    ("size", "most"), [(1, DATAGRAMS_WAITING), (60_000, DATAGRAMS_WAITING_BYTES // 60_000)]
)
async def test_what_is_not_received_is_dropped_and_counted(me, size, most):
    async with me.listen_datagrams("game", public=True) as listener:
        async with await me.datagrams("me", "game") as near:
            await near.send(bytes(size))
            far = await listener.accept()
            for number in range(2, most + 20):
                await near.send(bytes(size))
                if number % 8 == 0:
                    await asyncio.sleep(0.001)
            async with asyncio.timeout(10):
                while not far.dropped:  # noqa: ASYNC110 - nobody is told of what is dropped
                    await asyncio.sleep(0.01)
            assert len(far._waiting) == most
            far.close()


async def test_nothing_comes_after_close(me):
    async with me.listen_datagrams("game", public=True) as listener:
        near = await me.datagrams("me", "game")
        await near.send(b"x")
        far = await listener.accept()
        near.close()
        with pytest.raises(overlay.Closed):
            await near.recv()
        with pytest.raises(overlay.Closed):
            await near.send(b"y")
        async with far:
            assert [data async for data in far] == [b"x"]


async def test_a_handler_gets_who_sends(me):
    async def echo(datagrams: overlay.Datagrams) -> None:
        async for data in datagrams:
            await datagrams.send(data.upper())

    async with me.listen_datagrams("game", echo, public=True), await me.datagrams("me", "game") as near:
        await near.send(b"hey")
        assert await near.recv() == b"HEY"
