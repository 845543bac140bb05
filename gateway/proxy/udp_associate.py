"""The shell of a SOCKS5 UDP association (RFC 1928 §7): one socket for one client, one Flow per destination.

Datagrams are taken only from the address of the client's TCP connection, and from the port that sent first. The
association ends with that TCP connection; `gateway.proxy.listener` closes it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from gateway.dialing import Dialer, DialError
from gateway.limits import UDP_FLOW_FAILED_SECONDS
from gateway.proxy import udp_header
from gateway.proxy.flow_table import Destination, Entry, FlowTable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


class UdpAssociation(asyncio.DatagramProtocol):
    """One association; `open` makes it, `close` ends it and all its flows."""

    def __init__(self, client_ip: str, dialer: Dialer, spawn: Spawn, *, user: str | None = None) -> None:
        self._user = user
        self._client_ip = client_ip
        self._client: tuple[str, int] | None = None
        self._dialer = dialer
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._table = FlowTable()
        self._opening: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None
        self._full = False
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def open(
        cls, bind_ip: str, client_ip: str, dialer: Dialer, spawn: Spawn, *, user: str | None = None
    ) -> UdpAssociation:
        """Bind a socket on `bind_ip`, any port; OSError when that is impossible."""
        _, association = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: cls(client_ip, dialer, spawn, user=user), local_addr=(bind_ip, 0)
        )
        return association

    @property
    def address(self) -> tuple[str, int]:
        """Where the client sends its datagrams."""
        assert self._transport is not None  # noqa: S101 - `open` returns after connection_made
        host, port = self._transport.get_extra_info("sockname")[:2]
        return host, port

    @property
    def flows(self) -> int:
        """How many destinations are open or opening."""
        return len(self._table)

    def close(self) -> None:
        """End the association; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._opening:
            task.cancel()
        for entry in self._table.clear():
            _close(entry)
        if self._transport is not None:
            self._transport.close()

    def __repr__(self) -> str:
        return f"<UdpAssociation of {self._client or self._client_ip}, {self.flows} flows>"

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is bound."""
        self._transport = cast("asyncio.DatagramTransport", transport)
        self._timer = self._loop.call_later(UDP_FLOW_FAILED_SECONDS, self._expire)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """A datagram from the client, or from somebody who is not."""
        client = addr[:2]
        if client[0] != self._client_ip or (self._client is not None and client != self._client):
            return
        request = udp_header.decode(data)
        if request is None:
            return
        self._client = client
        destination = request.host, request.port
        entry, opens, given_up = self._table.send(destination, request.data, self._loop.time())
        if given_up is not None:
            _close(given_up)
        if opens:
            task = self._spawn(self._open(destination, entry), f"udp flow to {request.host}:{request.port}")
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def error_received(self, exc: Exception) -> None:
        """An ICMP error: the client's socket is gone; its TCP connection will tell."""

    def pause_writing(self) -> None:
        """The kernel is full: answers are dropped until it is not."""
        self._full = True

    def resume_writing(self) -> None:
        """The kernel takes datagrams again."""
        self._full = False

    # Flows

    async def _open(self, destination: Destination, entry: Entry) -> None:
        answer_header = udp_header.header(*destination)

        def on_datagram(data: bytes) -> None:
            entry.used = self._loop.time()
            if self._client is not None and self._transport is not None and not self._full:
                self._transport.sendto(answer_header + data, self._client)

        def on_closed() -> None:
            self._table.forget(destination, entry)

        try:
            flow = await self._dialer.open_flow(*destination, on_datagram, on_closed, user=self._user)
        except DialError:
            self._table.failed(entry, self._loop.time())
            return
        if not self._table.opened(destination, entry, flow):
            flow.close()

    def _expire(self) -> None:
        for entry in self._table.expire(self._loop.time()):
            _close(entry)
        self._timer = self._loop.call_later(UDP_FLOW_FAILED_SECONDS, self._expire)


def _close(entry: Entry) -> None:
    if entry.flow is not None:
        entry.flow.close()
