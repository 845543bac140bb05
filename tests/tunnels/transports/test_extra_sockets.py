"""Sockets beside the tunnels' own: numbered, bounded, and closed when they are told to be."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from tests.lab.endpoints import until
from tunnels import limits
from tunnels.addresses import Address, SocketAddress
from tunnels.transports.extra_sockets import ExtraSockets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

HOST = "127.0.0.1"


@pytest.fixture
async def came() -> list[tuple[bytes, int, SocketAddress]]:
    return []


@pytest.fixture
async def sockets(came) -> AsyncIterator[ExtraSockets]:
    made = ExtraSockets(lambda *burst: came.append(burst))
    yield made
    made.close_all()


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        sock.settimeout(5)
        yield sock


def address_of(sock: socket.socket) -> Address:
    return Address.of(*sock.getsockname())


async def test_each_has_a_port_of_its_own_and_a_number_that_no_other_gets(sockets):
    first, second = sockets.open(HOST), sockets.open(HOST)
    assert (first, second) == (1, 2)
    assert sockets.port_of(first) != sockets.port_of(second)
    sockets.close(second)
    assert sockets.port_of(second) == 0
    assert sockets.open(HOST) == 3


async def test_what_is_sent_leaves_from_it_and_what_comes_tells_by_which(sockets, came, peer):
    number = sockets.open(HOST)
    there = SocketAddress(number, address_of(peer))
    sockets.send_one(number, b"one", there.peer)
    assert sockets.send([b"two"], there)
    heard = [await asyncio.to_thread(peer.recvfrom, 100) for _ in range(2)]
    assert [datagram for datagram, _ in heard] == [b"one", b"two"]
    assert {source[1] for _, source in heard} == {sockets.port_of(number)}
    peer.sendto(b"back", heard[0][1])
    await until(lambda: came)
    assert came == [(b"back", 4, there)]


async def test_there_are_no_more_than_the_bound(sockets, monkeypatch):
    monkeypatch.setattr(limits, "EXTRA_SOCKETS", 20)
    numbers = [sockets.open(HOST) for _ in range(25)]
    assert numbers == [*range(1, 21), *[None] * 5]
    assert len(sockets) == 20
    sockets.close(7)
    assert sockets.open(HOST) == 21


async def test_where_there_is_no_port_there_is_no_socket_and_no_number_is_spent(sockets):
    assert sockets.open("192.0.2.77") is None
    assert sockets.open(HOST) == 1


async def test_once_closed_nothing_is_sent_or_told(sockets, came, peer):
    number = sockets.open(HOST)
    port = sockets.port_of(number)
    sockets.close(number)
    sockets.close(number)
    assert sockets.send([b"lost"], SocketAddress(number, address_of(peer)))
    sockets.send_one(number, b"lost", address_of(peer))
    peer.sendto(b"late", (HOST, port))
    await asyncio.sleep(0)
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.recv(100)
    assert came == []
    assert len(sockets) == 0


async def test_an_address_of_the_other_family_is_passed_over(sockets):
    number = sockets.open(HOST)
    sockets.send_one(number, b"lost", Address.of("::1", 9999))
    assert len(sockets) == 1
