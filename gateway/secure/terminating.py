"""`https://` for services that speak plain HTTP: TLS ends in this gateway, and only the tunnel carries the rest. ⚡

A service that has port 443 itself, or of which nobody knows that it is HTTP, is passed through untouched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.http.plans import Place
from gateway.secure.requests import plan_terminated
from gateway.secure.serving import opened, socket_pair
from gateway.urls import url_of
from resolver.errors import InvalidName
from resolver.limits import ALIAS_HOPS
from resolver.names import OverlayName, ServiceProtocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Coroutine, Iterable
    from typing import Any

    from gateway.dialing import Dialer, Flow, OpenedStream
    from gateway.secure.leaves import Leaves
    from gateway.secure.serving import HttpDoor
    from gateway.stream_header import ListedService
    from tunnels.identity import EndpointId

    Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
    OwnerOf = Callable[[OverlayName], EndpointId | None]
    ServicesAt = Callable[[OverlayName], Awaitable[tuple[ListedService, ...]]]
    AliasOf = Callable[[OverlayName], Awaitable[OverlayName | str | None]]

HTTPS_PORT: Final = 443


class TerminatingDialer:
    """A `gateway.dialing.Dialer` that speaks TLS for services which do not; everything else is the `inner` one's."""

    def __init__(
        self,
        inner: Dialer,
        owner_of: OwnerOf,
        services_at: ServicesAt,
        alias_of: AliasOf,
        leaves: Callable[[], Leaves | None],
        spawn: Spawn,
        door: HttpDoor,
    ) -> None:
        """`owner_of` and `services_at` tell whose a name is, and what is offered there; `leaves` are None while there is no authority."""
        self._inner = inner
        self._owner_of = owner_of
        self._services_at = services_at
        self._alias_of = alias_of
        self._leaves = leaves
        self._spawn = spawn
        self._door = door

    async def open_stream(self, host: str, port: int, *, user: str | None = None) -> OpenedStream:
        """Open a stream to `host:port`; raises DialError. TLS is answered at once, the service is dialed by a request."""
        leaves = self._leaves()
        name = _parsed(host) if leaves is not None and port == HTTPS_PORT else None
        plain = await self._plain_port(name) if name is not None else None
        if leaves is None or name is None or plain is None:
            return await self._inner.open_stream(host, port, user=user)
        place = Place(str(name), plain, user)
        owner = self._owner_of(name)

        def serves(asked: str) -> bool:
            """Names of one endpoint are equal here: the connection may be for its id, or for what an alias stands for."""
            other = _parsed(asked)
            return other is not None and self._owner_of(other) == owner

        ours, theirs = socket_pair()
        self._spawn(
            self._door.serve(
                theirs, lambda head: plan_terminated(head, place, serves), leaves.chooser(serves)
            ),
            f"https for {name}",
        )
        return await opened(ours)

    async def open_flow(
        self,
        host: str,
        port: int,
        on_datagram: Callable[[bytes], None],
        on_closed: Callable[[], None],
        *,
        user: str | None = None,
    ) -> Flow:
        """Open a UDP flow: always the inner dialer's."""
        return await self._inner.open_flow(host, port, on_datagram, on_closed, user=user)

    async def _plain_port(self, name: OverlayName) -> int | None:
        """Where the name speaks plain HTTP, if it speaks no TLS; None if it is not known to."""
        for _ in range(ALIAS_HOPS + 1):
            port = plain_port(name, await self._services_at(name))
            alias = await self._alias_of(name) if port is None and name.service is not None else None
            if not isinstance(alias, OverlayName) or alias.owner != name.owner:
                return port
            name = alias
        return None


def _parsed(host: str) -> OverlayName | None:
    try:
        return OverlayName.parse(host)
    except InvalidName:
        return None


def plain_port(name: OverlayName, services: Iterable[ListedService]) -> int | None:
    """The port of plain HTTP among the services at a name; None if one has port 443, or none is known to be HTTP."""
    chosen = [
        service
        for service in services
        if name.service in (None, service.name) and ServiceProtocol.TCP in service.protocols
    ]
    if any(service.first_port <= HTTPS_PORT <= service.last_port for service in chosen):
        return None
    ports = [service.first_port for service in chosen if is_plain_http(service)]
    return ports[0] if len(ports) == 1 else None


def is_plain_http(service: ListedService) -> bool:
    """Whether a service is one that `overlay` shows with `http://`."""
    return url_of("h", service.first_port, service.protocols).startswith("http://")
