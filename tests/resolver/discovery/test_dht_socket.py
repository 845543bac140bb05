"""The sockets that ask nodes: who is heard, and how much is sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resolver.discovery.bencode import encode
from resolver.discovery.dht_socket import DhtSockets, Questions
from resolver.discovery.krpc import Answer, Node, Refusal
from resolver.limits import DHT_MESSAGES_BURST
from tunnels.addresses import Address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Plain(asyncio.DatagramProtocol):
    """A socket that a test reads and writes."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard.put_nowait((data, addr))


async def plain(host: str = "127.0.0.1") -> tuple[asyncio.DatagramTransport, Plain, Node]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        Plain, local_addr=(host, 0)
    )
    return transport, protocol, Node(Address.of(*transport.get_extra_info("sockname")[:2]), None)


def answer(transaction: bytes) -> bytes:
    return encode({b"t": transaction, b"y": b"r", b"r": {b"id": b"n" * 20}})


@pytest.fixture
async def sockets() -> AsyncIterator[DhtSockets]:
    sockets = DhtSockets()
    await sockets.open(["127.0.0.1", "127.0.0.2", "::1"])
    yield sockets
    sockets.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_only_the_node_that_was_asked_is_heard_and_once(sockets: DhtSockets, host: str) -> None:
    assert sockets.versions == (4, 6)
    transport, protocol, node = await plain(host)
    other, _, _ = await plain(host)
    heard: list[tuple[Node, Answer | Refusal]] = []
    with Questions(sockets, lambda *what: heard.append(what)) as questions:
        await questions.ask(node, lambda transaction: transaction)
        transaction, asker = await protocol.heard.get()
        other.sendto(answer(transaction), asker)
        transport.sendto(answer(b"else"), asker)
        transport.sendto(b"no message", asker)
        transport.sendto(answer(transaction), asker)
        transport.sendto(answer(transaction), asker)
        await questions.wait_until(asyncio.get_running_loop().time() + 10)
        await asyncio.sleep(0.05)
        assert heard == [(node, Answer(transaction, b"n" * 20, (), None, None))]
        assert sockets.waiting == 0
        await questions.ask(node, lambda transaction: transaction)
        assert sockets.waiting == 1
    assert sockets.waiting == 0
    transport.close()
    other.close()


async def test_what_comes_after_the_end_is_dropped(sockets: DhtSockets) -> None:
    transport, protocol, node = await plain()
    heard: list[object] = []
    with Questions(sockets, lambda *what: heard.append(what)) as questions:
        await questions.ask(node, lambda transaction: transaction)
    transaction, asker = await protocol.heard.get()
    transport.sendto(answer(transaction), asker)
    await asyncio.sleep(0.05)
    assert heard == []
    transport.close()


async def test_waiting_ends_when_it_is_due(sockets: DhtSockets) -> None:
    with Questions(sockets, lambda *_: None) as questions:
        await questions.wait_until(asyncio.get_running_loop().time() + 0.05)


async def test_beyond_the_budget_messages_wait(sockets: DhtSockets) -> None:
    transport, protocol, node = await plain()
    with Questions(sockets, lambda *_: None) as questions:
        for _ in range(DHT_MESSAGES_BURST):
            assert sockets.may_send()
        asking = asyncio.get_running_loop().create_task(questions.ask(node, lambda transaction: transaction))
        await asyncio.sleep(0)
        assert protocol.heard.empty()
        assert not asking.done()
        await asking  # a hundredth of a second later there may be another one
        await protocol.heard.get()
    transport.close()


async def test_an_address_that_this_machine_lacks_is_an_error_only_if_it_has_no_other() -> None:
    sockets = DhtSockets()
    await sockets.open(["192.0.2.1", "::1"])
    assert sockets.versions == (6,)
    sockets.close()
    with pytest.raises(OSError, match="assign"):
        await DhtSockets().open(["192.0.2.1"])


async def test_a_node_of_a_family_that_we_lack_is_not_asked() -> None:
    sockets = DhtSockets()
    await sockets.open(["127.0.0.1"])
    with Questions(sockets, lambda *_: None) as questions:
        await questions.ask(Node(Address.parse("[::1]:9"), None), lambda transaction: transaction)
        assert sockets.waiting == 0
    sockets.close()
