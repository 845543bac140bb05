"""The serving end of flows: a connected socket for each, bounded, patient with errors."""

from __future__ import annotations

import asyncio
import socket

from gateway.flows.keeper import FlowKeeper
from tests.lab.serving import serving, udp_server, until
from tests.lab.streams import ALICE, CAROL


async def _open(world, inbox):
    return await world.dialer.open_flow("dns.alice.overlay", 53, inbox.append, lambda: inbox.append(None))


async def test_each_flow_has_a_port_of_its_own_and_its_own_answers() -> None:
    async with udp_server() as (port, echo), serving() as world:
        world.expose("dns", f"{port}/udp")
        inboxes = [[] for _ in range(5)]
        flows = [await _open(world, inbox) for inbox in inboxes]
        for number, flow in enumerate(flows):
            flow.send(b"q%d" % number)
        await until(lambda: all(inboxes))
        assert inboxes == [[b"Q%d" % number] for number in range(5)]
        assert len(echo.sources) == 5
        assert world.acceptor.status.flows == 5


async def test_a_target_that_is_down_ends_nothing_and_works_when_it_is_back() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    async with serving() as world:
        world.expose("dns", f"{port}/udp")
        inbox = []
        flow = await _open(world, inbox)
        await until(lambda: world.acceptor.status.flows == 1)
        for _ in range(3):
            flow.send(b"anybody there?")
            await asyncio.sleep(0.01)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
            back.bind(("127.0.0.1", port))
            back.setblocking(False)
            flow.send(b"now?")
            data, address = await asyncio.wait_for(asyncio.get_running_loop().sock_recvfrom(back, 100), 5)
            assert data == b"now?"
            back.sendto(b"yes", address)
            await until(lambda: inbox == [b"yes"])


async def test_idle_flows_end_at_both_ends() -> None:
    async with udp_server() as (port, _), serving() as world:
        world.expose("dns", f"{port}/udp")
        world.acceptor.flows = FlowKeeper(idle=0.05)
        inbox = []
        flow = await _open(world, inbox)
        flow.send(b"q")
        await until(lambda: inbox == [b"Q", None])
        assert world.acceptor.status.streams == 0
        assert repr(world.dialer) == "OverlayDialer(0 flows)"


async def test_a_caller_with_too_many_flows_loses_its_oldest_and_nobody_elses() -> None:
    async with udp_server() as (port, _), serving() as world:
        world.expose("dns", f"{port}/udp", public=True)
        world.acceptor.flows = FlowKeeper(per_owner=2, total=3)
        inboxes = [[] for _ in range(3)]
        for inbox in inboxes:
            await _open(world, inbox)
            await until(lambda: world.acceptor.status.pending == 0)
        await until(lambda: inboxes == [[None], [], []])
        world.tunnel.caller = CAROL
        others = [[], []]
        for inbox in others:
            await _open(world, inbox)
            await until(lambda: world.acceptor.status.pending == 0)
        await until(lambda: others == [[None], []])
        assert inboxes == [[None], [], []]


async def test_a_caller_is_told_when_there_is_no_room() -> None:
    async with udp_server() as (port, _), serving() as world:
        world.expose("dns", f"{port}/udp", public=True)
        world.acceptor.flows = FlowKeeper(per_owner=1, total=1)
        await _open(world, [])
        await until(lambda: world.acceptor.status.flows == 1)
        world.tunnel.caller = CAROL
        inbox = []
        await _open(world, inbox)
        await until(lambda: inbox == [None])
        assert world.acceptor.status.streams == 1
        assert ALICE != CAROL
