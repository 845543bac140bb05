"""Nodes that are one beacon: frames between them, and a database that comes and goes."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from gateway.beacon import fleet as fleet_module
from gateway.beacon.embedded import open_embedded
from gateway.beacon.server import wall_clock
from gateway.beacon.settings import RelaySettings
from gateway.beacon.shared import open_shared
from gateway.beacon.stores import StoreUnavailable
from tests.gateway.beacon.test_sessions import until
from tests.lab.redis import RedisProcess
from tests.lab.resolver_keys import key, packet
from tunnels.relay import frames
from tunnels.relay.frames import FrameKind

if TYPE_CHECKING:
    from tests.lab.relay_clients import RelayClient


@dataclass
class Shared:
    """What all nodes see: a stand-in for Redis."""

    where: dict[object, str] = field(default_factory=dict)
    nodes: dict[str, object] = field(default_factory=dict)
    away: bool = False
    lookups: int = 0

    def check(self) -> None:
        if self.away:
            raise StoreUnavailable("the database is away")


class Node:
    """One node's presence and bus."""

    def __init__(self, shared: Shared, name: str) -> None:
        self.shared, self.name = shared, name

    async def announce(self, endpoint_ids) -> None:
        self.shared.check()
        for endpoint_id in endpoint_ids:
            self.shared.where[endpoint_id] = self.name

    async def withdraw(self, endpoint_id) -> None:
        self.shared.check()
        if self.shared.where.get(endpoint_id) == self.name:
            del self.shared.where[endpoint_id]

    async def nodes_of(self, endpoint_ids) -> dict[object, str]:
        self.shared.lookups += 1
        self.shared.check()
        found = {i: self.shared.where[i] for i in endpoint_ids if i in self.shared.where}
        return {i: name for i, name in found.items() if name != self.name}

    async def start(self, deliver) -> None:
        self.shared.nodes[self.name] = deliver

    async def publish(self, node, endpoint_id, frame) -> bool:
        self.shared.check()
        deliver = self.shared.nodes.get(node)
        if deliver is None:
            return False
        asyncio.get_running_loop().call_soon(deliver, endpoint_id, frame)
        return True

    async def close(self) -> None:
        self.shared.nodes.pop(self.name, None)


async def two_nodes(world):
    shared = Shared()
    servers = []
    for name in ("one", "two"):
        stores = await open_embedded(None, clock=wall_clock)
        world.finally_(stores.close)
        node = Node(shared, name)
        servers.append(await world.beacon(replace(stores, presence=node, bus=node)))
    return shared, *servers


@pytest.mark.parametrize("kind", [FrameKind.DATA, FrameKind.PATH, FrameKind.MESSAGE])
async def test_gateways_on_different_nodes_reach_each_other(world, kind: FrameKind) -> None:
    shared, one, two = await two_nodes(world)
    a, b = await world.client(one, 1), await world.client(two, 2)
    await until(lambda: len(shared.where) == 2)
    for n in range(20):
        await a.send(kind, b.endpoint_id, b"from a %d" % n)
        assert await b.receive() == (kind, a.endpoint_id, b"from a %d" % n)
        await b.send(kind, a.endpoint_id, b"from b")
        assert await a.receive() == (kind, b.endpoint_id, b"from b")
    assert shared.lookups <= 4, "where somebody is, is remembered for a moment"


async def test_a_burst_stays_in_order(world) -> None:
    shared, one, two = await two_nodes(world)
    a, b = await world.client(one, 1), await world.client(two, 2)
    await until(lambda: len(shared.where) == 2)
    for n in range(100):
        await a.send(FrameKind.DATA, b.endpoint_id, n.to_bytes(2))
    assert [int.from_bytes((await b.receive())[2]) for _ in range(100)] == list(range(100))


async def test_who_is_on_no_node_is_absent(world) -> None:
    _, one, _ = await two_nodes(world)
    a = await world.client(one, 1)
    for _ in range(3):
        await a.send(FrameKind.MESSAGE, key(9).endpoint_id, b"x")
        assert await a.receive() == (FrameKind.ABSENT, key(9).endpoint_id, bytes([FrameKind.MESSAGE]))


async def test_those_on_other_nodes_are_online_too(world) -> None:
    shared, one, two = await two_nodes(world)
    a, b, c = await world.client(one, 1), await world.client(two, 2), await world.client(one, 3)
    await until(lambda: len(shared.where) == 3)
    ids = tuple(str(i) for i in (b.endpoint_id, key(9).endpoint_id, c.endpoint_id))
    await a.say(frames.Who(ids=ids))
    assert await a.hear() == frames.Online(ids=(ids[0], ids[2]))


async def test_who_leaves_is_withdrawn_and_who_moves_is_found_on_its_new_node(world, monkeypatch) -> None:
    monkeypatch.setattr(fleet_module, "BEACON_ELSEWHERE_SECONDS", 0.0)
    shared, one, two = await two_nodes(world)
    a, b = await world.client(one, 1), await world.client(two, 2)
    await until(lambda: len(shared.where) == 2)
    await b.socket.close()
    await until(lambda: b.endpoint_id not in shared.where)
    moved = await world.client(one, 2)
    await a.send(FrameKind.DATA, moved.endpoint_id, b"x")
    assert await moved.receive() == (FrameKind.DATA, a.endpoint_id, b"x")


