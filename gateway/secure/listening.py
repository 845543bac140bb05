"""A front door's port on loopback, over IPv4 and IPv6: who may come in, and how many. ⚡

Browsers look for `*.localhost` at ::1 and at 127.0.0.1, so both are taken: else another user of this machine could
take the one that is left.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from typing import TYPE_CHECKING, Final

from gateway.errors import ConfigurationError
from gateway.headroom.limits import HEADROOM_REFUSALS
from gateway.limits import LISTEN_BACKLOG
from gateway.secure.limits import DOOR_ACCEPT_PAUSE_SECONDS, DOOR_BIND_ATTEMPTS, DOOR_CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

    Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
    Serve = Callable[[socket.socket, str], Awaitable[None]]
    Admits = Callable[[asyncio.BaseTransport], bool]

_logger = logging.getLogger(__name__)

_FAMILIES: Final = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_ABSENT: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


class Peer(asyncio.BaseTransport):
    """The two ends of a connection that has no transport yet, for whoever asks one who is there."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__({"socket": sock, "sockname": sock.getsockname(), "peername": sock.getpeername()})


class FrontDoor:
    """Listens from `start` to `close`."""

    def __init__(
        self,
        serve: Serve,
        spawn: Spawn,
        admits: Admits,
        *,
        port: int,
        section: str,
        connections: int = DOOR_CONNECTIONS,
        refusal: Callable[[], str] = lambda: "",
    ) -> None:
        """`serve` gets each connection that `admits` lets in and closes it; `section` is where the port is set. `refusal` says
        why the process has no room for one more, empty if it has; `serve` is told, and tells whoever asks.
        """
        self._serve = serve
        self._spawn = spawn
        self._admits = admits
        self._port = port
        self._section = section
        self._most = connections
        self._refusal = refusal
        self._refused: set[asyncio.Task[None]] = set()
        self._listeners: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._open: set[asyncio.Task[None]] = set()
        self._has_told = False
        self.turned_away = 0
        """Connections of other users, or beyond a limit, since the start."""

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Where it really listens."""
        return tuple(listener.getsockname()[:2] for listener in self._listeners)

    @property
    def port(self) -> int:
        """The port; only while it listens."""
        return self.addresses[0][1]

    def start(self) -> None:
        """Listen; ConfigurationError says in one line why not."""
        self._listeners = _bind(self._port, self._section)
        self._accepting = [
            self._spawn(self._accept(listener), f"front door {listener.getsockname()[0]}")
            for listener in self._listeners
        ]

    async def close(self) -> None:
        """Stop listening and reset every client; idempotent."""
        tasks = [*self._accepting, *self._open]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for listener in self._listeners:
            listener.close()
        self._listeners, self._accepting = [], []

    def __repr__(self) -> str:
        return f"<FrontDoor {self.addresses}, {len(self._open)} clients>"

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(listener)
            except ConnectionError:  # it was gone before we came
                continue
            except OSError as error:  # no descriptors are left
                _logger.warning("a connection cannot be accepted: %s", error.strerror)
                await asyncio.sleep(DOOR_ACCEPT_PAUSE_SECONDS)
                continue
            if not self._may_enter(sock):
                self.turned_away += 1
                sock.close()
                continue
            why = self._refusal()
            if why and len(self._refused) >= HEADROOM_REFUSALS:
                self.turned_away += 1
                sock.close()
                continue
            task = self._spawn(self._visit(sock, why), "front door client")
            for tasks in (self._open, self._refused) if why else (self._open,):
                tasks.add(task)
                task.add_done_callback(tasks.discard)

    def _may_enter(self, sock: socket.socket) -> bool:
        if len(self._open) >= self._most:
            return False
        try:
            peer = Peer(sock)
        except OSError:  # it is gone already
            return False
        if self._admits(peer):
            return True
        if (
            not self._has_told
        ):  # once: whoever is turned away may try as often as he likes, and some are just gone already
            self._has_told = True
            _logger.info("turned away, as a connection of another user would be; see [front_door] users")
        return False

    async def _visit(self, sock: socket.socket, why: str) -> None:
        try:
            await self._serve(sock, why)
        except BaseException:
            sock.close()
            raise


def _bind(port: int, section: str) -> list[socket.socket]:
    """The same port of 127.0.0.1 and of ::1, which not every machine has."""
    for attempt in range(DOOR_BIND_ATTEMPTS):
        taken: list[socket.socket] = []
        try:
            for family, host in _FAMILIES:
                chosen = taken[0].getsockname()[1] if taken else port
                sock = _listen(family, host, chosen)
                if sock is not None:
                    taken.append(sock)
        except OSError as error:
            for sock in taken:
                sock.close()
            if port == 0 and error.errno == errno.EADDRINUSE and attempt + 1 < DOOR_BIND_ATTEMPTS:
                continue  # free on the one and taken on the other
            raise ConfigurationError(_why_not(error, port, section)) from None
        if not taken:
            raise ConfigurationError(f"[{section}] this machine has no loopback address")
        return taken
    raise AssertionError  # the last attempt returns or raises


def _listen(family: socket.AddressFamily, host: str, port: int) -> socket.socket | None:
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(LISTEN_BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno in _ABSENT:
            return None
        raise
    return sock


def _why_not(error: OSError, port: int, section: str) -> str:
    if error.errno == errno.EADDRINUSE:
        why = "another program, or another gateway, uses it"
    elif error.errno == errno.EACCES:
        why = "ports below 1024 need privileges"
    else:
        why = (error.strerror or str(error)).lower()
    return f"nothing listens on port {port} of this machine's own names: {why}; choose another with [{section}] port, 0 for any free one"
