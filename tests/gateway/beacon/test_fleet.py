"""Nodes that are one beacon: frames between them, and a database that comes and goes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from gateway.beacon import fleet as fleet_module
from gateway.beacon.embedded import open_embedded
from gateway.beacon.server import wall_clock
from gateway.beacon.stores import StoreUnavailable
from tests.gateway.beacon.test_sessions import until
from tests.lab.resolver_keys import key
from tunnels.relay import frames
from tunnels.relay.frames import FrameKind


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
