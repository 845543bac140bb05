"""Streams are asyncio's own, and tell an end from being cut off."""

from __future__ import annotations

import asyncio

import h11
import pytest

import overlay
from tests.lab.programs import ME


async def pair(me: overlay.Endpoint, listener: overlay.Listener[overlay.Stream]):
    """Both ends of a stream."""
    near = await me.connect("me", listener.service)
    return near, await listener.accept()


async def test_all_ways_of_reading_work(me):
    async with me.listen("talk", public=True) as listener:
        near, far = await pair(me, listener)
        near.writelines([b"line\n", b"until;", b"exact", b"rest"])
        near.write_eof()
        assert await far.readline() == b"line\n"
        assert await far.readuntil(b";") == b"until;"
        assert await far.readexactly(5) == b"exact"
        assert await far.read() == b"rest"
        assert far.at_eof()
        far.write(b"still open this way\n")
        far.close()
        assert [line async for line in near] == [b"still open this way\n"]
        near.close()
        await near.wait_closed()


async def test_who_is_at_the_other_end_is_told_as_libraries_ask_for_it(me):
    async with me.listen("talk", public=True) as listener:
        near, far = await pair(me, listener)
        assert near.peer == far.peer == overlay.Peer(str(ME), "me")
        assert far.get_extra_info("peer").name == "me"
        assert far.get_extra_info("peername") == (f"{ME}.overlay", 0)
        reader, writer = near
        assert isinstance(reader, asyncio.StreamReader)
        assert isinstance(writer, asyncio.StreamWriter)
        near.close()
        far.close()


async def test_what_is_cut_off_is_no_end(me):
    async with me.listen("talk", public=True) as listener:
        near, far = await pair(me, listener)
        far.write(b"half of it")
        assert await near.read(100) == b"half of it"
        await far.abort()
        with pytest.raises(overlay.StreamCut, match="cut off"):
            await near.read()
        near.close()


async def test_an_error_within_a_stream_cuts_it_off(me):
    async with me.listen("talk", public=True) as listener:
        near, far = await pair(me, listener)
        with pytest.raises(ZeroDivisionError):
            async with far:
                raise ZeroDivisionError
        with pytest.raises(overlay.StreamCut):
            await near.read()
        near.close()


async def test_a_gateway_that_ends_cuts_streams_off(me, desk):
    async with me.listen("talk", public=True) as listener:
        near, far = await pair(me, listener)
        desk.desk.close()
        with pytest.raises(overlay.StreamCut):
            await near.read()
        near.close()
        far.close()


async def test_a_slow_reader_stops_a_fast_writer(me):
    async with me.listen("talk", public=True) as listener:
        near, far = await pair(me, listener)
        sent = 0

        async def send() -> None:
            nonlocal sent
            while True:
                near.write(bytes(65536))
                await near.drain()
                sent += 65536

        sending = asyncio.get_running_loop().create_task(send())
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 8_000_000
        sending.cancel()
        near.close()
        far.close()


async def test_a_library_for_http_speaks_over_a_stream(me):
    async def serve(stream: overlay.Stream) -> None:
        connection = h11.Connection(h11.SERVER)
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.read(1000))
        stream.write(connection.send(h11.Response(status_code=200, headers=[("content-length", "2")])))
        stream.write(connection.send(h11.Data(b"ok")))

    async with me.listen("web", serve, public=True):
        async with await me.connect("web.me") as stream:
            stream.write(b"GET / HTTP/1.1\r\nhost: web.me.overlay\r\n\r\n")
            assert (await stream.read()).endswith(b"\r\n\r\nok")
