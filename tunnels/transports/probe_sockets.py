"""A burst of probes on sockets that are there for it only."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.transports.udp import source_address

if TYPE_CHECKING:
    from tunnels.nat.probes import Burst, Probe


async def measure(burst: Burst) -> None:
    """Let the burst send and receive until it is over; its sockets are closed when this returns or is cancelled."""
    if not burst.servers:
        return
    sockets = _Sockets(burst)
    try:
        await sockets.run()
    finally:
        sockets.close()


class _Sockets:
    """The sockets of one burst, each bound when it is first needed."""

    def __init__(self, burst: Burst) -> None:
        self._burst = burst
        self._version = burst.servers[0].ip.version
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
        try:
            if sock is None:
                sock = self._open(probe.socket)
            if probe.ttl is not None:
                self._set_ttl(sock, probe.ttl)
            try:
                sock.sendto(probe.datagram, probe.to.sockaddr)
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
        for _ in range(limits.PROBE_DATAGRAMS):  # a flood is read in the next turns
            try:
                datagram, sockaddr = sock.recvfrom(limits.STUN_MESSAGE)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error about what was sent
                continue
            source = source_address(sockaddr)
            if source is not None and self._burst.receive(number, datagram, source, time.monotonic()):
                self._came.set()
