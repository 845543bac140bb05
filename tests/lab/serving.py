"""An endpoint that serves, an endpoint that calls it through a fake tunnel, and real servers behind."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from gateway.config.settings import ServiceSettings
from gateway.expose.acceptor import Acceptor
from gateway.expose.services import Service, ServiceBook
from gateway.overlay_dialer import OverlayDialer
from gateway.traffic.control import TrafficControl
from gateway.traffic.ledger import Ledger
from gateway.traffic.terms import TermsBook
from tests.lab.dialer import Tasks
from tests.lab.streams import ALICE, BOB, LabTunnel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from gateway.traffic.terms import Terms
    from resolver.names import OverlayName
    from tunnels.identity import EndpointId


class Contacts:
    """An address book of petnames."""

    def __init__(self, **petnames: EndpointId) -> None:
        self.petnames = petnames

    def id_of(self, petname: str) -> EndpointId | None:
        return self.petnames.get(petname)

    def is_contact(self, endpoint_id: EndpointId) -> bool:
        return endpoint_id in self.petnames.values()

    def petname_of(self, endpoint_id: EndpointId) -> str | None:
        return next((name for name, known in self.petnames.items() if known == endpoint_id), None)

    def groups_of(self, endpoint_id: EndpointId) -> frozenset[str]:
        return frozenset()

    def is_introduced(self, introducer: EndpointId, endpoint_id: EndpointId) -> bool:
        return False


class Serving:
    """Alice serves; Bob, her contact, calls."""

    def __init__(self, *, terms: Mapping[str, Terms] | None = None, **limits: float) -> None:
        """`terms` are Alice's; with them her side is metered."""
        self.tasks = Tasks()
        self.book = ServiceBook()
        self.contacts = Contacts(bob=BOB)
        self.traffic = metered(self.contacts, terms) if terms is not None else None
        self.acceptor = Acceptor(self.book, self.contacts, self.tasks.spawn, traffic=self.traffic, **limits)
        self.tunnel = LabTunnel(BOB)
        self.tunnel.acceptors[ALICE] = self.acceptor.accept
        self.names = {"alice": ALICE}
        self.aliases: dict[str, OverlayName | str] = {}
        """What the services stand for that are aliases."""
        self.dialer = OverlayDialer(
            self.tunnel.open_transport, self.names.get, alias_of=self._alias_of, answer_seconds=5
        )

    async def _alias_of(self, name: OverlayName) -> OverlayName | str | None:
        return self.aliases.get(name.service or "")

    def expose(self, name: str, target: str, **settings: object) -> Service:
        settings.setdefault("allow", ("bob",))
        service = Service.of(name, ServiceSettings(target=target, **settings))
        self.book.replace(service)
        return service

    async def close(self) -> None:
        self.acceptor.close()
        self.dialer.close()
        await self.tasks.close()
        for stream in self.tunnel.opened:
            stream.abort()
            stream.peer.abort()
        await asyncio.sleep(0.01)  # transports say goodbye, also those of the servers behind


@contextlib.asynccontextmanager
async def serving(*, terms: Mapping[str, Terms] | None = None, **limits: float) -> AsyncIterator[Serving]:
    world = Serving(terms=terms, **limits)
    try:
        yield world
    finally:
        await world.close()


def metered(contacts: Contacts, terms: Mapping[str, Terms]) -> TrafficControl:
    """A traffic control with such terms; the time of day stands still at the end of November 2026."""
    ledger = Ledger(contacts.is_contact)
    return TrafficControl(ledger, contacts, clock=lambda: 1_795_900_000.0, terms=TermsBook(terms))


class _Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


@contextlib.asynccontextmanager
async def tcp_server(factory: Callable[[], asyncio.Protocol] = _Echo) -> AsyncIterator[int]:
    """A server on a free loopback port; an echo unless told otherwise."""
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@contextlib.asynccontextmanager
async def unix_server(path: str) -> AsyncIterator[None]:
    """An echo server on a Unix socket."""
    server = await asyncio.get_running_loop().create_unix_server(_Echo, path)
    try:
        yield
    finally:
        server.close()


class UdpEcho(asyncio.DatagramProtocol):
    """Answers each datagram in capitals and remembers who sent it."""

    def __init__(self) -> None:
        self.sources: set[tuple[str, int]] = set()
        self.received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.received += 1
        self.sources.add(addr)
        self._transport.sendto(data.upper(), addr)


@contextlib.asynccontextmanager
async def udp_server() -> AsyncIterator[tuple[int, UdpEcho]]:
    """A UDP echo on a free loopback port."""
    transport, echo = await asyncio.get_running_loop().create_datagram_endpoint(UdpEcho, ("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1], echo
    finally:
        transport.close()


async def until(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    """Wait until a condition holds, looking at every turn of the loop."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 - for what has no event of its own
            await asyncio.sleep(0.001)