async def test_while_the_database_is_away_those_of_one_node_are_served_and_others_are_absent(world) -> None:
    shared, one, two = await two_nodes(world)
    a, b, c = await world.client(one, 1), await world.client(two, 2), await world.client(one, 3)
    await until(lambda: len(shared.where) == 3)
    shared.away = True
    await a.send(FrameKind.DATA, c.endpoint_id, b"x")
    assert (await c.receive())[2] == b"x"
    await a.send(FrameKind.DATA, b.endpoint_id, b"x")
    assert (await a.receive())[0] is FrameKind.ABSENT
    await a.say(frames.Who(ids=(str(b.endpoint_id), str(c.endpoint_id))))
    assert await a.hear() == frames.Online(ids=(str(c.endpoint_id),))
    d = await world.client(one, 4)
    await d.send(FrameKind.DATA, a.endpoint_id, b"new here")
    assert (await a.receive())[2] == b"new here"
    shared.away = False
    await a.send(FrameKind.DATA, b.endpoint_id, b"back")
    assert (await b.receive())[2] == b"back"


async def test_a_node_that_died_makes_its_gateways_absent(world) -> None:
    shared, one, two = await two_nodes(world)
    a, b = await world.client(one, 1), await world.client(two, 2)
    await until(lambda: len(shared.where) == 2)
    del shared.nodes["two"]
    await a.send(FrameKind.DATA, b.endpoint_id, b"x")
    assert (await a.receive())[0] is FrameKind.ABSENT


async def test_lookups_are_bounded(world, monkeypatch) -> None:
    monkeypatch.setattr(fleet_module, "BEACON_LOOKUPS", 2)
    _, one, _ = await two_nodes(world)
    a = await world.client(one, 1)
    for n in range(20):
        await a.send(FrameKind.DATA, key(100 + n).endpoint_id, b"x")
    assert [(await a.receive())[0] for _ in range(20)] == [FrameKind.ABSENT] * 20


async def test_what_is_remembered_of_others_is_bounded(world, monkeypatch) -> None:
    monkeypatch.setattr(fleet_module, "BEACON_ELSEWHERE", 5)
    _, one, _ = await two_nodes(world)
    a = await world.client(one, 1)
    for n in range(20):
        await a.send(FrameKind.DATA, key(100 + n).endpoint_id, b"x")
        await a.receive()
    assert len(one._fleet._nodes) == 5


# --- with a real Redis ----------------------------------------------------------------------------------------


async def node_on(world, redis: RedisProcess, name: str):
    stores = await open_shared(redis.url, clock=wall_clock, node=name)
    world.finally_(stores.close)
    return await world.beacon(stores, relay=RelaySettings(quota_bytes=1_000_000))


@pytest.mark.needs("redis-server")
async def test_two_nodes_on_one_redis_are_one_beacon(world, tmp_path) -> None:
    async with RedisProcess(tmp_path) as redis:
        one, two = await node_on(world, redis, "one"), await node_on(world, redis, "two")
        a, b = await world.client(one, 1), await world.client(two, 2)
        for kind in (FrameKind.MESSAGE, FrameKind.PATH, FrameKind.DATA):
            await _reach(a, b, kind)
            await _reach(b, a, kind)
        record = packet(1)
        async with world.http.put(f"{one.url.origin}/{record.endpoint_id}", data=record.to_payload()) as put:
            assert put.status == 204
        async with world.http.get(f"{two.url.origin}/{record.endpoint_id}") as got:
            assert await got.read() == record.to_payload()
        await world.leave(one)
        moved = await world.client(two, 1)
        await _reach(b, moved, FrameKind.DATA)
        await _reach(moved, b, FrameKind.DATA)
        assert moved.welcome.limits.left_bytes < 1_000_000, "the quota is one for all nodes"


@pytest.mark.needs("redis-server")
async def test_a_redis_that_restarts_is_survived(world, tmp_path) -> None:
    async with RedisProcess(tmp_path) as redis:
        one, two = await node_on(world, redis, "one"), await node_on(world, redis, "two")
        a, b, c = await world.client(one, 1), await world.client(two, 2), await world.client(one, 3)
        await _reach(a, b, FrameKind.DATA)
        await redis.stop()
        await _reach(a, c, FrameKind.DATA)
        async with world.http.get(f"{one.url.origin}/readyz") as answer:
            assert answer.status == 503
        await redis.start()
        await _reach(a, b, FrameKind.DATA)
        await _reach(b, a, FrameKind.MESSAGE)


async def _reach(sender: RelayClient, receiver: RelayClient, kind: FrameKind) -> None:
    """Send until it arrives: where somebody is, is known after a moment."""
    async with asyncio.timeout(20):
        while True:
            body = secrets.token_bytes(20)
            await sender.send(kind, receiver.endpoint_id, body)
            listening = asyncio.get_running_loop().create_task(receiver.socket.receive())
            answered = asyncio.get_running_loop().create_task(sender.socket.receive())
            done, waiting = await asyncio.wait(
                (listening, answered), return_when=asyncio.FIRST_COMPLETED, timeout=10
            )
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            if listening in done:
                assert frames.decode(listening.result().data) == (kind, sender.endpoint_id, body)
                return
            assert frames.decode(answered.result().data)[0] is FrameKind.ABSENT
            await asyncio.sleep(0.1)
