"""UDP sockets, one per address family, on one event loop; datagrams in bursts both ways.

On Linux one system call takes or gives up to 64 KB of datagrams of one size to or from one address: UDP_SEGMENT and
UDP_GRO (Linux 4.18 and 5.0, udp(7)). Elsewhere, or where the kernel refuses, each datagram has its own. Datagrams
are sent with the Don't Fragment bit, so that what is larger than the path carries is lost and not cut by routers
(RFC 8899 §3): which size a path carries is found out in `tunnels.paths.mtu`.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from tunnels import limits
from tunnels.addresses import Address
from tunnels.errors import ConfigurationError
from tunnels.transports.batches import LINUX, is_unsupported, run_end, send_run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tunnels.transports.batches import Sockaddr

    BurstHandler = Callable[[bytes, int, Any], None]
    """Takes what one read gave: datagrams one behind the other, the size of each of them (the last may be shorter),
    and their source as the socket module writes it."""

_UDP_GRO: Final = 104
_DONT_FRAGMENT: Final = {  # linux/in.h, linux/in6.h: IP_MTU_DISCOVER and its IPv6 twin, set to …_PMTUDISC_PROBE
    socket.AF_INET: (socket.IPPROTO_IP, 10, 3),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 23, 3),
}
_HOP_LIMIT: Final = {
    socket.AF_INET: (socket.IPPROTO_IP, socket.IP_TTL),
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS),
}
if hasattr(socket, "IPV6_HOPLIMIT"):  # what sendmsg(2) takes for IPv6 (RFC 3542 §6.3)
    _HOP_LIMIT[socket.AF_INET6] = (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(4) if hasattr(socket, "CMSG_SPACE") else 0


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


def _destination(address: Address) -> Sockaddr | None:
    """The address as the socket module takes it; None where its interface is not there."""
    ip = address.ip
    if ip.version == 4 or ip.scope_id is None:
        return address.sockaddr
    try:
        number = int(ip.scope_id) if ip.scope_id.isdigit() else socket.if_nametoindex(ip.scope_id)
    except OSError:
        return None
    return (str(ip).partition("%")[0], address.port, 0, number)


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


_TOO_LARGE: Final = frozenset({errno.EMSGSIZE, errno.EINVAL})


class UdpSocket:
    """One bound UDP socket on the running loop."""

    def __init__(self, host: str, port: int, on_burst: BurstHandler) -> None:
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
        self._on_burst = on_burst
        self._segments = limits.GSO_SEGMENTS if LINUX else 1
        if LINUX:
            self._socket.setsockopt(*_DONT_FRAGMENT[family])
            self._try_option(_UDP_GRO, 1)
        self._queue: deque[tuple[bytes, Sockaddr]] = deque()
        self.dropped = 0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._readable)

    def _try_option(self, option: int, value: int) -> None:
        try:
            self._socket.setsockopt(socket.IPPROTO_UDP, option, value)
        except OSError:  # an older kernel: one datagram for each system call
            return

    @property
    def buffer_bytes(self) -> tuple[int, int]:
        """What the kernel granted for receiving and for sending, of `limits.SOCKET_BUFFER` asked for."""
        receive, send = (
            self._socket.getsockopt(socket.SOL_SOCKET, option)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF)
        )
        return (
            (receive // 2, send // 2) if LINUX else (receive, send)
        )  # Linux tells twice the size, socket(7)

    def _readable(self) -> None:
        taken = 0
        for _ in range(limits.RECEIVE_READS_PER_TURN):
            try:
                if LINUX:
                    burst, ancillary, _, source = self._socket.recvmsg(
                        limits.RECEIVE_BUFFER, _ANCILLARY_BYTES
                    )
                    segment = int.from_bytes(ancillary[0][2], sys.byteorder) if ancillary else len(burst)
                else:
                    burst, source = self._socket.recvfrom(limits.RECEIVE_BUFFER)
                    segment = len(burst)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in _IGNORED:
                    raise
                continue
            if burst:
                self._on_burst(burst, segment, source)
                taken += len(burst)
                if taken >= limits.RECEIVE_BYTES_PER_TURN or self._socket.fileno() < 0:
                    return  # it is not for us alone, or what came had it closed

    def send(self, datagrams: list[bytes], address: Address) -> bool:
        """Put datagrams on the wire, or a bounded number in a queue while the kernel's buffer is full.

        False if one of them is larger than the interface carries; it and those after it are lost then.
        """
        sockaddr = _destination(address)
        if sockaddr is None:
            return True  # lost, as on any path that does not work
        if self._queue:
            self._wait(datagrams, sockaddr)
            return True
        sent, fits = self._send_now(datagrams, sockaddr)
        if sent < len(datagrams):
            self._loop.add_writer(self._socket, self._writable)
            self._wait(datagrams[sent:], sockaddr)
        return fits

    def send_one(self, datagram: bytes, address: Address, ttl: int | None = None) -> None:
        """Send one datagram now that may pass `ttl` routers, or as many as usual; lost if the kernel has no room for it."""
        sockaddr = _destination(address)
        if sockaddr is None:
            return
        try:
            if ttl is None:
                self._socket.sendto(datagram, sockaddr)
            else:
                level, option = _HOP_LIMIT[self.family]
                ancillary = [(level, option, ttl.to_bytes(4, sys.byteorder))]
                self._socket.sendmsg((datagram,), ancillary, 0, sockaddr)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            if error.errno not in _IGNORED:
                raise

    def _wait(self, datagrams: list[bytes], sockaddr: Sockaddr) -> None:
        room = limits.SEND_QUEUE_DATAGRAMS - len(self._queue)
        self.dropped += max(0, len(datagrams) - room)
        self._queue.extend((datagram, sockaddr) for datagram in datagrams[:room])

    def _send_now(self, datagrams: list[bytes], sockaddr: Sockaddr) -> tuple[int, bool]:
        """How many were taken or lost rather than refused for now, and whether none was too large."""
        start, count = 0, len(datagrams)
        while start < count:
            end = run_end(datagrams, start, self._segments)
            try:
                send_run(self._socket, datagrams[start:end], sockaddr)
            except (BlockingIOError, InterruptedError):
                return start, True
            except OSError as error:
                if end - start > 1 and is_unsupported(error):
                    # No segmentation on this device, or too large for it: one by one they tell which.
                    self._segments = 1
                    sent, fits = self._send_now(datagrams[start:], sockaddr)
                    if not fits:
                        self._segments = limits.GSO_SEGMENTS
                    return start + sent, fits
                if error.errno in _TOO_LARGE:
                    return count, False
                if error.errno not in _IGNORED:
                    raise
                return count, True  # lost, as on any path that does not work
            start = end
        return count, True

    def _writable(self) -> None:
        queue = self._queue
        while queue:
            sockaddr = queue[0][1]
            run: list[bytes] = []
            for datagram, destination in queue:
                if destination != sockaddr or len(run) == limits.GSO_SEGMENTS:
                    break
                run.append(datagram)
            sent, _ = self._send_now(run, sockaddr)
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


def buffer_advice(receive: int, send: int) -> str | None:
    """What to do when the kernel granted UDP sockets smaller buffers than asked for; None when it did not."""
    if min(receive, send) >= limits.SOCKET_BUFFER:
        return None
    wanted = limits.SOCKET_BUFFER
    return (
        f"the kernel grants UDP sockets {receive // 1024} KB for receiving and {send // 1024} KB for sending, of "
        f"{wanted // 1024} KB; on fast links packets may be dropped. As root: "
        f"sysctl -w net.core.rmem_max={wanted} net.core.wmem_max={wanted}"
    )


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

    def __init__(self, on_burst: BurstHandler) -> None:
        self._on_burst = on_burst
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
            self._sockets.append(UdpSocket(host, first or port, self._on_burst))
        except ConfigurationError as error:
            if first is None:
                raise
            reason = error.__cause__.errno if isinstance(error.__cause__, OSError) else None
            if host == "::" and reason in _NO_IPV6:
                return  # it is the default, and a machine without IPv6 does without it
            if port or reason != errno.EADDRINUSE:
                raise
            self._sockets.append(UdpSocket(host, 0, self._on_burst))  # any port will do

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The bound addresses with their real ports."""
        return tuple(sock.address for sock in self._sockets)

    @property
    def buffer_bytes(self) -> tuple[int, int]:
        """The smallest of the sockets' buffers, for receiving and for sending."""
        granted = [sock.buffer_bytes for sock in self._sockets]
        return min((receive for receive, _ in granted), default=0), min(
            (send for _, send in granted), default=0
        )

    def send(self, datagrams: list[bytes], address: Address) -> bool:
        """Send by the socket of the address's family, dropped where there is none; False if one is too large."""
        family = socket.AF_INET6 if address.ip.version == 6 else socket.AF_INET
        for sock in self._sockets:
            if sock.family == family:
                return sock.send(datagrams, address)
        return True

    def send_one(self, datagram: bytes, address: Address, ttl: int | None = None) -> None:
        """Send one datagram at once, as `UdpSocket.send_one` does; lost where there is no socket of the address's family."""
        family = socket.AF_INET6 if address.ip.version == 6 else socket.AF_INET
        for sock in self._sockets:
            if sock.family == family:
                sock.send_one(datagram, address, ttl)

    def close(self) -> None:
        """Close the sockets."""
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()
