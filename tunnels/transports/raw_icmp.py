"""Raw sockets for the ICMP of `tunnels.nat.pwnat`: Linux only, and only for who may open them. ⚡"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from tunnels import limits
from tunnels.errors import ConfigurationError
from tunnels.nat.pwnat import TIME_EXCEEDED, message_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunnels.nat.pwnat import Ip

_FILTER: Final = {4: (255, 1), 6: (socket.IPPROTO_ICMPV6, 1)}
"""Level and name of ICMP_FILTER (raw(7)) and ICMP6_FILTER (RFC 3542 §3.2, as Linux numbers it)."""
_RECEIVE_BUFFER: Final = 16 * 1024
_PYTHON: Final = os.path.realpath(sys.executable)
"""What capabilities are given to."""


class RawIcmp:
    """One raw socket for one IP version, which hears nothing but "time exceeded"."""

    def __init__(self, version: int, received: Callable[[bytes, Ip], None]) -> None:
        """`received` takes a message and where it came from. ConfigurationError says what is in the way."""
        if sys.platform != "linux":
            raise ConfigurationError("it is made for Linux only")
        self.version = version
        self._received = received
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._socket = _open(version)
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def send(self, message: bytes, to: Ip, source: IPv6Address | None = None) -> bool:
        """Send it, from one of our IPv6 addresses if that matters; False if there is no way there now."""
        ancillary = []
        if source is not None:
            ancillary = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, source.packed + bytes(4))]
        address = (str(to), 0) if self.version == 4 else (str(to), 0, 0, 0)
        try:
            self._socket.sendmsg([message], ancillary, 0, address)
        except OSError:
            return False
        return True

    def _readable(self) -> None:
        """A flood is left to the kernel, which drops it: so many are looked at in each `limits.PWNAT_PAUSE`."""
        for _ in range(limits.PWNAT_READS):
            try:
                packet, source = self._socket.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError:
                continue  # an error of what was sent, such as an unreachable network
            ip = ip_address(source[0].partition("%")[0])
            self._received(message_in(packet, self.version), ip)
        self._loop.remove_reader(self._socket.fileno())
        self._pause = self._loop.call_later(limits.PWNAT_PAUSE, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def close(self) -> None:
        """Release the socket."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()


def _open(version: int) -> socket.socket:
    family, protocol = (
        (socket.AF_INET, socket.IPPROTO_ICMP) if version == 4 else (socket.AF_INET6, socket.IPPROTO_ICMPV6)
    )
    try:
        sock = socket.socket(family, socket.SOCK_RAW, protocol)
    except PermissionError:
        raise ConfigurationError(_advice()) from None
    except OSError as error:
        raise ConfigurationError(f"no raw socket for IPv{version} can be opened: {error.strerror}") from None
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        sock.setsockopt(*_FILTER[version], _all_but(TIME_EXCEEDED[version], version))
    except OSError as error:
        sock.close()
        raise ConfigurationError(
            f"the raw socket for IPv{version} cannot be set up: {error.strerror}"
        ) from None
    return sock


def _all_but(kind: int, version: int) -> bytes:
    """A filter that lets one type of message through: 32 or 256 bits, set for what is dropped."""
    words = [0xFFFFFFFF] * (1 if version == 4 else 8)
    words[kind >> 5] &= ~(1 << (kind & 31))
    return struct.pack(f"={len(words)}I", *words)


def _advice() -> str:
    """In one line what is missing, and how it is granted."""
    return (
        "it needs raw sockets (CAP_NET_RAW), which this process may not open; grant them with: "
        f"sudo setcap cap_net_raw+ep {_PYTHON} - or, under systemd, with "
        "AmbientCapabilities=CAP_NET_RAW in the unit"
    )
