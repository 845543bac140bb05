"""The sockets that a beacon dials back from: nothing is ever read from them, and nobody is told of them. ⚡"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunnels.addresses import Address

_LEAST_BUFFER = 1
"""Bytes; the kernel makes it its least. What is sent there is for nobody."""


class KnockingSockets:
    """One of each family that this machine has, at ports that the kernel picks."""

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}
        for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
            with contextlib.suppress(OSError):
                sock = socket.socket(family, socket.SOCK_DGRAM)
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LEAST_BUFFER)
                self._sockets[version] = sock

    def send(self, datagram: bytes, address: Address) -> bool:
        """Put it on the wire; False if that cannot be done."""
        sock = self._sockets.get(address.ip.version)
        if sock is None:
            return False
        try:
            sock.sendto(datagram, (str(address.ip), address.port))
        except OSError:  # no route there, or the buffer is full
            return False
        return True

    def close(self) -> None:
        """Idempotent."""
        for sock in self._sockets.values():
            sock.close()
