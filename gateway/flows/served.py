"""The end of a flow that serves it: one UDP socket, connected to the target, for each flow.

Connected, so that only the target's replies come back and each flow has its own port for the target to tell it
by. An ICMP error means nothing here: UDP services come and go, and the flow outlives a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Final

from gateway.flows.stream import FlowStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.flows.keeper import FlowKeeper

_RECEIVE_BYTES: Final = 65536
_DATAGRAMS_PER_TURN: Final = 64  # then other sockets have their turn


async def connected_socket(host: str, port: int) -> socket.socket:
    """A UDP socket connected to `host:port`; raises OSError."""
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    family, kind, protocol, _, address = infos[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.connect(address)  # of UDP: fixes the peer, sends nothing
    except OSError:
        sock.close()
        raise
    return sock


class ServedFlow(FlowStream):
    """Between a tunnel stream and a target's socket; owns the socket."""

    def __init__(self, sock: socket.socket, keeper: FlowKeeper, on_ended: Callable[[], None]) -> None:
        super().__init__(keeper)
        self._socket = sock
        self._on_ended = on_ended
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._on_readable)

    def deliver(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # full, or too large for the target's network: dropped
            try:
                self._socket.send(data)
            except ConnectionRefusedError:  # the answer to an earlier one; this one was not sent
                self._socket.send(data)

    def ended(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self._on_ended()

    def _on_readable(self) -> None:
        for _ in range(_DATAGRAMS_PER_TURN):
            if self.closed:
                return
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except ConnectionRefusedError:
                continue
            except OSError:  # nothing more, or an error that the next send will meet as well
                return
            self.send(data)
