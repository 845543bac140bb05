"""The end of a flow that serves it: one UDP socket, connected to the target, for each flow.

Connected, so that only the target's replies come back and each flow has its own port for the target to tell it
by. An ICMP error means nothing here: UDP services come and go, and the flow outlives a restart.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

from gateway.flows.stream import FlowStream
from tunnels.transports.batches import BatchSocket

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.dialing import Flow
    from gateway.flows.keeper import FlowKeeper

_BATCHES_PER_TURN: Final = 2  # then other sockets have their turn


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
        self._batches = BatchSocket(sock)
        self._requests: list[bytes] = []  # for the target, at the end of this turn
        self._on_ended = on_ended
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._on_readable)

    def deliver(self, data: bytes) -> None:
        if not self._requests:
            self._loop.call_soon(self._send_requests)
        self._requests.append(data)

    def _send_requests(self) -> None:
        requests, self._requests = self._requests, []
        if not self.closed:
            self._batches.send(requests)

    def ended(self) -> None:
        self._loop.remove_reader(self._socket)
        self._batches.close()
        self._on_ended()

    def _on_readable(self) -> None:
        for _ in range(_BATCHES_PER_TURN):
            if self.closed:
                return
            try:
                batch = self._batches.receive()
            except OSError:  # an ICMP error; what a request was answered with, if anything, waits behind it
                continue
            if not batch:
                return
            for data, _ in batch:
                self.send(data)


class JoinedFlow(FlowStream):
    """Between a tunnel stream and a flow of another kind, which is `behind` it from the start."""

    behind: Flow

    def __init__(self, keeper: FlowKeeper, on_ended: Callable[[], None]) -> None:
        super().__init__(keeper)
        self._on_ended = on_ended

    def deliver(self, data: bytes) -> None:
        self.behind.send(data)

    def ended(self) -> None:
        self.behind.close()
        self._on_ended()
