"""Frames from node to node through a real Redis, which may be restarted, hang, or lose its listeners."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from gateway.beacon.limits import BUS_QUEUE_BYTES
from gateway.beacon.shared import bus as bus_module
from gateway.beacon.shared.bus import RedisBus
from gateway.beacon.shared.database import RedisDatabase
from gateway.beacon.stores import StoreUnavailable
from tests.lab.redis import RedisProcess, eventually
from tests.lab.resolver_keys import key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tunnels.identity import EndpointId

pytestmark = pytest.mark.needs("redis-server")
ID = key(1).endpoint_id
OTHER = key(2).endpoint_id


class Node:
    """A node's bus, and the frames that came to it."""

    def __init__(self, bus: RedisBus) -> None:
        self.bus = bus
        self.got: list[tuple[EndpointId, bytes]] = []

    async def has(self, count: int) -> bool:
        return len(self.got) >= count

    async def sends(self, frame: bytes) -> bool:
        """Whether b gets a frame from us now."""
        try:
            return await self.bus.publish("b", ID, frame)
        except StoreUnavailable:
            return False


@pytest.fixture
async def nodes(redis: RedisProcess) -> AsyncIterator[tuple[Node, Node]]:
    async with AsyncExitStack() as stack:
        made = []
        for name in "ab":
            database = RedisDatabase(redis.url)
            stack.push_async_callback(database.close)
            node = Node(RedisBus(database, name))
            stack.push_async_callback(node.bus.close)
            await node.bus.start(lambda to, frame, node=node: node.got.append((to, frame)))
            made.append(node)
        yield made[0], made[1]


async def test_a_frame_comes_as_it_was_sent(nodes: tuple[Node, Node]) -> None:
    a, b = nodes
    assert await a.bus.publish("b", ID, b"\x01frame\x00\xff")
    assert await a.bus.publish("b", OTHER, b"")
    await eventually(lambda: b.has(2))
    assert b.got == [(ID, b"\x01frame\x00\xff"), (OTHER, b"")]
    assert a.got == []


async def test_a_node_that_does_not_listen_is_told(nodes: tuple[Node, Node]) -> None:
    a, b = nodes
    assert await asyncio.gather(a.bus.publish("c", ID, b"x"), a.bus.publish("b", ID, b"x")) == [False, True]
    await b.bus.close()
    await eventually(lambda: is_deaf(a))


async def is_deaf(node: Node) -> bool:
    return not await node.bus.publish("b", ID, b"x")


async def test_many_frames_stay_whole_and_in_order(nodes: tuple[Node, Node]) -> None:
    a, b = nodes
    frames = [number.to_bytes(4) * (1 + number * 37 % 3000) for number in range(400)]
    sent = await asyncio.gather(*(a.bus.publish("b", ID, frame) for frame in frames))
    assert all(sent)
    await eventually(lambda: b.has(len(frames)))
    assert [frame for _, frame in b.got] == frames


async def test_what_waits_is_bounded_and_the_rest_refused(nodes: tuple[Node, Node]) -> None:
    a, b = nodes
    frame = bytes(1024 * 1024)
    sent = await asyncio.gather(*(a.bus.publish("b", ID, frame) for _ in range(12)))
    fits = BUS_QUEUE_BYTES // (len(frame) + 36)
    assert sent == [True] * fits + [False] * (12 - fits)
    await eventually(lambda: b.has(fits))
    assert await a.bus.publish("b", ID, frame), "there is room again"


async def test_after_a_restart_of_redis_frames_pass_again(
    redis: RedisProcess, nodes: tuple[Node, Node]
) -> None:
    a, b = nodes
    await redis.stop()
    with pytest.raises(StoreUnavailable):
        await a.bus.publish("b", ID, b"lost")
    await redis.start()
    await eventually(lambda: a.sends(b"after"))
    await eventually(lambda: b.has(1))
    assert b.got == [(ID, b"after")]


async def test_a_listener_that_redis_threw_out_comes_back(
    redis: RedisProcess, nodes: tuple[Node, Node]
) -> None:
    a, b = nodes
    assert await redis.ask("CLIENT", "KILL", "TYPE", "pubsub") == b":2\r\n"
    await eventually(lambda: a.sends(b"after"))
    await eventually(lambda: b.has(1))


async def test_a_hung_redis_refuses_frames_and_they_pass_when_it_goes_on(
    redis: RedisProcess, nodes: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = nodes
    monkeypatch.setattr(bus_module, "BUS_SILENCE_SECONDS", 0.1)  # so that the listeners notice, too
    await a.bus.publish("b", ID, b"before")
    await eventually(lambda: b.has(1))
    redis.hang()
    results = await asyncio.gather(*(a.bus.publish("b", ID, b"x") for _ in range(50)), return_exceptions=True)
    assert all(isinstance(result, StoreUnavailable) for result in results)
    redis.go_on()
    await eventually(lambda: a.sends(b"after"))
    await eventually(lambda: last_is(b, b"after"))


async def last_is(node: Node, frame: bytes) -> bool:
    return node.got[-1][1] == frame


@pytest.mark.parametrize("junk", ["", "junk", "x" * 32 + "\x7f\x7f\x7f\x7f", "x" * 100])
async def test_what_no_node_of_ours_sent_is_passed_over(
    redis: RedisProcess, nodes: tuple[Node, Node], junk: str
) -> None:
    a, b = nodes
    assert await redis.ask("PUBLISH", "overlay:to:b", junk) == b":1\r\n"
    assert await a.bus.publish("b", ID, b"frame")
    await eventually(lambda: b.has(1))
    assert b.got == [(ID, b"frame")]


async def test_a_silent_redis_is_asked_and_kept(
    redis: RedisProcess, nodes: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _ = nodes
    monkeypatch.setattr(bus_module, "BUS_SILENCE_SECONDS", 0.02)
    await a.bus.publish("b", ID, b"now the new time holds")
    listeners = await redis.ask("CLIENT", "LIST", "TYPE", "pubsub")
    await eventually(lambda: pinged(redis, 2))
    assert await redis.ask("CLIENT", "LIST", "TYPE", "pubsub") != b""
    assert ids(await redis.ask("CLIENT", "LIST", "TYPE", "pubsub")) == ids(listeners)


async def pinged(redis: RedisProcess, times: int) -> bool:
    for line in (await redis.ask("INFO", "commandstats")).splitlines():
        if line.startswith(b"cmdstat_ping:calls="):
            return int(line.split(b"=")[1].split(b",")[0]) > 10 * times
    return False


def ids(listing: bytes) -> set[bytes]:
    """The connections in Redis's list of them."""
    return {line.split()[0] for line in listing.splitlines() if line.startswith(b"id=")}


async def test_closing_ends_those_who_wait(redis: RedisProcess, nodes: tuple[Node, Node]) -> None:
    a, _ = nodes
    redis.hang()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        waiting = [group.create_task(a.sends(b"x")) for _ in range(3)]
        await asyncio.sleep(0)
        await a.bus.close()
    assert [task.result() for task in waiting] == [False] * 3
    redis.go_on()
