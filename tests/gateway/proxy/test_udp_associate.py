"""UDP ASSOCIATE with a client made by hand."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.dialing import Failure
from gateway.limits import UDP_ASSOCIATIONS, UDP_FLOWS_PER_ASSOCIATION, UDP_QUEUE_DATAGRAMS
from gateway.proxy.udp_header import header
from tests.lab.http_proxy import LabProxy, proxy, until
from tests.lab.http_udp import UdpSocket, udp_socket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ASSOCIATE = b"\5\1\0\5\3\0\1\0\0\0\0\0\0"


@dataclass
class Associated:
    """A client with an association."""

    socket: UdpSocket
    relay: tuple[str, int]
    writer: asyncio.StreamWriter

    def send(self, host: str, port: int, data: bytes) -> None:
        self.socket.transport.sendto(header(host, port) + data, self.relay)

    async def receive(self) -> bytes:
        return (await asyncio.wait_for(self.socket.received.get(), 5))[0]


@asynccontextmanager
async def associate(lab: LabProxy) -> AsyncIterator[Associated]:
    reader, writer = await asyncio.open_connection(*lab.listener.address)
    writer.write(ASSOCIATE)
    answer = await reader.readexactly(12)
    assert answer[:6] == b"\5\0\5\0\0\1"
    relay = ".".join(map(str, answer[6:10])), int.from_bytes(answer[10:])
    assert relay[0] == "127.0.0.1"
    async with udp_socket() as socket:
        yield Associated(socket, relay, writer)
    writer.close()


async def test_datagrams_go_to_names_and_addresses_and_come_back() -> None:
    async with (
        proxy() as lab,
        udp_socket(echo=True) as a,
        udp_socket(echo=True) as b,
        associate(lab) as client,
    ):
        lab.dialer.services |= {"dns.alice.overlay": a.address, "127.0.0.1": b.address}
        for number in range(3):
            client.send("dns.alice.overlay", 53, b"%d" % number)
            assert await client.receive() == header("dns.alice.overlay", 53) + b"%d" % number
            client.send("127.0.0.1", 99, b"x")
            assert await client.receive() == header("127.0.0.1", 99) + b"x"
        assert lab.dialer.dialed == [("dns.alice.overlay", 53, None), ("127.0.0.1", 99, None)]
        assert lab.listener.status().flows == 2
        assert lab.listener.status().associations == 1


async def test_the_association_and_its_flows_end_with_the_tcp_connection() -> None:
    async with proxy() as lab, udp_socket(echo=True) as service:
        lab.dialer.services["a.overlay"] = service.address
        async with associate(lab) as client:
            client.send("a.overlay", 1, b"x")
            await client.receive()
            client.writer.write(b"noise on the TCP connection means nothing")
            client.send("a.overlay", 1, b"y")
            await client.receive()
        await until(lambda: lab.listener.status().connections == 0)
        assert lab.listener.status().associations == 0
        assert all(flow.closed for flow in lab.dialer.flows)


async def test_only_the_client_that_sent_first_is_served() -> None:
    async with (
        proxy() as lab,
        udp_socket(echo=True) as service,
        udp_socket() as stranger,
        associate(lab) as client,
    ):
        lab.dialer.services["a.overlay"] = service.address
        client.send("a.overlay", 1, b"mine")
        await client.receive()
        stranger.transport.sendto(header("a.overlay", 1) + b"theirs", client.relay)
        client.send("a.overlay", 1, b"mine too")
        await client.receive()
        assert [service.received.get_nowait()[0] for _ in range(2)] == [b"mine", b"mine too"]
        assert service.received.empty()
        assert stranger.received.empty()


async def test_malformed_datagrams_and_fragments_are_dropped_and_do_not_claim_the_port() -> None:
    async with (
        proxy() as lab,
        udp_socket(echo=True) as service,
        udp_socket() as other,
        associate(lab) as client,
    ):
        lab.dialer.services["a.overlay"] = service.address
        for junk in (b"", b"junk", b"\0\0\1" + header("a.overlay", 1)[3:] + b"x"):
            other.transport.sendto(junk, client.relay)
        client.send("a.overlay", 1, b"x")
        await client.receive()
        assert service.received.qsize() == 1


async def test_datagrams_wait_for_a_flow_that_opens_within_a_bound() -> None:
    async with proxy() as lab, udp_socket(echo=True) as service, associate(lab) as client:
        lab.dialer.services["a.overlay"] = service.address
        lab.dialer.gate = asyncio.Event()
        for number in range(UDP_QUEUE_DATAGRAMS * 3):
            client.send("a.overlay", 1, b"%d" % number)
        client.send("marker.overlay", 1, b"")  # once it is dialed, those before it have arrived
        await until(lambda: lab.dialer.waiting == 2)
        lab.dialer.gate.set()
        for number in range(UDP_QUEUE_DATAGRAMS * 2, UDP_QUEUE_DATAGRAMS * 3):
            assert (await client.receive()).endswith(b"\0\1%d" % number)
        assert client.socket.received.empty()


async def test_a_destination_that_cannot_be_opened_is_not_dialed_for_every_datagram() -> None:
    async with proxy() as lab, udp_socket(echo=True) as service, associate(lab) as client:
        lab.dialer.services["a.overlay"] = service.address
        lab.dialer.failures["b.overlay"] = Failure.OFFLINE
        client.send("b.overlay", 1, b"x")
        await until(lambda: lab.dialer.dialed)
        for _ in range(5):
            client.send("b.overlay", 1, b"x")
        client.send("a.overlay", 1, b"y")
        await client.receive()
        assert [host for host, _, _ in lab.dialer.dialed] == ["b.overlay", "a.overlay"]


async def test_flows_are_bounded_and_the_oldest_gives_way() -> None:
    async with proxy() as lab, udp_socket(echo=True) as service, associate(lab) as client:
        lab.dialer.services["a.overlay"] = service.address
        for port in range(1, UDP_FLOWS_PER_ASSOCIATION + 11):
            client.send("a.overlay", port, b"x")
            await client.receive()
        assert lab.listener.status().flows == UDP_FLOWS_PER_ASSOCIATION
        assert [flow.closed for flow in lab.dialer.flows] == [True] * 10 + [False] * UDP_FLOWS_PER_ASSOCIATION


async def test_a_flow_that_ended_is_opened_anew() -> None:
    async with proxy() as lab, udp_socket(echo=True) as service, associate(lab) as client:
        lab.dialer.services["a.overlay"] = service.address
        client.send("a.overlay", 1, b"x")
        await client.receive()
        lab.dialer.flows[0].end()
        assert lab.listener.status().flows == 0
        client.send("a.overlay", 1, b"x")
        await client.receive()
        assert len(lab.dialer.flows) == 2


async def test_associations_are_capped_and_the_next_is_told() -> None:
    async with proxy() as lab:
        writers = []
        for _ in range(UDP_ASSOCIATIONS):
            reader, writer = await asyncio.open_connection(*lab.listener.address)
            writer.write(ASSOCIATE)
            assert (await reader.readexactly(12))[3] == 0
            writers.append(writer)
        reader, writer = await asyncio.open_connection(*lab.listener.address)
        writer.write(ASSOCIATE)
        assert (await reader.read())[2:4] == b"\5\1"
        for each in [*writers, writer]:
            each.close()
        await until(lambda: lab.listener.status().associations == 0)
