"""The DNS server's sockets: UDP and TCP on one address, bounded in all that a stranger can fill.

What to answer is the business of `responder`; this room carries bytes. A TCP connection is closed when it brings no
complete query for a while, and the longest idle one makes room for a new one.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from resolver.errors import ListenError
from resolver.limits import (
    BIND_ATTEMPTS,
    QUERY_BYTES,
    TCP_CONNECTIONS,
    TCP_CONNECTIONS_PER_CLIENT,
    TCP_IDLE_SECONDS,
    TCP_PIPELINE,
    UDP_READ_BUFFER,
)
from resolver.messages import HEADER_BYTES
from tunnels.addresses import Address

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from resolver.responder import Responder


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What the sockets do."""

    address: Address
    tcp_connections: int
    dropped_replies: int
    """UDP replies dropped because the system would not take them."""


class DnsServer:
    """DNS on UDP and TCP. `start` it once, `close` it once; the responder stays its owner's."""

    def __init__(
        self,
        responder: Responder,
        host: IPv4Address | IPv6Address,
        port: int,
        *,
        tcp_idle_seconds: float = TCP_IDLE_SECONDS,
    ) -> None:
        """`port` 0 takes any port that is free for both UDP and TCP."""
        self._responder = responder
        self._host = host
        self._port = port
        self._tcp_idle_seconds = tcp_idle_seconds
        self._udp: _UdpProtocol | None = None
        self._tcp: asyncio.Server | None = None
        self._connections = _Connections()

    @property
    def address(self) -> Address:
        """Where it really listens; ListenError before `start`."""
        if self._udp is None or self._udp.transport is None:
            raise ListenError("the DNS server has not been started")
        return Address.of(*self._udp.transport.get_extra_info("sockname")[:2])

    def status(self) -> ServerStatus:
        """What the sockets do; ListenError before `start`."""
        return ServerStatus(self.address, len(self._connections), self._udp.dropped if self._udp else 0)

    def __repr__(self) -> str:
        return f"<DnsServer {self.address}>" if self._udp else "<DnsServer not started>"

    async def start(self) -> None:
        """Listen; ListenError says in one line why not and what to do."""
        udp_socket, tcp_socket = _bind_both(str(self._host), self._port)
        loop = asyncio.get_running_loop()
        _, self._udp = await loop.create_datagram_endpoint(
            lambda: _UdpProtocol(self._responder), sock=udp_socket
        )
        self._tcp = await loop.create_server(
            lambda: _TcpConnection(self._responder, self._connections, self._tcp_idle_seconds),
            sock=tcp_socket,
        )

    async def close(self) -> None:
        """Stop listening and cut all connections; idempotent."""
        if self._udp is not None and self._udp.transport is not None:
            self._udp.transport.close()
        if self._tcp is not None:
            self._tcp.close()
        self._connections.abort_all()
        if self._tcp is not None:
            await self._tcp.wait_closed()


class _UdpProtocol(asyncio.DatagramProtocol):
    def __init__(self, responder: Responder) -> None:
        self._respond = responder.respond
        self.transport: asyncio.DatagramTransport | None = None
        self._is_full = False
        self.dropped = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._respond(data, over_tcp=False, done=lambda reply: self._send(reply, addr))

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False

    def _send(self, reply: bytes | None, addr: tuple[str, int]) -> None:
        if reply is None or self.transport is None or self.transport.is_closing():
            return
        if self._is_full:
            self.dropped += 1  # as UDP does; the client asks again
            return
        self.transport.sendto(reply, addr)


class _Connections:
    """All TCP connections, the longest idle first; full means that one of them must go."""

    __slots__ = ("_by_client", "_order")

    def __init__(self) -> None:
        self._order: dict[_TcpConnection, None] = {}
        self._by_client: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._order)

    def add(self, connection: _TcpConnection) -> None:
        """Take a connection in, and abort the longest idle one that stands in its way."""
        client = connection.client
        if self._by_client.get(client, 0) >= TCP_CONNECTIONS_PER_CLIENT:
            next(other for other in self._order if other.client == client).abort()
        elif len(self._order) >= TCP_CONNECTIONS:
            next(iter(self._order)).abort()
        self._order[connection] = None
        self._by_client[client] = self._by_client.get(client, 0) + 1

    def was_active(self, connection: _TcpConnection) -> None:
        """A complete query came."""
        if connection in self._order:
            del self._order[connection]
            self._order[connection] = None

    def remove(self, connection: _TcpConnection) -> None:
        """The connection is gone; idempotent."""
        if connection in self._order:
            del self._order[connection]
            left = self._by_client.pop(connection.client) - 1
            if left:
                self._by_client[connection.client] = left

    def abort_all(self) -> None:
        """Cut every connection."""
        for connection in tuple(self._order):
            connection.abort()


