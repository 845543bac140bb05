"""UDP sockets, one per address family, on one event loop; datagrams in batches both ways.

On Linux and macOS qh3's socket helper receives and sends many datagrams with one system call (UDP GRO and GSO on
Linux); elsewhere, or when the kernel refuses, plain `recvfrom` and `sendto` do.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from tunnels import limits
from tunnels.addresses import Address
from tunnels.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Batch = list[tuple[bytes, Any]]
"""Datagrams as they came, each with its source as the socket module writes it."""


_Sockaddr = tuple[str, int] | tuple[str, int, int, int]
"""What the socket module calls an address; for IPv6 with flow label and interface number."""


@lru_cache(maxsize=8192)
def source_address(source: tuple[Any, ...]) -> Address | None:
    """The address a datagram came from; None for one that cannot be answered (port 0)."""
    host, port, *rest = source
    try:
        if len(rest) == 2 and rest[1] and "%" not in host:  # link-local: good on one interface only
            host = f"{host}%{socket.if_indextoname(rest[1])}"
        return Address.of(host, port)
    except (OSError, ValueError):
        return None


def _destination(address: Address) -> _Sockaddr | None:
    """The address as both helpers take it; None where its interface is not there."""
    ip = address.ip
    if ip.version == 4 or ip.scope_id is None:
        return address.sockaddr
    try:
        number = int(ip.scope_id) if ip.scope_id.isdigit() else socket.if_nametoindex(ip.scope_id)
    except OSError:
        return None
    return (str(ip).partition("%")[0], address.port, 0, number)


class _SocketIO(Protocol):
    """Receives and sends batches on one socket."""

    def recv(self) -> Batch:
        """What is there, at most about 64 KB; empty when nothing is."""

    def send(self, datagrams: list[bytes], address: _Sockaddr) -> int:
        """How many of the datagrams the kernel took; 0 when its buffer is full."""


class _PlainIO:
    """One system call per datagram; works everywhere."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def recv(self) -> Batch:
        batch: Batch = []
        try:
            while len(batch) < 64:
                batch.append(self._socket.recvfrom(65536))
        except (BlockingIOError, InterruptedError):
            return batch
        except OSError as error:
            if error.errno not in _IGNORED:
                raise
        return batch

    def send(self, datagrams: list[bytes], address: _Sockaddr) -> int:
        for sent, datagram in enumerate(datagrams):
            try:
                self._socket.sendto(datagram, address)
            except (BlockingIOError, InterruptedError):
                return sent
        return len(datagrams)


# What ICMP makes of earlier sends: about some other peer, and nothing is wrong with the socket. QUIC's own timers
# notice what does not arrive.
_IGNORED = frozenset(
    {
        errno.ECONNREFUSED,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.ENETDOWN,
        errno.EPERM,
        errno.EACCES,
        errno.EINVAL,
        errno.EADDRNOTAVAIL,
        errno.EAFNOSUPPORT,
        errno.EMSGSIZE,
        errno.ENOBUFS,
        errno.EIO,
        errno.ECONNRESET,
    }
)


_NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EADDRNOTAVAIL})


def _make_io(sock: socket.socket) -> _SocketIO:
    try:
        from qh3._hazmat import UdpSocketState
    except ImportError:
        return _PlainIO(sock)
    try:
        io: _SocketIO = UdpSocketState(sock.fileno())
    except OSError:
        return _PlainIO(sock)
    return io


