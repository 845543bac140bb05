"""A control socket with a desk for programs behind it, and services of programs that reach each other through it, in this process."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.control.server import ControlServer
from gateway.control.services import ServiceReport
from gateway.dialing import DialError, Failure
from gateway.expose.services import ServiceBook
from gateway.own_services import OwnServices
from gateway.programs.desk import ProgramDesk
from gateway.proxy.direct import DirectDialer
from gateway.supervision import Supervisor
from resolver.names import OverlayName
from tests.lab.control import FakeGateway
from tests.lab.resolver_keys import key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.dialing import Flow, OpenedStream
    from gateway.expose.services import Service
    from gateway.home import Home
    from tunnels.identity import EndpointId

ME = key(1).endpoint_id


class OwnDialer:
    """Opens `<service>.me.overlay`; `failures` maps hosts to what dialling them raises."""

    def __init__(self, services: OwnServices) -> None:
        self._services = services
        self.failures: dict[str, Failure] = {}

    async def owner_of(self, host: str) -> EndpointId:
        self._check(host)
        return ME

    async def open_stream(self, host: str, port: int, *, user: str | None = None) -> OpenedStream:
        self._check(host)
        return await self._services.open_stream(OverlayName.parse(host).service or "", port, host)

    async def open_flow(
        self, host: str, port: int, on_datagram: Callable[[bytes], None], on_closed: Callable[[], None]
    ) -> Flow:
        self._check(host)
        service = OverlayName.parse(host).service or ""
        return await self._services.open_flow(service, port, host, on_datagram, on_closed)

    def _check(self, host: str) -> None:
        if host in self.failures:
            raise DialError(self.failures[host], f"{host} fails")


class Services:
    """A book of services that programs may be in."""

    def __init__(self) -> None:
        self.book = ServiceBook()

    def attach(self, service: Service) -> ServiceReport:
        self.book.add(service)
        return ServiceReport(
            name=service.name,
            settings=service.settings,
            port=service.ports,
            host=f"{service.name}.me.overlay",
        )

    def detach(self, name: str) -> None:
        self.book.remove(name)

    def free_port(self, name: str) -> int:
        return 50000 + len(self.book)

    def petname_of(self, endpoint_id: EndpointId) -> str:
        return "me"

    def learn_ticket(self, text: str) -> EndpointId:
        raise NotImplementedError


@dataclass
class Desk:
    """What a test works with."""

    home: Home
    desk: ProgramDesk
    dialer: OwnDialer
    services: Services


@contextlib.asynccontextmanager
async def program_desk(home: Home) -> AsyncIterator[Desk]:
    """Serve programs on the control socket of `home`."""
    await asyncio.to_thread(home.create)
    services, supervisor = Services(), Supervisor()
    dialer = OwnDialer(OwnServices(lambda: services.book, DirectDialer(), ME))
    desk = ProgramDesk(
        dialer, dialer, services, lambda coroutine, name: supervisor.spawn(coroutine, name=name)
    )
    server = ControlServer(
        FakeGateway(),
        path=await asyncio.to_thread(home.control_socket),
        log_file=home.log_file,
        programs=desk,
    )
    await server.start()
    try:
        yield Desk(home, desk, dialer, services)
    finally:
        await server.close()
        desk.close()
        await supervisor.close()
