"""The proxy's one TCP port: accept a client, tell what it speaks, drive its machine, dial, answer, splice.

SOCKS4, SOCKS4a, SOCKS5 and HTTP share the port. A client gets its answer when the dial has ended, with the code
that says how. Every client is bounded: in number, in how long its first request may take, in how large it may be.
"""

from __future__ import annotations

import asyncio
import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.errors import ConfigurationError
from gateway.headroom.limits import HEADROOM_REFUSALS
from gateway.limits import (
    LISTEN_BACKLOG,
    PROXY_CONNECTIONS,
    PROXY_HANDSHAKE_SECONDS,
    PROXY_HANDSHAKES,
    PROXY_REFUSALS,
    UDP_ASSOCIATIONS,
)
from gateway.proxy.client import Client, Refusal
from gateway.splice import reset

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.dialing import Dialer
    from gateway.proxy.requests import Credentials
    from gateway.proxy.udp_associate import Spawn, UdpAssociation

_WHERE: Final = "under [proxy] in gateway.toml, or with --proxy-port (port 0 takes any free one)"


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """What may change while the proxy runs; it holds for requests that begin afterwards."""

    dialer: Dialer
    credentials: Credentials | None = None


@dataclass(frozen=True, slots=True)
class ProxyStatus:
    """A snapshot of the proxy."""

    address: tuple[str, int] | None
    connections: int
    """Clients connected, those in their first request included."""
    handshakes: int
    """Clients that have not finished their first request."""
    associations: int
    """SOCKS5 UDP associations."""
    flows: int
    """UDP destinations of all associations."""
    accepted: int
    """Clients since the start."""
    refused: int
    """Clients turned away because a cap was reached, since the start."""
    evicted: int
    """Clients that lost their place in the middle of a first request to newer ones, since the start."""


class ProxyListener:
    """The proxy on one port. It implements what `gateway.proxy.client` calls its house."""

    def __init__(
        self,
        settings: ProxySettings,
        spawn: Spawn,
        *,
        host: str = "127.0.0.1",
        port: int = 1080,
        max_connections: int = PROXY_CONNECTIONS,
        max_handshakes: int = PROXY_HANDSHAKES,
        handshake_seconds: float = PROXY_HANDSHAKE_SECONDS,
        refusal: Callable[[], str] = lambda: "",
    ) -> None:
        """`spawn(coroutine, name)` runs a task under supervision; port 0 takes any free one. `refusal` says why the process has no
        room for one more connection, empty if it has.
        """
        self._refusal = refusal
        self.settings = settings
        self.spawn = spawn
        self.handshake_seconds = handshake_seconds
        self._host = host
        self._port = port
        self._max_connections = max_connections
        self._max_handshakes = max_handshakes
        self._server: asyncio.Server | None = None
        self._clients: set[Client] = set()
        self._handshakes: dict[Client, None] = {}  # the oldest first
        self._refusals: set[Refusal] = set()
        self._associations: set[UdpAssociation] = set()
        self._accepted = self._refused = self._evicted = 0

    @property
    def address(self) -> tuple[str, int]:
        """The host and port it listens on; only while it runs."""
        if self._server is None:
            raise ConfigurationError("the proxy is not running")
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    async def start(self) -> None:
        """Listen; ConfigurationError, in one line, when the address cannot be taken."""
        loop = asyncio.get_running_loop()
        place = f"{self._host}:{self._port}"
        try:
            self._server = await loop.create_server(
                self._accept, self._host, self._port, backlog=LISTEN_BACKLOG
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                why = "another program, or another gateway, uses this port; stop it, or choose another `port`"
            elif error.errno == errno.EACCES:
                why = "ports below 1024 need privileges; choose another `port`"
            else:
                why = f"{(error.strerror or str(error)).lower()}; choose another `host` or `port`"
            raise ConfigurationError(f"the proxy cannot listen on {place}: {why} {_WHERE}") from None

    async def close(self) -> None:
        """Stop listening and reset every client; returns when all are gone."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for refusal in tuple(self._refusals):
            refusal.abort()
        clients = tuple(self._clients)
        for client in clients:
            client.abort()
        await asyncio.gather(*(client.wait_closed() for client in clients))

    def configure(self, settings: ProxySettings) -> None:
        """Use other settings from now on; connections that are open stay open."""
        self.settings = settings

    def status(self) -> ProxyStatus:
        """A snapshot."""
        return ProxyStatus(
            address=self.address if self._server is not None else None,
            connections=len(self._clients),
            handshakes=len(self._handshakes),
            associations=len(self._associations),
            flows=sum(association.flows for association in self._associations),
            accepted=self._accepted,
            refused=self._refused,
            evicted=self._evicted,
        )

    def __repr__(self) -> str:
        place = "{}:{}".format(*self.address) if self._server is not None else "closed"
        return f"<ProxyListener {place}, {len(self._clients)} clients, {len(self._handshakes)} in handshake>"

    # The house of `Client`

    def admit(self, client: Client, transport: asyncio.Transport) -> bool:
        """A client has connected. Beyond a cap the oldest unfinished handshake gives way, if there is one."""
        if self._server is None:  # it was in the kernel's queue when we closed
            reset(transport)
            return False
        if why := self._refusal():
            self._refuse(transport, HEADROOM_REFUSALS, why)
            return False
        if len(self._clients) >= self._max_connections or len(self._handshakes) >= self._max_handshakes:
            oldest = next(iter(self._handshakes), None)
            if oldest is None:
                self._refuse(transport)
                return False
            self._evicted += 1
            oldest.abort()
            self.left(oldest)
        self._accepted += 1
        self._clients.add(client)
        self._handshakes[client] = None
        return True

    def shook_hands(self, client: Client) -> None:
        """The client's first request is complete."""
        self._handshakes.pop(client, None)

    def left(self, client: Client) -> None:
        """The client is gone; idempotent."""
        self._handshakes.pop(client, None)
        self._clients.discard(client)

    def may_associate(self) -> bool:
        """Whether one more UDP association is within the cap."""
        return len(self._associations) < UDP_ASSOCIATIONS and not self._refusal()

    def associated(self, association: UdpAssociation) -> None:
        """A UDP association has begun."""
        self._associations.add(association)

    def dissociated(self, association: UdpAssociation) -> None:
        """A UDP association has ended."""
        self._associations.discard(association)

    def _accept(self) -> Client:
        return Client(self)

    def _refuse(self, transport: asyncio.Transport, at_once: int = PROXY_REFUSALS, why: str = "") -> None:
        self._refused += 1
        if len(self._refusals) >= at_once:
            reset(transport)
            return
        refusal = Refusal(transport, self._refusals.discard, why)
        self._refusals.add(refusal)