class UdpSocket:
    """One bound UDP socket on the running loop."""

    def __init__(self, host: str, port: int, on_datagrams: Callable[[Batch], None]) -> None:
        """Bind now; ConfigurationError, in one line, if this machine cannot."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
        except OSError as error:  # a kernel without IPv6, or no descriptor left
            raise ConfigurationError(_bind_advice(host, port, error)) from error
        try:
            self._socket.setblocking(False)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                self._socket.setsockopt(socket.SOL_SOCKET, option, limits.SOCKET_BUFFER)
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise ConfigurationError(_bind_advice(host, port, error)) from error
        self.family = family
        self.address = Address.of(*self._socket.getsockname()[:2])
        self._on_datagrams = on_datagrams
        self._io = _make_io(self._socket)
        self._queue: deque[tuple[bytes, _Sockaddr]] = deque()
        self.dropped = 0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._readable)

    def _readable(self) -> None:
        for _ in range(limits.RECEIVE_BATCHES_PER_TURN):
            try:
                batch = self._io.recv()
            except OSError as error:
                if error.errno not in _IGNORED:
                    raise
                continue
            if not batch:
                return
            self._on_datagrams(batch)

    def send(self, datagrams: list[bytes], address: Address) -> None:
        """Put datagrams on the wire, or a bounded number in a queue while the kernel's buffer is full."""
        sockaddr = _destination(address)
        if sockaddr is None:
            return  # lost, as on any path that does not work
        sent = 0 if self._queue else self._send_now(datagrams, sockaddr)
        if sent < len(datagrams):
            if not self._queue:
                self._loop.add_writer(self._socket, self._writable)
            room = limits.SEND_QUEUE_DATAGRAMS - len(self._queue)
            waiting = datagrams[sent:]
            self.dropped += max(0, len(waiting) - room)
            self._queue.extend((datagram, sockaddr) for datagram in waiting[:room])

    def _send_now(self, datagrams: list[bytes], sockaddr: _Sockaddr) -> int:
        try:
            return self._io.send(datagrams, sockaddr)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK):
                return int(getattr(error, "datagrams_sent", 0))
            if error.errno not in _IGNORED:
                raise
            return len(datagrams)  # lost, as on any path that does not work

    def _writable(self) -> None:
        queue = self._queue
        while queue:
            sockaddr = queue[0][1]
            run: list[bytes] = []
            for datagram, destination in queue:
                if destination != sockaddr or len(run) == 64:
                    break
                run.append(datagram)
            sent = self._send_now(run, sockaddr)
            for _ in range(sent):
                queue.popleft()
            if sent < len(run):
                return
        self._loop.remove_writer(self._socket)

    def close(self) -> None:
        """Stop receiving and release the port."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()


def _bind_advice(host: str, port: int, error: OSError) -> str:
    where = f"UDP {host} port {port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where} is taken by another program; choose another with [tunnels] port, or 0 for any free one"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{where}: this machine does not have that address; correct [tunnels] bind"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{where} needs more rights; choose a port above 1023 with [tunnels] port"
    return f"{where} cannot be bound: {error.strerror}; see [tunnels] bind and port"


class UdpTransport:
    """The UDP sockets of an endpoint: one per family, on one port where possible."""

    def __init__(self, on_datagrams: Callable[[Batch], None]) -> None:
        self._on_datagrams = on_datagrams
        self._sockets: list[UdpSocket] = []

    def bind(self, hosts: Sequence[str], port: int) -> None:
        """Bind each host; with port 0 a free one that suits all of them where possible. ConfigurationError."""
        if len({":" in host for host in hosts}) != len(hosts):
            raise ConfigurationError(f"[tunnels] bind takes one address per family, not {', '.join(hosts)}")
        try:
            for host in sorted(hosts, key=lambda host: ":" in host):
                self._bind_one(host, port)
        except ConfigurationError:
            self.close()
            raise

    def _bind_one(self, host: str, port: int) -> None:
        first = self._sockets[0].address.port if self._sockets else None
        try:
            self._sockets.append(UdpSocket(host, first or port, self._on_datagrams))
        except ConfigurationError as error:
            if first is None:
                raise
            reason = error.__cause__.errno if isinstance(error.__cause__, OSError) else None
            if host == "::" and reason in _NO_IPV6:
                return  # it is the default, and a machine without IPv6 does without it
            if port or reason != errno.EADDRINUSE:
                raise
            self._sockets.append(UdpSocket(host, 0, self._on_datagrams))  # any port will do

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The bound addresses with their real ports."""
        return tuple(sock.address for sock in self._sockets)

    def send(self, datagrams: list[bytes], address: Address) -> None:
        """Send to an address by the socket of its family; dropped where there is none."""
        family = socket.AF_INET6 if address.ip.version == 6 else socket.AF_INET
        for sock in self._sockets:
            if sock.family == family:
                sock.send(datagrams, address)
                return

    def close(self) -> None:
        """Close the sockets."""
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()
