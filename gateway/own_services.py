"""Our own services under our own name: reached on this machine without a tunnel, so that an owner can try them.

What tells a target who calls (PROXY protocol, HTTP headers) is left out: nobody calls from afar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.dialing import DialError, Failure, OpenedStream
from gateway.expose.connecting import TargetError, connect_target
from gateway.expose.targets import IpTarget, ProgramTarget
from gateway.stream_header import ListedService, Status
from resolver.names import ServiceProtocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.dialing import Dialer, Flow
    from gateway.expose.services import Service, ServiceBook
    from tunnels.identity import EndpointId

_FAILURES = {Status.TARGET_REFUSED: Failure.TARGET_REFUSED, Status.OVERLOADED: Failure.OVERLOADED}


class OwnServices:
    """Opens what this gateway itself exposes."""

    def __init__(self, book: Callable[[], ServiceBook], direct: Dialer, own_id: EndpointId) -> None:
        """`book` gives the services in force; `direct` opens UDP flows to their targets; `own_id` is who calls."""
        self._book = book
        self._own_id = own_id
        self._direct = direct

    def listed(self) -> tuple[ListedService, ...]:
        """All of them, as another endpoint would be told."""
        return tuple(
            ListedService(s.name, s.first_port, s.last_port, s.protocols, s.public)
            for s in self._book()
            if not s.unlisted
        )

    async def open_stream(self, service: str, port: int, label: str) -> OpenedStream:
        """Connect to the target of a service of ours; raises DialError."""
        found = self._find(service, port, ServiceProtocol.TCP, label)
        try:
            held = await connect_target(found, port, self._own_id)
        except TargetError as error:
            raise _failed(error, label) from None
        held.transport.pause_reading()
        return OpenedStream(held.transport, held.early, held)

    async def open_flow(
        self,
        service: str,
        port: int,
        label: str,
        on_datagram: Callable[[bytes], None],
        on_closed: Callable[[], None],
    ) -> Flow:
        """Open a UDP flow to the target of a service of ours; raises DialError."""
        found = self._find(service, port, ServiceProtocol.UDP, label)
        if isinstance(found.target, ProgramTarget):
            try:
                return await found.target.program.open_flow(self._own_id, on_datagram, on_closed)
            except TargetError as error:
                raise _failed(error, label) from None
        assert isinstance(found.target, IpTarget)  # noqa: S101 - only those speak UDP
        return await self._direct.open_flow(
            found.target.host, found.target_port(port), on_datagram, on_closed
        )

    def _find(self, name: str, port: int, protocol: ServiceProtocol, label: str) -> Service:
        service = self._book().find(name, port, protocol)
        if service is None:
            raise DialError(
                Failure.NO_SERVICE,
                f"{label}: this is your own gateway, and it exposes nothing there; see: overlay services",
            )
        return service


def _failed(error: TargetError, label: str) -> DialError:
    return DialError(_FAILURES.get(error.answer.status, Failure.TARGET_UNREACHABLE), f"{label}: {error}")