class _TcpConnection(asyncio.Protocol):
    """Queries behind two-byte lengths (RFC 7766); replies go out as they are ready, in any order."""

    def __init__(self, responder: Responder, connections: _Connections, idle_seconds: float) -> None:
        self._respond = responder.respond
        self._connections = connections
        self._idle_seconds = idle_seconds
        self._buffer = bytearray()
        self._unanswered = 0
        self._is_full = False
        self._is_paused = False
        self._has_ended = False
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self.client = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.client = (transport.get_extra_info("peername") or ("",))[0]
        self._connections.add(self)
        self._restart_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.remove(self)
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._work()

    def eof_received(self) -> bool:
        self._has_ended = True
        return self._unanswered > 0  # the write side stays open for the replies that are still to come

    def pause_writing(self) -> None:
        self._is_full = True
        self._work()

    def resume_writing(self) -> None:
        self._is_full = False
        self._work()

    def abort(self) -> None:
        """Cut the connection; it counts no more from now on."""
        self._connections.remove(self)
        if self._transport is not None:
            self._transport.abort()

    def _work(self) -> None:
        """Answer what is complete, as far as the pipeline and the client's reading allow; else stop reading."""
        while self._transport is not None and not self._is_busy() and len(self._buffer) >= 2:
            length = int.from_bytes(self._buffer[:2])
            if not HEADER_BYTES <= length <= QUERY_BYTES:
                self.abort()
                return
            if len(self._buffer) < 2 + length:
                break
            query = bytes(self._buffer[2 : 2 + length])
            del self._buffer[: 2 + length]
            self._unanswered += 1
            self._connections.was_active(self)
            self._restart_timer()
            self._respond(query, over_tcp=True, done=self._send)
        if self._transport is not None and self._is_busy() != self._is_paused:
            self._is_paused = not self._is_paused
            (self._transport.pause_reading if self._is_paused else self._transport.resume_reading)()

    def _is_busy(self) -> bool:
        return self._is_full or self._unanswered >= TCP_PIPELINE

    def _send(self, reply: bytes | None) -> None:
        was_busy = self._is_busy()
        self._unanswered -= 1
        if self._transport is None or self._transport.is_closing():
            return
        if reply is not None:
            self._transport.write(len(reply).to_bytes(2) + reply)
        if self._has_ended and not self._unanswered:
            self._transport.close()
        elif was_busy:
            asyncio.get_running_loop().call_soon(self._work)  # not here: _work may be what called us

    def _restart_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._idle_seconds, self.abort)


def _bind_both(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on the same address and port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for attempt in range(BIND_ATTEMPTS):
        udp_socket = socket.socket(family, socket.SOCK_DGRAM)
        tcp_socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            udp_socket.setblocking(False)
            udp_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_READ_BUFFER)
            udp_socket.bind((host, port))
            tcp_socket.setblocking(False)
            tcp_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp_socket.bind((host, udp_socket.getsockname()[1]))
            tcp_socket.listen()
        except OSError as error:
            udp_socket.close()
            tcp_socket.close()
            if port == 0 and error.errno == errno.EADDRINUSE and attempt + 1 < BIND_ATTEMPTS:
                continue  # free for UDP and taken for TCP: the system picks another one
            raise ListenError(_why_not(host, port, error)) from None
        return udp_socket, tcp_socket
    raise AssertionError  # the last attempt returns or raises


def _why_not(host: str, port: int, error: OSError) -> str:
    place = f"the DNS server cannot listen on {f'[{host}]' if ':' in host else host}:{port}"
    match error.errno:
        case errno.EADDRINUSE:
            return f"{place}: another program does; choose another DNS port (0 takes any free one)"
        case errno.EACCES:
            return f"{place}: ports below 1024 need special rights; choose a higher DNS port"
        case errno.EADDRNOTAVAIL:
            return f"{place}: this machine has no such address; choose one it has, such as 127.0.0.1"
        case _:
            return f"{place}: {error.strerror}; choose another DNS address or port"
