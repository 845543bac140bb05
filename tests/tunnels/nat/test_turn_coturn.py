"""Facts about the TURN client and a real coturn: the datagrams of a peer come and go."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from gateway.beacon.turn import TurnCredentials
from tests.lab.turn import coturn
from tunnels.addresses import Address
from tunnels.identity import SecretKey
from tunnels.nat.turn import TurnClient, TurnState

pytestmark = pytest.mark.needs("turnserver")
SECRET = "north"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class OnASocket(asyncio.DatagramProtocol):
    """A protocol of which it is known when its socket is closed."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    def connection_lost(self, exc) -> None:
        self.closed.set()


class Shell(OnASocket):
    """A client on a socket: feed, transmit, re-arm the timer."""

    def __init__(self, server: Address, username: str, password: str) -> None:
        super().__init__()
        self.client = TurnClient(server, username, password, os.urandom)
        self.received: asyncio.Queue[tuple[Address, bytes]] = asyncio.Queue()
        self.changed = asyncio.Event()
        self.quiet = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport) -> None:
        self.transport = transport

    def datagram_received(self, data, addr) -> None:
        assert Address.of(*addr) == self.client.server
        if (found := self.client.receive(data, self.loop.time())) is not None:
            self.received.put_nowait(found)
        self.go_on()

    def go_on(self) -> None:
        for datagram in self.client.datagrams_to_send(self.loop.time()):
            self.transport.sendto(datagram, self.client.server.sockaddr)
        if self.client.take_changed():
            self.changed.set()
        if self.timer is not None:
            self.timer.cancel()
        if (at := self.client.get_timer()) is not None:
            self.timer = self.loop.call_at(at, self.go_on)
        else:
            self.quiet.set()

    async def allocate(self) -> TurnState:
        self.client.allocate(self.loop.time())
        self.go_on()
        while self.client.state is TurnState.ALLOCATING:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 20)
        return self.client.state

    def send(self, peer: Address, datagrams: list[bytes]) -> None:
        for datagram in self.client.send(peer, datagrams, self.loop.time()):
            self.transport.sendto(datagram, self.client.server.sockaddr)
        self.go_on()


class Peer(OnASocket):
    """Somebody without TURN."""

    def __init__(self) -> None:
        super().__init__()
        self.received: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue()

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.address = Address.of(*transport.get_extra_info("sockname"))

    def datagram_received(self, data, addr) -> None:
        self.received.put_nowait((data, Address.of(*addr)))


@asynccontextmanager
async def on_a_socket(protocol, local=("127.0.0.1", 0)):
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: protocol, local_addr=local
    )
    try:
        yield protocol
    finally:
        if isinstance(protocol, Shell) and protocol.timer is not None:
            protocol.timer.cancel()
        transport.close()
        await asyncio.wait_for(protocol.closed.wait(), 5)


def credentials(server: Address, seconds: int = 600, whose: bytes = b"a") -> tuple[str, str]:
    endpoint_id = SecretKey(whose * 32).endpoint_id
    said = TurnCredentials(server, SECRET, seconds).for_endpoint(endpoint_id, datetime.now(UTC).timestamp())
    return said.username, said.password


@pytest.fixture
async def server(tmp_path):
    async with coturn(
        tmp_path, "use-auth-secret", f"static-auth-secret={SECRET}", port=free_port()
    ) as address:
        yield address


async def get(queue):
    return await asyncio.wait_for(queue.get(), 5)


async def test_datagrams_go_both_ways_and_closing_gives_the_address_back(server):
    async with on_a_socket(Shell(server, *credentials(server))) as shell, on_a_socket(Peer()) as peer:
        assert await shell.allocate() is TurnState.READY, shell.client.failure
        assert shell.client.mapped == Address.of(*shell.transport.get_extra_info("sockname"))
        flight = [bytes([number]) * 1200 for number in range(10)]
        shell.send(peer.address, flight)
        assert [await get(peer.received) for _ in flight] == [
            (datagram, shell.client.relayed) for datagram in flight
        ]
        shell.send(peer.address, [b"through the channel"])
        assert (await get(peer.received))[0] == b"through the channel"
        for datagram in (b"answer", bytes(1400)):
            peer.transport.sendto(datagram, shell.client.relayed.sockaddr)
            assert await get(shell.received) == (peer.address, datagram)
        relayed = shell.client.relayed
        shell.client.close(shell.loop.time())
        shell.go_on()
        await asyncio.wait_for(shell.quiet.wait(), 5)
        peer.transport.sendto(b"too late", relayed.sockaddr)
        assert shell.received.empty()


