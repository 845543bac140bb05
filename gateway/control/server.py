"""The control socket: the API on a Unix socket that only its owner can speak to.

Three things keep others out: the home directory (0700), the socket (0600), and the kernel's word on who connects.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
import struct
from typing import TYPE_CHECKING, Final, Protocol, cast

from aiohttp import web

from gateway.control.errors import UNKNOWN_PATH
from gateway.control.routes import refuse, routes
from gateway.errors import StateError
from gateway.first_requests import FirstRequests
from gateway.home import state_error
from gateway.limits import (
    CONTROL_BODY_BYTES,
    CONTROL_CONNECTIONS,
    CONTROL_HEAD_SECONDS,
    CONTROL_KEEPALIVE_SECONDS,
    CONTROL_SHUTDOWN_SECONDS,
)
from gateway.splice import as_transport

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp.typedefs import Handler

    from gateway.control.api import Gateway

_NOT_YOURS: Final = b'{"error": "control: this gateway belongs to another user", "code": "usage"}\n'
_BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Programs(Protocol):
    """Who speaks with programs that want more than answers (`gateway.programs`)."""

    @property
    def magic(self) -> bytes:
        """What their connections begin with: nothing that a request could begin with."""

    def welcome(self, transport: asyncio.Transport, early: bytes) -> None:
        """Take over a connection, of which `early` was read already."""


class ControlServer:
    """Answers the control API on one socket file, from `start` to `close`."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        path: Path,
        log_file: Path,
        programs: Programs | None = None,
    ) -> None:
        """`programs` takes over a connection that begins with its magic, and not with a request."""
        self._path = path
        self.programs = programs
        self._first_requests = FirstRequests()
        app = web.Application(client_max_size=CONTROL_BODY_BYTES, middlewares=[self._admit])
        app.add_routes(routes(gateway, log_file))
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            keepalive_timeout=CONTROL_KEEPALIVE_SECONDS,
            lingering_time=0.0,  # the rest of a refused body is not waited for
            shutdown_timeout=CONTROL_SHUTDOWN_SECONDS,
        )
        self._server: asyncio.Server | None = None
        self._doors = 0
        """Connections that have not said yet whose they are."""
        self._bound = False

    async def start(self) -> None:
        """Listen; StateError when another daemon listens there or the socket cannot be made."""
        sock = await asyncio.to_thread(_bind, self._path)
        self._bound = True
        await self._runner.setup()
        self._server = await asyncio.get_running_loop().create_unix_server(self._protocol, sock=sock)

    async def close(self) -> None:
        """Stop listening, let requests finish for a moment, remove the socket file; idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._runner.cleanup()
        if self._bound:
            self._bound = False
            await asyncio.to_thread(self._path.unlink, missing_ok=True)

    def _protocol(self) -> asyncio.Protocol:
        """The protocol for a new connection: one that says so when there are too many."""
        server = self._runner.server
        if server is None or len(server.connections) + self._doors >= CONTROL_CONNECTIONS:
            return _Busy()
        door = _Door(self)
        self._doors += 1
        return door

    def opened(self, transport: asyncio.Transport, first: bytes) -> None:
        """A new connection has said enough to tell whose it is."""
        self._doors -= 1
        if transport.is_closing():
            return
        if self.programs is not None and first.startswith(self.programs.magic):
            if _is_ours(transport):
                self.programs.welcome(transport, first)
            else:
                transport.write(_NOT_YOURS)
                transport.close()
            return
        server = self._runner.server
        if server is None:
            transport.abort()
            return
        handler = server()
        self._first_requests.expect(handler, CONTROL_HEAD_SECONDS)
        transport.set_protocol(handler)
        handler.connection_made(transport)
        handler.data_received(first)

    @web.middleware
    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError
        self._first_requests.came(request.protocol)
        if not _is_ours(transport):
            return refuse(403, "control: this gateway belongs to another user", "usage")
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return refuse(404, f"control: this daemon knows no {request.path[:100]}", UNKNOWN_PATH)
        except web.HTTPMethodNotAllowed:
            return refuse(405, f"control: {request.path[:100]} takes no {request.method}", "usage")


class _Door(asyncio.Protocol):
    """A new connection: a program's, or one with requests, as its first bytes tell."""

    def __init__(self, server: ControlServer) -> None:
        self._server = server
        self._first = b""
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = as_transport(transport)
        self._timer = asyncio.get_running_loop().call_later(CONTROL_HEAD_SECONDS, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        self._first += data
        programs = self._server.programs
        if (
            programs is None
            or self._first.startswith(programs.magic)
            or not programs.magic.startswith(self._first)
        ):
            self._open()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open()

    def _open(self) -> None:
        if not self._is_open:
            self._is_open = True
            self._timer.cancel()
            self._server.opened(self._transport, self._first)


class _Busy(asyncio.Protocol):
    """Tells the caller that there are too many connections already."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connection = cast("asyncio.WriteTransport", transport)  # uvloop's is no subclass of it
        connection.write(_BUSY)
        connection.close()


def _bind(path: Path) -> socket.socket:
    """A listening socket at `path`, mode 0600; one that a dead daemon left there is replaced, a live one is not."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _clear(path)
        sock.bind(os.fspath(path))
        path.chmod(0o600)  # nobody can connect before listen
        sock.listen(CONTROL_CONNECTIONS)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise state_error("create", path, error) from None
    except StateError:
        sock.close()
        raise
    return sock


def _clear(path: Path) -> None:
    """Remove a socket file that nobody answers on."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StateError(f"control socket: {path} is something else, not a socket; move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except OSError as error:
            if error.errno != errno.ECONNREFUSED:
                raise
        else:
            raise StateError(
                f"control socket: another gateway answers on {path}; stop it with `overlay down`, "
                "or give this one a directory of its own with --home"
            )
    path.unlink(missing_ok=True)


def _is_ours(transport: asyncio.BaseTransport) -> bool:
    """Whether the other end is our own user, or root; so it is where the kernel does not tell."""
    uid = _peer_uid(transport.get_extra_info("socket"))
    return uid is None or uid in (os.getuid(), 0)


def _peer_uid(sock: socket.socket | None) -> int | None:
    """Who is at the other end of a Unix socket; None where the kernel does not tell."""
    if sock is None or sock.family != socket.AF_UNIX or not hasattr(socket, "SO_PEERCRED"):
        return None
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", credentials)[1]
    return uid
