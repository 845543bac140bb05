"""One accepted connection of a front door, from its first byte to its end: TLS if need be, then HTTP. ⚡"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

from gateway.dialing import DialError, OpenedStream
from gateway.http.connection import HttpConnection
from gateway.http.exchange import Forwarding
from gateway.http.problems import HttpError, Problem
from gateway.proxy import pages, replies
from gateway.secure.limits import DOOR_HANDSHAKE_SECONDS, DOOR_SHUTDOWN_SECONDS
from gateway.secure.requests import DOH_PLACE
from gateway.splice import Held

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from gateway.dialing import Dialer
    from gateway.http.plans import Place, Plan

    Join = Callable[[socket.socket], bool]
    """Takes the other end of a connection over, to answer DNS over HTTPS on it; False if nobody does here."""

_NO_DOH: Final = Problem(
    404, "There is no DNS over HTTPS here", "The DNS server of this gateway is off: `[dns] enabled`."
)


class HttpDoor:
    """Serves HTTP on sockets that are connected already."""

    def __init__(self, dialer: Dialer, doh: Join) -> None:
        """`dialer` opens services; `doh` answers DNS queries."""
        self._dialer = dialer
        self._doh = doh

    async def serve(self, sock: socket.socket, plan: Plan, tls: ssl.SSLContext | None = None) -> None:
        """Serve the client at the other end of `sock` until it is gone; cancelling resets it."""
        held = None
        try:
            held = await _take(sock, tls)
        except OSError:  # no TLS, or none that we understand, or none in time; ssl's errors are OSErrors
            return
        finally:
            if held is None:
                sock.close()
        machine = Forwarding(plan, pages.answer)
        await HttpConnection(held.transport, machine, self._open).run(early=held.early)

    async def _open(self, place: Place) -> OpenedStream:
        if place == DOH_PLACE:
            return await self._open_doh()
        try:
            return await self._dialer.open_stream(place.host, place.port, user=place.user)
        except DialError as error:
            raise HttpError(replies.http_problem(error, place.host)) from None

    async def _open_doh(self) -> OpenedStream:
        ours, theirs = socket_pair()
        if not self._doh(theirs):
            ours.close()
            theirs.close()
            raise HttpError(_NO_DOH)
        return await opened(ours)


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two sockets that are connected to each other."""
    first, second = socket.socketpair()
    first.setblocking(False)
    second.setblocking(False)
    return first, second


async def opened(sock: socket.socket) -> OpenedStream:
    """A stream on a connected socket."""
    held = await _take(sock, None)
    held.transport.pause_reading()
    return OpenedStream(held.transport, held.early)


async def _take(sock: socket.socket, tls: ssl.SSLContext | None) -> Held:
    """Hold a connected socket, as a server if there is to be TLS; OSError if that fails."""
    held = Held()  # what the loop returns beside it is, with uvloop and TLS, a layer below
    loop = asyncio.get_running_loop()
    if tls is None:
        await loop.connect_accepted_socket(lambda: held, sock)
    else:
        await loop.connect_accepted_socket(
            lambda: held,
            sock,
            ssl=tls,
            ssl_handshake_timeout=DOOR_HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=DOOR_SHUTDOWN_SECONDS,
        )
    return held