async def test_who_is_let_in_is_heard_first_and_nobody_else(server):
    async with on_a_socket(Shell(server, *credentials(server))) as shell, on_a_socket(Peer()) as peer:
        async with on_a_socket(Peer(), ("127.0.0.2", 0)) as stranger:
            await shell.allocate()
            shell.client.set_permitted([peer.address.ip], shell.loop.time())
            shell.go_on()
            stranger.transport.sendto(b"stranger", shell.client.relayed.sockaddr)
            while shell.received.empty():  # until the permission is there
                peer.transport.sendto(b"hello", shell.client.relayed.sockaddr)
                await asyncio.sleep(0.02)
            assert await get(shell.received) == (peer.address, b"hello")
            stranger.transport.sendto(b"stranger", shell.client.relayed.sockaddr)
            shell.send(peer.address, [b"hello too"])
            assert (await get(peer.received))[0] == b"hello too"
            while not shell.received.empty():
                assert await get(shell.received) == (peer.address, b"hello")


@pytest.mark.parametrize("what", ["expired", "wrong"])
async def test_credentials_that_are_no_good_are_said_to_be(server, what):
    username, password = credentials(server, -10 if what == "expired" else 600)
    password = password if what == "expired" else "wrong"
    async with on_a_socket(Shell(server, username, password)) as shell:
        assert await shell.allocate() is TurnState.FAILED
        assert shell.client.failure.endswith("does not take our credentials")


async def test_the_same_port_gets_an_allocation_again_after_a_crash(server):
    async with on_a_socket(Shell(server, *credentials(server))) as shell:
        await shell.allocate()
        port = shell.transport.get_extra_info("sockname")
    async with on_a_socket(Shell(server, *credentials(server)), port) as shell:
        shell.client.set_credentials(*credentials(server))
        assert await shell.allocate() is TurnState.READY, shell.client.failure


async def test_newer_credentials_are_good_for_the_next_allocation_and_the_old_ones_end_the_last(server):
    async with on_a_socket(Shell(server, *credentials(server))) as shell:
        await shell.allocate()
        shell.client.verify(shell.loop.time())
        shell.client.set_credentials(*credentials(server, whose=b"b"))
        assert await shell.allocate() is TurnState.READY, shell.client.failure


async def test_shown_at_another_port_by_a_nat_we_get_another_allocation_even_with_newer_credentials(server):
    shell = Shell(server, *credentials(server))
    async with on_a_socket(shell):
        await shell.allocate()
        async with on_a_socket(shell):  # from here on it sends from another port
            shell.client.verify(shell.loop.time())
            shell.go_on()
            while shell.client.state is TurnState.READY:
                shell.changed.clear()
                await asyncio.wait_for(shell.changed.wait(), 20)
            assert shell.client.failure.endswith("has no allocation of ours")
            shell.client.set_credentials(*credentials(server, whose=b"b"))
            assert await shell.allocate() is TurnState.READY, shell.client.failure


async def test_a_server_without_allocations_left_is_told_from_one_that_is_not_there(tmp_path):
    lines = ("lt-cred-mech", "user=bob:secret", "user-quota=1", "total-quota=1")
    async with coturn(tmp_path, *lines, port=free_port()) as server:
        async with on_a_socket(Shell(server, "bob", "secret")) as first:
            assert await first.allocate() is TurnState.READY
            async with on_a_socket(Shell(server, "bob", "secret")) as second:
                assert await second.allocate() is TurnState.FAILED
                assert second.client.failure.endswith("gives us no more allocations")
