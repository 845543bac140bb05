"""A program is a service while it listens, within bounds, and no longer."""

from __future__ import annotations

import asyncio
import logging

import pytest

import overlay


async def test_a_handler_is_called_for_each_caller_and_its_stream_closed_after_it(me):
    async def upper(stream: overlay.Stream) -> None:
        stream.write((await stream.readline()).upper())

    async with me.listen("talk", upper, public=True):
        for word in (b"one\n", b"two\n"):
            async with await me.connect("me", "talk") as stream:
                stream.write(word)
                assert await stream.read() == word.upper()


async def test_a_handler_that_crashes_ends_its_own_stream_and_goes_to_the_log(me, caplog):
    async def crash(stream: overlay.Stream) -> None:
        if await stream.readline() == b"crash\n":
            raise ZeroDivisionError
        stream.write(b"fine")

    async with me.listen("talk", crash, public=True):
        with caplog.at_level(logging.ERROR):
            async with await me.connect("me", "talk") as stream:
                stream.write(b"crash\n")
                with pytest.raises(overlay.StreamCut):
                    await stream.read()
        assert "ZeroDivisionError" in caplog.text
        async with await me.connect("me", "talk") as stream:
            stream.write(b"go on\n")
            assert await stream.read() == b"fine"


async def test_the_service_goes_with_the_listener_and_its_streams_stay(me):
    async with me.listen("talk", public=True) as listener:
        near = await me.connect("me", "talk")
        far = await listener.accept()
    with pytest.raises(overlay.NoService, match="exposes nothing there"):
        await me.connect("me", "talk")
    far.write(b"still here")
    far.close()
    assert await near.read() == b"still here"
    near.close()
    with pytest.raises(overlay.Closed):
        await listener.accept()


async def test_a_name_that_is_taken_is_refused(me):
    async with me.listen("talk", public=True):
        with pytest.raises(overlay.InvalidRequest, match="talk is exposed already"):
            async with me.listen("talk"):
                pass


async def test_no_more_callers_are_taken_than_may_wait(me):
    async with me.listen("talk", public=True, limit=2) as listener:
        waiting = [asyncio.get_running_loop().create_task(me.connect("me", "talk")) for _ in range(3)]
        done, pending = await asyncio.wait(waiting, timeout=0.5)
        assert (len(done), len(pending)) == (2, 1)
        far = [await listener.accept() for _ in range(3)]
        for stream in [*far, *(await asyncio.gather(*waiting))]:
            stream.close()


async def test_listening_ends_when_the_gateway_does(me, desk):
    async with me.listen("talk", public=True) as listener:
        desk.desk.close()
        assert [stream async for stream in listener] == []


async def test_who_may_call_is_a_list(me):
    with pytest.raises(TypeError, match="list of names"):
        me.listen("talk", allow="bob")
