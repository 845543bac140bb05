"""The UDP sockets by which nodes of the DHT are asked, one for each family of addresses; they answer nobody. ⚡

What comes is taken only from the address that was asked, with the transaction that was sent there.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, Self

from resolver.discovery.bencode import MalformedMessage
from resolver.discovery.krpc import parse
from resolver.limits import DHT_MESSAGES_BURST, DHT_MESSAGES_PER_SECOND
from tunnels.addresses import Address
from tunnels.bucket import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from resolver.discovery.krpc import Answer, Node, Refusal

_TRANSACTION_BYTES: Final = 4


class Questions:
    """What one search waits for; at the end of `with` late answers are dropped."""

    def __init__(self, sockets: DhtSockets, on_reply: Callable[[Node, Answer | Refusal], None]) -> None:
        """`on_reply` hears who answered, and what."""
        self._sockets = sockets
        self._on_reply = on_reply
        self._asked: dict[tuple[Address, bytes], Node] = {}
        self._news = asyncio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sockets.forget(self._asked)

    async def ask(self, node: Node, make: Callable[[bytes], bytes]) -> None:
        """Send what `make` makes for a transaction, as soon as there may be another message."""
        while not self._sockets.may_send():  # noqa: ASYNC110 - the budget is a matter of time alone
            await asyncio.sleep(1 / DHT_MESSAGES_PER_SECOND)
        transaction = secrets.token_bytes(_TRANSACTION_BYTES)
        key = (node.address, transaction)
        self._asked[key] = node
        self._sockets.send(key, make(transaction), self)

    async def wait_until(self, due: float) -> None:
        """Until an answer has come since the last time, or it is `due` by the loop's clock."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await self._news.wait()
        self._news.clear()

    def heard(self, key: tuple[Address, bytes], reply: Answer | Refusal) -> None:
        """The sockets' word that the answer is here."""
        self._news.set()
        self._on_reply(self._asked.pop(key), reply)


class DhtSockets(asyncio.DatagramProtocol):
    """The sockets, and who waits for what."""

    def __init__(self) -> None:
        self._transports: dict[int, asyncio.DatagramTransport] = {}
        self._waiting: dict[tuple[Address, bytes], Questions] = {}
        self._budget = Bucket(DHT_MESSAGES_PER_SECOND, DHT_MESSAGES_BURST)

    async def open(self, hosts: Iterable[str]) -> None:
        """Bind a free port at the first host of each family; a family that the machine lacks is left out."""
        loop = asyncio.get_running_loop()
        failed: OSError | None = None
        for host in hosts:
            version = ip_address(host).version
            if version in self._transports:
                continue
            try:
                transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(host, 0))
            except OSError as error:
                failed = error
            else:
                self._transports[version] = transport
        if not self._transports and failed is not None:
            raise failed

    @property
    def versions(self) -> tuple[int, ...]:
        """The families of addresses that can be asked: 4, 6 or both."""
        return tuple(self._transports)

    @property
    def waiting(self) -> int:
        """How many answers are waited for."""
        return len(self._waiting)

    def may_send(self) -> bool:
        """Whether there may be another message now; it counts."""
        return self._budget.take(asyncio.get_running_loop().time())

    def send(self, key: tuple[Address, bytes], message: bytes, asker: Questions) -> None:
        """Send a message to the key's address, and wait for the answer to its transaction."""
        address, _ = key
        transport = self._transports.get(address.ip.version)
        if transport is not None and not transport.is_closing():
            self._waiting[key] = asker
            transport.sendto(message, address.sockaddr)

    def forget(self, keys: Iterable[tuple[Address, bytes]]) -> None:
        """Nobody waits for these any more."""
        for key in keys:
            self._waiting.pop(key, None)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """An answer, if it is one that somebody waits for."""
        try:
            reply = parse(data)
            address = Address.of(addr[0], addr[1])
        except (MalformedMessage, ValueError):
            return
        key = (address, reply.transaction)
        asker = self._waiting.pop(key, None)
        if asker is not None:
            asker.heard(key, reply)

    def error_received(self, exc: Exception) -> None:
        """A node is gone, or no network is there; whoever waits notices by the silence."""

    def close(self) -> None:
        """Close the sockets; idempotent."""
        for transport in self._transports.values():
            transport.close()
        self._waiting.clear()
