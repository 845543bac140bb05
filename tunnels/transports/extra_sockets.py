"""UDP sockets beside the tunnels' own, for NATs that let a peer in at one of many ports only."""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tunnels import limits
from tunnels.addresses import SocketAddress
from tunnels.errors import ConfigurationError
from tunnels.transports.udp import UdpSocket, source_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunnels.addresses import Address

    BurstHandler = Callable[[bytes, int, SocketAddress], None]
    """Takes datagrams one behind the other, the size of each (the last may be shorter), and where they came from."""


class ExtraSockets:
    """Sockets with numbers, each number given once; at most `limits.EXTRA_SOCKETS` at a time."""

    def __init__(self, on_burst: BurstHandler) -> None:
        self._on_burst = on_burst
        self._sockets: dict[int, UdpSocket] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._sockets)

    def open(self, host: str) -> int | None:
        """The number of a new socket on that address, at any port; None if there can be no more."""
        if len(self._sockets) >= limits.EXTRA_SOCKETS:
            return None
        number = self._last + 1
        try:
            self._sockets[number] = UdpSocket(host, 0, lambda *came: self._burst(number, *came))
        except ConfigurationError:  # no descriptor is left, or no port; an attempt does with fewer
            return None
        self._last = number
        return number

    def port_of(self, number: int) -> int:
        """Where it is bound on this machine; 0 if it is closed."""
        sock = self._sockets.get(number)
        return 0 if sock is None else sock.address.port

    def send(self, datagrams: list[bytes], address: SocketAddress) -> bool:
        """As the tunnels' own socket does; they are lost where the socket is closed."""
        sock = self._sockets.get(address.socket)
        return sock is None or sock.send(datagrams, address.peer)

    def send_one(self, number: int, datagram: bytes, to: Address, ttl: int | None = None) -> None:
        """One datagram that may pass so many routers; lost where the socket is closed."""
        sock = self._sockets.get(number)
        if sock is not None and (sock.family == socket.AF_INET6) == (to.ip.version == 6):
            sock.send_one(datagram, to, ttl)

    def close(self, number: int) -> None:
        """Release its port."""
        sock = self._sockets.pop(number, None)
        if sock is not None:
            sock.close()

    def close_all(self) -> None:
        """Release all of them."""
        for number in tuple(self._sockets):
            self.close(number)

    def _burst(self, number: int, burst: bytes, segment: int, source: Any) -> None:  # noqa: ANN401 - a sockaddr
        peer = source_address(source)
        if peer is not None and number in self._sockets:
            self._on_burst(burst, segment, _address(number, peer))


@lru_cache(maxsize=1024)
def _address(number: int, peer: Address) -> SocketAddress:
    return SocketAddress(number, peer)
