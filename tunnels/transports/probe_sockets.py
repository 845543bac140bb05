"""A burst of probes on sockets that are there for it only.

Routers that let a probe die on the way are heard where the system tells of them without privileges, which is Linux.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from tunnels import limits
from tunnels.nat import limits as nat_limits
from tunnels.nat.trace import Trace
from tunnels.transports.udp import source_address

if TYPE_CHECKING:
    from tunnels.nat.nat64 import Nat64
    from tunnels.nat.probes import Burst, Probe
    from tunnels.nat.waiting import LifetimeProbe

    Measurement = Burst | Trace | LifetimeProbe

_HEARS_ROUTERS: Final = sys.platform == "linux"
_IP_RECVERR: Final = 11
_IPV6_RECVERR: Final = 25
_MSG_ERRQUEUE: Final = 0x2000
"""Of linux/in.h, linux/in6.h and linux/socket.h; Python has no names for the first two before 3.14."""
_EXTENDED_ERROR: Final = struct.Struct("=IBBBxII")
"""struct sock_extended_err of linux/errqueue.h: errno, origin, type, code, info, data; whom it is from follows."""
_DIED_ON_THE_WAY: Final = frozenset({(2, 11, 0), (3, 3, 0)})
"""Origin, type and code: ICMP's (RFC 792) and ICMPv6's (RFC 4443 §3.3)."""
_ANCILLARY: Final = 256


async def measure(burst: Measurement, nat64: Nat64 | None = None) -> None:
    """Let the burst send and receive until it is over; its sockets are closed when this returns or is cancelled.

    By `nat64`, servers of IPv4 are reached that are not reached otherwise.
    """
    if not burst.servers:
        return
    sockets = _Sockets(burst, nat64)
    try:
        await sockets.run()
    finally:
        sockets.close()


class _Sockets:
    """The sockets of one burst, each bound when it is first needed."""

    def __init__(self, burst: Measurement, nat64: Nat64 | None) -> None:
        self._burst = burst
        self._nat64 = nat64
        self._version = burst.servers[0].ip.version if nat64 is None else 6
        self._loop = asyncio.get_running_loop()
        self._sockets: dict[int, socket.socket] = {}
        self._came = asyncio.Event()

    async def run(self) -> None:
        burst = self._burst
        burst.start(time.monotonic())
        while not burst.is_over:
            for probe in burst.datagrams_to_send(time.monotonic()):
                self._send(probe)
            timer = burst.get_timer()
            if timer is None:
                return
            self._came.clear()
            wait = max(timer - time.monotonic(), limits.TIMER_RESOLUTION)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._came.wait()

    def close(self) -> None:
        for sock in self._sockets.values():
            self._loop.remove_reader(sock)
            sock.close()
        self._sockets.clear()

    def _send(self, probe: Probe) -> None:
        sock = self._sockets.get(probe.socket)
        to = probe.to if self._nat64 is None else self._nat64.outward(probe.to)
        if to is None:
            return
        try:
            if sock is None:
                sock = self._open(probe.socket)
            if probe.ttl is not None:
                self._set_ttl(sock, probe.ttl)
            try:
                sock.sendto(probe.datagram, to.sockaddr)
            finally:
                if probe.ttl is not None:
                    self._set_ttl(sock, -1)
        except OSError:  # no route, no permission, no room, or an ICMP error about an earlier one: it is lost
            return

    def _open(self, number: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if self._version == 6 else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            if self._version == 6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if _HEARS_ROUTERS and isinstance(self._burst, Trace):
                if self._version == 6:
                    sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
                else:
                    sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
            sock.bind(("::" if self._version == 6 else "0.0.0.0", 0))  # noqa: S104 - answers come by any interface
        except OSError:
            sock.close()
            raise
        self._burst.bound(number, sock.getsockname()[1])
        self._sockets[number] = sock
        self._loop.add_reader(sock, self._readable, number, sock)
        return sock

    def _set_ttl(self, sock: socket.socket, ttl: int) -> None:
        """-1 is the usual one."""
        if self._version == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)

    def _readable(self, number: int, sock: socket.socket) -> None:
        if _HEARS_ROUTERS and isinstance(self._burst, Trace):
            self._hear_routers(self._burst, number, sock)
        for _ in range(nat_limits.PROBE_DATAGRAMS):  # a flood is read in the next turns
            try:
                datagram, sockaddr = sock.recvfrom(nat_limits.STUN_MESSAGE)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error about what was sent
                continue
            source = source_address(sockaddr)
            if source is not None and self._nat64 is not None:
                source = self._nat64.inward(source)
            if source is not None and self._burst.receive(number, datagram, source, time.monotonic()):
                self._came.set()

    def _hear_routers(self, trace: Trace, number: int, sock: socket.socket) -> None:
        """What ICMP says of this socket's datagrams; the queue is emptied, or the loop would be called again at once."""
        for _ in range(nat_limits.PROBE_DATAGRAMS):
            try:
                _, ancillary, _, _ = sock.recvmsg(nat_limits.STUN_MESSAGE, _ANCILLARY, _MSG_ERRQUEUE)
            except OSError:  # there is no more
                return
            for _, _, data in ancillary:
                router = _router_of(data)
                if isinstance(router, IPv6Address) and self._nat64 is not None:
                    router = self._nat64.extract(router) or router
                if router is not None:
                    trace.hop_told(number, router, time.monotonic())
                    self._came.set()


def _router_of(error: bytes) -> IPv4Address | IPv6Address | None:
    """Who let a datagram die on the way; None if the error says something else."""
    if len(error) < _EXTENDED_ERROR.size:
        return None
    _, origin, kind, code, _, _ = _EXTENDED_ERROR.unpack_from(error)
    sockaddr = error[_EXTENDED_ERROR.size :]
    if (origin, kind, code) not in _DIED_ON_THE_WAY:
        return None
    if int.from_bytes(sockaddr[:2], sys.byteorder) == socket.AF_INET and len(sockaddr) >= 8:
        return IPv4Address(sockaddr[4:8])
    if int.from_bytes(sockaddr[:2], sys.byteorder) == socket.AF_INET6 and len(sockaddr) >= 24:
        return IPv6Address(sockaddr[8:24])
    return None
