"""Local ports that lead to services, for as long as somebody wants them: `overlay forward 8080:web.alice`. ⚡"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from gateway.dialing import DialError
from gateway.errors import UsageError
from gateway.flows.keeper import FlowKeeper
from gateway.limits import LISTEN_BACKLOG
from gateway.listeners.binding_sockets import reason
from gateway.listeners.bindings import Binding
from gateway.listeners.tcp import Connections, listen_tcp
from gateway.listeners.udp import UdpListener
from gateway.programs.limits import PROGRAM_STREAMS
from resolver.names import ServiceProtocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from gateway.dialing import Dialer, Flow, OpenedStream
    from gateway.listeners.tcp import Spawn
    from gateway.programs.messages import ForwardRule

_UDP_SOURCES = 1024  # of one set of ports: as many flows as one endpoint lets us have


class Forwards:
    """A set of ports: all are open after `start`, or none."""

    def __init__(
        self,
        dialer: Dialer,
        spawn: Spawn,
        on_trouble: Callable[[str, str], None],
        refusal: Callable[[], str] = lambda: "",
    ) -> None:
        """`on_trouble` hears of what could not be opened: the host, and why. `refusal` says why the process has no room for one
        more connection, empty if it has.
        """
        self._dialer = _Telling(dialer, on_trouble)
        self._spawn = spawn
        self._connections = Connections(
            self._dialer, spawn, limit=PROGRAM_STREAMS, dial_limit=PROGRAM_STREAMS, refusal=refusal
        )
        self._keeper = FlowKeeper(per_owner=_UDP_SOURCES, total=_UDP_SOURCES)
        self._servers: list[asyncio.Server | UdpListener] = []

    async def start(self, rules: tuple[ForwardRule, ...]) -> tuple[str, ...]:
        """Listen; where each rule does. UsageError names the port that cannot be had, and none is open then."""
        sockets: list[socket.socket] = []
        try:
            for rule in rules:
                sockets.append(_bound(rule))  # noqa: PERF401 - those before a failure are closed
        except UsageError:
            for sock in sockets:
                sock.close()
            raise
        for rule, sock in zip(rules, sockets, strict=True):
            protocol = ServiceProtocol(rule.protocol)
            binding = Binding(IPv4Address("127.0.0.1"), rule.port, protocol, rule.host)
            if protocol is ServiceProtocol.TCP:
                self._servers.append(await listen_tcp(sock, binding, self._connections, _ignore))
            else:
                self._servers.append(
                    UdpListener(sock, binding, self._dialer, self._spawn, self._keeper, _ignore)
                )
        return tuple(_place(sock) for sock in sockets)

    def close(self) -> None:
        """Listen no more, and end what is open; idempotent."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        self._connections.close()
        self._keeper.close()


class _Telling:
    """A dialer that tells of its failures."""

    def __init__(self, dialer: Dialer, on_trouble: Callable[[str, str], None]) -> None:
        self._dialer = dialer
        self._on_trouble = on_trouble

    async def open_stream(self, host: str, port: int, *, user: str | None = None) -> OpenedStream:
        try:
            return await self._dialer.open_stream(host, port, user=user)
        except DialError as error:
            self._on_trouble(host, str(error))
            raise

    async def open_flow(
        self,
        host: str,
        port: int,
        on_datagram: Callable[[bytes], None],
        on_closed: Callable[[], None],
        *,
        user: str | None = None,
    ) -> Flow:
        try:
            return await self._dialer.open_flow(host, port, on_datagram, on_closed, user=user)
        except DialError as error:
            self._on_trouble(host, str(error))
            raise


def _bound(rule: ForwardRule) -> socket.socket:
    try:
        ip = ip_address(rule.listen)
    except ValueError:
        raise UsageError(
            f"forward: {rule.listen} is no address to listen on; leave it out, or write an ip"
        ) from None
    family = socket.AF_INET6 if isinstance(ip, IPv6Address) else socket.AF_INET
    is_stream = rule.protocol == "tcp"
    sock = socket.socket(family, socket.SOCK_STREAM if is_stream else socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if is_stream:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((str(ip), rule.listen_port))
        if is_stream:
            sock.listen(LISTEN_BACKLOG)
    except OSError as error:
        sock.close()
        host = f"[{ip}]" if family == socket.AF_INET6 else ip
        raise UsageError(
            f"forward: {host}:{rule.listen_port} cannot be had: {reason(error)}; choose another port, or 0 for any"
        ) from None
    return sock


def _place(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _ignore(_: Binding) -> None:
    """Nothing gives way to what is used."""
