"""Facts about TCP paths between real endpoints where no UDP arrives: data goes by them, strangers get nothing, their end is noticed."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from tests.lab.beacons import LabBeacon
from tests.lab.endpoints import Echo, Lab, key_of, lab, until
from tunnels import limits
from tunnels.addresses import Address, RelayAddress, TcpAddress
from tunnels.transports.tcp_paths import TcpPort
from tunnels.transports.udp import UdpTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tunnels.driver import TunnelDriver

BOB = key_of("bob").endpoint_id
WORDS = b"what alice says to bob " * 20_000


@pytest.fixture(autouse=True)
def no_udp(monkeypatch):
    monkeypatch.setattr(UdpTransport, "send", lambda *_: True)
    monkeypatch.setattr(UdpTransport, "send_one", lambda *_: None)
    monkeypatch.setattr(limits, "TCP_LOOK", 0.05)


@contextlib.asynccontextmanager
async def on_a_relay() -> AsyncIterator[tuple[Lab, TunnelDriver, TunnelDriver]]:
    """Alice is connected with bob, who answers, by a beacon's relay."""
    async with LabBeacon() as beacon, lab() as here:
        here.accepts["bob"] = Echo
        here.has_contacts = {"alice", "bob"}
        for name in ("alice", "bob"):
            here.start(name, beacons=(beacon.url,))
        await until(lambda: all(one._transport.relays.home for one in here.endpoints.values()))
        here.found[BOB] = (RelayAddress(beacon.url, BOB),)
        mine = await here.endpoints["alice"].connect(BOB)
        [theirs] = await until(lambda: list(here.endpoints["bob"]._drivers))
        await until(lambda: mine.paths.exchange.is_open and theirs.paths.exchange.is_open)
        yield here, mine, theirs


def port_of(here: Lab, name: str) -> TcpPort:
    return TcpPort(here.endpoints[name]._transport.tcp, here.spawn, host="127.0.0.1")


@contextlib.contextmanager
def connected(here: Lab, mine: TunnelDriver):
    """Alice connects to a port of bob's."""
    ports = port_of(here, "alice"), port_of(here, "bob")
    try:
        ports[0].connect(Address.of("127.0.0.1", ports[1].number), mine.paths.exchange.knock)
        yield ports
    finally:
        for port in ports:
            port.close()


async def talk(here: Lab) -> None:
    stream = await here.open("alice", "bob")
    stream.transport.write(WORDS)
    stream.transport.write_eof()
    await until(lambda: len(stream.received) >= len(WORDS) and stream.ended.is_set(), 25)
    assert stream.received == WORDS
    stream.transport.abort()


async def test_data_moves_from_the_relay_to_the_tcp_connection_and_back_when_it_ends():
    async with on_a_relay() as (here, mine, theirs):
        with connected(here, mine) as (alice, bob):
            await until(lambda: isinstance(mine.paths.confirmed, TcpAddress))
            await until(lambda: isinstance(theirs.paths.confirmed, TcpAddress))
            assert mine.paths.confirmed == TcpAddress(Address.of("127.0.0.1", bob.number))
            assert theirs.paths.confirmed == TcpAddress(Address.of("127.0.0.1", alice.number))
        await talk(here)
        assert isinstance(mine.paths.confirmed, TcpAddress), "closed ports leave it alone"
        tcp = here.endpoints["bob"]._transport.tcp
        [connection] = tcp._connections.values()
        connection._socket.shutdown(socket.SHUT_RDWR)
        await until(lambda: isinstance(mine.paths.confirmed, RelayAddress))
        await until(lambda: isinstance(theirs.paths.confirmed, RelayAddress))
        assert len(tcp) == len(here.endpoints["alice"]._transport.tcp) == 0
        await talk(here)


async def test_when_the_tunnel_is_over_so_is_its_tcp_connection():
    async with on_a_relay() as (here, mine, _):
        with connected(here, mine):
            await until(lambda: isinstance(mine.paths.confirmed, TcpAddress))
        here.endpoints["alice"].disconnect(BOB, "enough")
        await until(lambda: not any(len(one._transport.tcp) for one in here.endpoints.values()))


async def test_a_stranger_who_replays_a_check_or_makes_one_up_becomes_no_path_and_is_hung_up_on():
    async with on_a_relay() as (here, mine, theirs):
        port = port_of(here, "bob")
        knock = mine.paths.exchange.knock()
        theirs.check_received(knock, theirs.paths.confirmed, asyncio.get_running_loop().time())
        for said in (knock, knock[:40] + bytes(len(knock) - 40)):
            with socket.create_connection(("127.0.0.1", port.number)) as stranger:
                stranger.setblocking(False)
                stranger.send(len(said).to_bytes(2, "big") + said)
                await until(lambda: len(here.endpoints["bob"]._transport.tcp) == 1)
                stranger.send(bytes(2))
                await until(lambda: len(here.endpoints["bob"]._transport.tcp) == 0)
        assert not any(isinstance(address, TcpAddress) for address in theirs.paths.addresses)
        port.close()
        await talk(here)
