"""A front door's port: on both loopback addresses, for those who may come in, and not for too many."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import ConfigurationError
from gateway.headroom.limits import HEADROOM_REFUSALS
from gateway.secure.limits import DOOR_CONNECTIONS
from gateway.secure.listening import FrontDoor
from tests.lab.dialer import Tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def hold(sock: socket.socket, why: str) -> None:
    """Greets, then keeps the client until it leaves."""
    with sock:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, b"no" if why else b"in")
        await loop.sock_recv(sock, 1)


@contextlib.asynccontextmanager
async def door(*, admits: bool = True, **words: Any) -> AsyncIterator[FrontDoor]:
    tasks = Tasks()
    opened = FrontDoor(hold, tasks.spawn, lambda peer: admits, port=0, section="front_door", **words)
    opened.start()
    yield opened
    await opened.close()
    await tasks.close()


async def greeting(opened: FrontDoor, host: str = "127.0.0.1") -> tuple[bytes, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(host, opened.port)
    return await reader.read(2), writer


async def test_it_is_the_same_port_of_both_loopback_addresses():
    async with door() as opened:
        assert next(host for host, _ in opened.addresses) == "127.0.0.1"
        assert len({port for _, port in opened.addresses}) == 1
        for host, _ in opened.addresses:
            said, writer = await greeting(opened, host)
            assert said == b"in"
            writer.close()


async def test_who_may_not_come_in_is_told_nothing():
    async with door(admits=False) as opened:
        said, writer = await greeting(opened)
        assert said == b""
        writer.close()
        assert opened.turned_away == 1


async def test_those_who_are_asked_about_are_told_by_both_ends():
    seen: list[tuple[object, object]] = []

    def admits(peer: asyncio.BaseTransport) -> bool:
        seen.append((peer.get_extra_info("sockname")[:2], peer.get_extra_info("peername")[:2]))
        return False

    tasks = Tasks()
    opened = FrontDoor(hold, tasks.spawn, admits, port=0, section="front_door")
    opened.start()
    _, writer = await greeting(opened)
    ours = writer.get_extra_info("sockname")
    writer.close()
    assert seen == [(("127.0.0.1", opened.port), ours)]
    await opened.close()
    await tasks.close()


async def test_no_more_come_in_than_may_and_a_place_is_free_again_when_one_leaves():
    async with door(connections=3) as opened:
        inside = [await greeting(opened) for _ in range(3)]
        assert all(said == b"in" for said, _ in inside)
        said, writer = await greeting(opened)
        assert said == b""
        writer.close()
        inside[0][1].close()
        for _ in range(100):
            said, writer = await greeting(opened)
            if said:
                break
            writer.close()
            await asyncio.sleep(0.02)
        assert said == b"in"
        for _, each in (*inside, (b"", writer)):
            each.close()
    assert DOOR_CONNECTIONS > 3


async def test_without_room_some_are_told_so_and_the_others_are_closed_at_once():
    why = ""
    async with door(refusal=lambda: why) as opened:
        before, first = await greeting(opened)
        why = "no descriptors"
        refused = [await greeting(opened) for _ in range(HEADROOM_REFUSALS + 2)]
        why = ""
        after, last = await greeting(opened)
        assert (before, after) == (b"in", b"in")
        assert [said for said, _ in refused] == [b"no"] * HEADROOM_REFUSALS + [b"", b""]
        for writer in (first, last, *(writer for _, writer in refused)):
            writer.close()


async def test_a_port_that_is_taken_is_told_in_a_line_and_nothing_is_left():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        opened = FrontDoor(hold, Tasks().spawn, lambda peer: True, port=port, section="https")
        with pytest.raises(ConfigurationError, match=r"another gateway.*\[https\] port"):
            opened.start()
    assert opened.addresses == ()


async def test_a_port_that_is_taken_on_ipv6_alone_is_taken():
    if not socket.has_ipv6:
        return
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        opened = FrontDoor(
            hold, Tasks().spawn, lambda peer: True, port=taken.getsockname()[1], section="front_door"
        )
        with pytest.raises(ConfigurationError):
            opened.start()


async def test_closing_cuts_everybody():
    async with door() as opened:
        reader, writer = await asyncio.open_connection("127.0.0.1", opened.port)
        assert await reader.read(2) == b"in"
        await opened.close()
        assert await reader.read() == b""
        writer.close()
