"""Facts about the shell of a port mapping, with a router on loopback; real routers are in tests/integration."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from ipaddress import IPv4Address

from tests.lab.endpoints import until
from tunnels.addresses import Address
from tunnels.nat.mapping_messages import Protocol
from tunnels.nat.portmap import Mapping
from tunnels.transports import portmapping
from tunnels.transports.portmapping import PortMapping, Router

LOOPBACK = IPv4Address("127.0.0.1")
OUTSIDE = Address.parse("11.22.33.1:41641")


class NatPmpRouter(asyncio.DatagramProtocol):
    """Maps what it is asked for, and remembers for how long."""

    def __init__(self) -> None:
        self.lifetimes: list[int] = []

    def connection_made(self, transport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr) -> None:
        if data == b"\0\0":
            self.transport.sendto(struct.pack(">BBHI4s", 0, 0x80, 0, 9, OUTSIDE.ip.packed), addr)
        elif data[0] == 0:
            _, _, _, internal, wanted, lifetime = struct.unpack(">BBHHHI", data)
            self.lifetimes.append(lifetime)
            self.transport.sendto(struct.pack(">BBHIHHI", 0, 0x81, 0, 9, internal, wanted, lifetime), addr)


@contextlib.asynccontextmanager
async def a_mapping(monkeypatch, *bound: str):
    loop = asyncio.get_running_loop()
    transport, router = await loop.create_datagram_endpoint(NatPmpRouter, local_addr=("127.0.0.1", 0))
    monkeypatch.setattr(portmapping, "ROUTER_PORT", transport.get_extra_info("sockname")[1])
    places = [Router(LOOPBACK, LOOPBACK)]
    async with asyncio.TaskGroup() as tasks:
        mapping = PortMapping(
            bound=lambda: tuple(map(Address.parse, bound)),
            on_change=lambda: None,
            spawn=lambda work, name: tasks.create_task(work, name=name),
            find=lambda: places[0],
            has_upnp=lambda: False,
        )
        mapping.start()
        yield mapping, router, places
        await mapping.close()
    transport.close()


async def test_the_mapping_is_there_until_it_is_closed(monkeypatch):
    async with a_mapping(monkeypatch, "0.0.0.0:41641") as (mapping, router, _):
        await until(lambda: mapping.mapping == Mapping(Protocol.NAT_PMP, OUTSIDE))
        assert repr(mapping).startswith("<PortMapping Mapping(")
        await mapping.close()
        await until(lambda: router.lifetimes == [7200, 0])
        assert mapping.mapping is None


async def test_a_socket_that_the_router_does_not_reach_is_not_mapped(monkeypatch):
    async with a_mapping(monkeypatch, "192.168.77.1:41641", "[::]:41641") as (mapping, router, _):
        assert mapping.router is None
        assert mapping.problem
        assert not router.lifetimes


async def test_on_another_network_it_begins_anew_and_on_the_same_one_it_asks_no_more_than_so_often(
    monkeypatch,
):
    async with a_mapping(monkeypatch, "0.0.0.0:41641") as (mapping, router, places):
        await until(lambda: mapping.mapping is not None)
        for _ in range(50):
            mapping.network_changed()
        assert mapping.mapping is not None
        places[0] = None
        mapping.network_changed()
        assert mapping.mapping is None
        await until(lambda: router.lifetimes[-1] == 0)
        places[0] = Router(LOOPBACK, LOOPBACK)
        mapping.network_changed()
        await until(lambda: mapping.mapping is not None)
        assert len(router.lifetimes) <= 4
