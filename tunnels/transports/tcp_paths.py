"""TCP connections between peers that carry datagrams, for networks that let no UDP out.

They are made by simultaneous open (RFC 9293 §3.5): both ends bind a port, learn from a beacon where their NAT shows it
(`TcpPort.ask`), tell each other, and connect to the other's from their own, again and again, until the SYNs of both
have opened both NATs (`TcpPort.connect`). The port listens as well, which is all it takes where only one end is behind a NAT.

What came to be is a path like any other. It carries nothing but checks until one of them is the peer's, which the owner
tells by `is_path`, and it is closed when it is silent or nobody's path any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec

from tunnels import limits
from tunnels.addresses import Address, TcpAddress
from tunnels.errors import ProtocolViolation, TunnelError, Unreachable
from tunnels.relay.frames import OBSERVED_PATH
from tunnels.transports.pinned_tls import client_ssl
from tunnels.transports.tcp_framing import Inbox, Outbox
from tunnels.transports.web import explained, refuse_redirects

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tunnels.addresses import BeaconUrl

    Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
    Knock = Callable[[], bytes]

_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", None)
_USER_TIMEOUT: Final = getattr(socket, "TCP_USER_TIMEOUT", None)
_REUSE: Final = tuple(
    option for name in ("SO_REUSEADDR", "SO_REUSEPORT") if (option := getattr(socket, name, None)) is not None
)
_ANY: Final = "0.0.0.0"  # noqa: S104 - strangers can say a few bytes, see `Inbox`


class _Seen(msgspec.Struct, frozen=True):
    """What a beacon answers to who asks where it sees him."""

    address: str


_seen: Final = msgspec.json.Decoder(_Seen)


class TcpPaths:
    """All of them, on the running loop. Callbacks are made by the event loop and must not block."""

    def __init__(
        self,
        *,
        on_datagrams: Callable[[list[bytes], TcpAddress], None],
        on_closed: Callable[[TcpAddress], None],
        is_path: Callable[[TcpAddress], bool],
    ) -> None:
        """`is_path` tells whether a check of a peer's came from there, so that it is one of a connection's paths.

        `on_closed` is called for what was such a path.
        """
        self._on_datagrams = on_datagrams
        self._on_closed = on_closed
        self._is_path = is_path
        self._connections: dict[TcpAddress, _Connection] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        proven = sum(connection.is_proven for connection in self._connections.values())
        return f"<TcpPaths {proven} proven of {len(self._connections)}>"

    def __len__(self) -> int:
        return len(self._connections)

    def __contains__(self, address: TcpAddress) -> bool:
        return address in self._connections

    def send(self, datagrams: list[bytes], address: TcpAddress, *, urgent: bool = False) -> bool:
        """Put datagrams in line; path messages are `urgent`. False if the connection is gone."""
        connection = self._connections.get(address)
        if connection is None:
            return False
        connection.send(datagrams, urgent=urgent)
        return True

    def close(self) -> None:
        """Close all of them; nothing is called back any more."""
        if self._timer is not None:
            self._timer.cancel()
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    # --- what connections tell ------------------------------------------------------------------------------

    def adopt(self, sock: socket.socket, peer: Address, first: bytes) -> None:
        """Take a socket that is connected to `peer` now, and say `first` at once; it is closed if it is one too many."""
        address = TcpAddress(peer)
        unproven = [known for known, connection in self._connections.items() if not connection.is_proven]
        if address in self._connections or len(self._connections) - len(unproven) >= limits.TCP_CONNECTIONS:
            sock.close()
            return
        if len(unproven) >= limits.TCP_UNPROVEN:
            self._end(unproven[0])
        connection = self._connections[address] = _Connection(sock, address, self)
        if first:
            connection.send([first], urgent=True)
        if self._timer is None:
            self._timer = self._loop.call_later(limits.TCP_LOOK, self._look)

    def received(self, connection: _Connection, datagrams: list[bytes]) -> None:
        """Datagrams came on a connection."""
        self._on_datagrams(datagrams, connection.address)
        if not connection.is_proven and self._is_path(connection.address):
            connection.prove()

    def lost(self, connection: _Connection) -> None:
        """A connection ended."""
        if self._connections.get(connection.address) is connection:
            self._end(connection.address)

    def _end(self, address: TcpAddress) -> None:
        connection = self._connections.pop(address)
        connection.close()
        if connection.is_proven:
            self._loop.call_soon(
                self._on_closed, address
            )  # whoever it fails under is not to be called meanwhile

    def _look(self) -> None:
        """Let go of strangers that prove nothing, of what is silent, and of what nobody uses."""
        now = self._loop.time()
        for address, connection in tuple(self._connections.items()):
            if connection.is_over(now) or (connection.is_proven and not self._is_path(address)):
                self._end(address)
        self._timer = self._loop.call_later(limits.TCP_LOOK, self._look) if self._connections else None


class _Connection:
    """One that is up."""

    def __init__(self, sock: socket.socket, address: TcpAddress, owner: TcpPaths) -> None:
        self.address = address
        self._socket = sock
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._inbox = Inbox()
        self._outbox = Outbox()
        self._unwritten = memoryview(b"")
        self._waits = False  # for the kernel to take more
        self._since = self._heard_at = self._loop.time()
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if _NOTSENT_LOWAT is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, limits.TCP_UNSENT)
        if _USER_TIMEOUT is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, int(limits.TCP_SILENT * 1000))
        self._loop.add_reader(sock, self._readable)

    @property
    def is_proven(self) -> bool:
        """Whether a peer of ours is at the other end."""
        return self._inbox.is_proven

    def prove(self) -> None:
        """It is."""
        self._inbox.is_proven = True

    def is_over(self, now: float) -> bool:
        """Whether it said nothing for too long, or proved nothing."""
        if self.is_proven:
            return now - self._heard_at > limits.TCP_SILENT
        return now - self._since > limits.TCP_PROVE

    def send(self, datagrams: list[bytes], *, urgent: bool) -> None:
        self._outbox.add(datagrams, urgent=urgent)
        if not self._waits:
            self._write()

    def _write(self) -> None:
        while self._unwritten or self._outbox:
            if not self._unwritten:
                self._unwritten = memoryview(self._outbox.take())
            try:
                self._unwritten = self._unwritten[self._socket.send(self._unwritten) :]
            except (BlockingIOError, InterruptedError):
                if not self._waits:
                    self._waits = True
                    self._loop.add_writer(self._socket, self._write)
                return
            except OSError:
                self._owner.lost(self)
                return
        if self._waits:
            self._waits = False
            self._loop.remove_writer(self._socket)

    def _readable(self) -> None:
        taken = 0
        while taken < limits.RECEIVE_BYTES_PER_TURN and self._socket.fileno() >= 0:
            room = self._inbox.room
            try:
                data = self._socket.recv(room) if room else b""
                datagrams = self._inbox.receive_data(data)
            except (BlockingIOError, InterruptedError):
                return
            except (OSError, ProtocolViolation):
                data = b""
            if not data:  # it ended, broke, or is none of ours
                self._owner.lost(self)
                return
            taken += len(data)
            self._heard_at = self._loop.time()
            if datagrams:
                self._owner.received(self, datagrams)
            if len(data) < room:
                return

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()


class TcpPort:
    """A TCP port of this machine, from which a direct connection is tried; bound at once, until `close`.

    What became a path by then goes on without it. IPv4 only: behind IPv6 are firewalls that UDP passes as well.
    """

    def __init__(self, paths: TcpPaths, spawn: Spawn, *, host: str = _ANY) -> None:
        """Unreachable if there is no port to be had. `host`: where it is bound."""
        self._paths = paths
        self._spawn = spawn
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._trying: dict[Address, socket.socket] = {}
        self._accepted: deque[float] = deque(maxlen=limits.TCP_ACCEPTED)
        self._session: aiohttp.ClientSession | None = None
        self._keeper: asyncio.Task[None] | None = None
        try:
            self._listener = _bound(host, 0)
            try:
                self.number: int = self._listener.getsockname()[1]
                self._listener.listen(limits.TCP_ACCEPTED)
            except OSError:
                self._listener.close()
                raise
        except OSError as error:
            raise Unreachable(f"no TCP port can be had: {error.strerror}") from error
        self._loop.add_reader(self._listener, self._accept)

    def __repr__(self) -> str:
        return f"<TcpPort {self.number} trying {', '.join(map(str, self._trying)) or 'nobody'}>"

    async def ask(self, beacon: BeaconUrl) -> Address:
        """Where the beacon sees this port; it is asked now and then until `close`, so that a NAT keeps the mapping.

        TunnelError says why it does not tell.
        """
        seen = await self._ask_once(beacon)
        if self._keeper is None and not self._is_closed:
            self._keeper = self._spawn(self._keep(beacon), f"TCP port {self.number}")
        return seen

    async def _keep(self, beacon: BeaconUrl) -> None:
        """The connection to the beacon ends when it is idle, and with it the mapping, in some NATs."""
        while True:
            await asyncio.sleep(limits.TCP_ASK_EVERY)
            try:
                await self._ask_once(beacon)
            except TunnelError:  # it can do without, as a rule
                return

    async def _ask_once(self, beacon: BeaconUrl) -> Address:
        tls = await asyncio.to_thread(client_ssl, beacon) if beacon.scheme == "https" else True
        if self._is_closed:
            raise Unreachable("nobody wants to know any more")
        if self._session is None:
            connector = aiohttp.TCPConnector(
                family=socket.AF_INET, socket_factory=lambda _: _bound(self._host, self.number), limit=1
            )
            self._session = aiohttp.ClientSession(connector=connector, middlewares=(refuse_redirects,))
        try:
            async with asyncio.timeout(limits.BEACON_ANSWER):
                async with self._session.get(beacon.origin + OBSERVED_PATH, ssl=tls) as response:
                    said = await response.content.read(limits.TCP_SEEN_BYTES)
        except TimeoutError:
            raise Unreachable(f"the beacon {beacon.authority} does not answer") from None
        except aiohttp.ClientError as error:
            raise explained(error, beacon) from error
        except OSError as error:
            raise Unreachable(str(error)) from error
        try:
            seen = Address.parse(_seen.decode(said).address)
        except (ValueError, RecursionError):
            raise Unreachable(f"the beacon {beacon.authority} does not say where it sees us") from None
        if seen.ip.version != 4 or (seen.ip.is_loopback and not beacon.is_local):
            raise Unreachable(f"the beacon {beacon.authority} sees us at {seen}, which is of no use")
        return seen

    def connect(self, to: Address, knock: Knock) -> None:
        """Try to connect there now, unless that is under way or done; what `knock` gives is said first, a sealed check.

        Whoever connects to us instead is to knock himself.
        """
        if to in self._trying or TcpAddress(to) in self._paths or self._is_closed:
            return
        try:
            sock = _bound(self._host, self.number)
        except OSError:  # no descriptor left, or so many ports in use: the next try may do
            return
        try:
            sock.connect(to.sockaddr)
        except (BlockingIOError, InterruptedError):
            self._trying[to] = sock
            self._loop.add_writer(sock, self._settled, to, knock)
        except OSError:  # no route; or the peer was quicker and is connected to us
            sock.close()
        else:
            self._paths.adopt(sock, to, knock())

    def _settled(self, to: Address, knock: Knock) -> None:
        sock = self._trying.pop(to)
        self._loop.remove_writer(sock)
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            sock.close()  # refused: the peer's NAT is not open for us yet
        else:
            self._paths.adopt(sock, to, knock())

    def _accept(self) -> None:
        """Somebody connected to us: strangers can, so no more than a few are let in."""
        try:
            sock, source = self._listener.accept()
        except OSError:  # gone again, or no descriptor left
            return
        now = self._loop.time()
        if len(self._accepted) == self._accepted.maxlen and now - self._accepted[0] < limits.TCP_PROVE:
            sock.close()
            return
        self._accepted.append(now)
        sock.setblocking(False)
        self._paths.adopt(sock, Address.of(*source[:2]), b"")

    @property
    def _is_closed(self) -> bool:
        return self._listener.fileno() < 0

    def close(self) -> None:
        """Try no more, and give the port back; idempotent."""
        if not self._is_closed:
            self._loop.remove_reader(self._listener)
            self._listener.close()
        for sock in self._trying.values():
            self._loop.remove_writer(sock)
            sock.close()
        self._trying.clear()
        if self._keeper is not None:
            self._keeper.cancel()
            self._keeper = None
        session, self._session = self._session, None
        if session is not None:
            self._spawn(session.close(), f"TCP port {self.number} closing")


def _bound(host: str, port: int) -> socket.socket:
    """A socket at a port that others of ours are bound to as well; OSError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        for option in _REUSE:
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
