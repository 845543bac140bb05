"""Queries that are not for `.overlay`, passed on to upstream servers: only when configured, never by default.

Each query goes out with an id and from a port of its own, both unguessable, on a connected socket, and only a reply
with that id and the same question, letter by letter, is believed (RFC 5452). What cannot be had upstream is SERVFAIL.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final, cast

from resolver.limits import FORWARD_CONCURRENT, FORWARD_SECONDS, FORWARD_SERVERS
from resolver.messages import (
    ExtendedError,
    Query,
    Rcode,
    failure_reply,
    is_reply_to,
    is_truncated,
    rcode_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunnels.addresses import Address

_NO_ANSWER: Final = ExtendedError.NO_REACHABLE_AUTHORITY


class Forwarder:
    """Asks upstream servers, one after the other, and gives back what the first of them says."""

    def __init__(
        self,
        servers: tuple[Address, ...],
        *,
        seconds: float = FORWARD_SECONDS,
        new_id: Callable[[], int] = lambda: secrets.randbelow(65536),
    ) -> None:
        """`seconds` is how long one server may take."""
        if not 0 < len(servers) <= FORWARD_SERVERS:
            raise ValueError(f"{len(servers)} upstream DNS servers; name between 1 and {FORWARD_SERVERS}")
        self.servers = servers
        self._seconds = seconds
        self._new_id = new_id
        self._in_flight = 0

    def __repr__(self) -> str:
        return f"<Forwarder to {', '.join(map(str, self.servers))}, {self._in_flight} in flight>"

    async def forward(self, query: Query, data: bytes, *, over_tcp: bool) -> bytes:
        """The upstream reply to `data`, which was read as `query`, or SERVFAIL with the reason.

        A truncated reply is asked for again over TCP if our client can take the whole one, else handed on as it is.
        """
        if self._in_flight >= FORWARD_CONCURRENT:
            return failure_reply(query, "too many queries are waiting for upstream servers; ask again")
        self._in_flight += 1
        try:
            return await self._first_answer(query, data, over_tcp)
        finally:
            self._in_flight -= 1

    async def _first_answer(self, query: Query, data: bytes, over_tcp: bool) -> bytes:
        refusal = None
        for server in self.servers:
            asked = self._new_id().to_bytes(2) + data[2:]
            try:
                async with asyncio.timeout(self._seconds):
                    reply = await _ask_udp(server, asked)
                    if over_tcp and is_truncated(reply):
                        reply = await _ask_tcp(server, asked)
            except (OSError, EOFError):  # TimeoutError is an OSError
                continue
            reply = data[:2] + reply[2:]
            if rcode_of(reply) not in (Rcode.SERVFAIL, Rcode.REFUSED):
                return reply
            refusal = reply
        return refusal or failure_reply(
            query, f"no answer from {', '.join(map(str, self.servers))}", kind=_NO_ANSWER
        )


async def _ask_udp(server: Address, query: bytes) -> bytes:
    """The first reply from the server that fits the query; OSError if it cannot be reached."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: _UdpQuestion(query, loop.create_future()), remote_addr=server.sockaddr
    )
    try:
        return await protocol.reply
    finally:
        transport.close()


async def _ask_tcp(server: Address, query: bytes) -> bytes:
    """As `_ask_udp`; EOFError if the server ends the connection, OSError if the reply does not fit the query."""
    reader, writer = await asyncio.open_connection(*server.sockaddr)
    try:
        writer.write(len(query).to_bytes(2) + query)
        reply = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
    finally:
        writer.transport.abort()  # one question, one answer: nothing is left to be flushed
    if not is_reply_to(query, reply):
        raise OSError("the reply does not fit the query")
    return reply


class _UdpQuestion(asyncio.DatagramProtocol):
    """One query on a connected socket of its own, so that the system drops what others send."""

    def __init__(self, query: bytes, reply: asyncio.Future[bytes]) -> None:
        self._query = query
        self.reply = reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.DatagramTransport", transport).sendto(self._query)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not self.reply.done() and is_reply_to(self._query, data):
            self.reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(exc)
