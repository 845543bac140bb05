"""One client of the proxy: its first byte, its SOCKS machine or its HTTP connection, its splice."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Protocol

from gateway.dialing import DialError, OpenedStream
from gateway.http.connection import HttpConnection
from gateway.http.exchange import Forwarding
from gateway.http.lingering import Lingering
from gateway.http.problems import HttpError, Problem, plain_answer
from gateway.limits import LINGER_SECONDS
from gateway.proxy import pages, replies, socks4, socks5
from gateway.proxy.detection import Speech, detect
from gateway.proxy.http_requests import JUNK, NO_TLS, plan_request
from gateway.proxy.requests import AssociateRequest, ConnectRequest, Rejected
from gateway.proxy.socks4 import Socks4
from gateway.proxy.socks5 import Socks5
from gateway.proxy.udp_associate import UdpAssociation
from gateway.splice import as_transport, reset, splice

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from gateway.http.heads import RequestHead
    from gateway.http.plans import Forward, Place, Tunnel
    from gateway.proxy.listener import ProxySettings
    from gateway.proxy.udp_associate import Spawn

_FULL = "The proxy has as many clients as it may have."
_BUSY = Problem(
    503,
    "Too busy",
    _FULL,
    "Try again in a moment.",
    (("Retry-After", "5"),),
)


class House(Protocol):
    """What a client needs of the listener it came through."""

    settings: ProxySettings
    spawn: Spawn
    handshake_seconds: float

    def admit(self, client: Client, transport: asyncio.Transport) -> bool: ...
    def shook_hands(self, client: Client) -> None: ...
    def left(self, client: Client) -> None: ...
    def may_associate(self) -> bool: ...
    def associated(self, association: UdpAssociation) -> None: ...
    def dissociated(self, association: UdpAssociation) -> None: ...


class Client(asyncio.Protocol):
    """One client, from its connection to its end."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._socks: Socks4 | Socks5 | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._lost = self._loop.create_future()
        self._gone = asyncio.Event()

    def abort(self) -> None:
        """Reset the connection and end what is done for it."""
        if self._task is not None:
            self._task.cancel()
        reset(self._transport)

    async def wait_closed(self) -> None:
        """Return when the connection and its task have ended."""
        await self._gone.wait()

    # asyncio's callbacks, until a splice or an HTTP connection takes over

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = as_transport(transport)
        if self._house.admit(self, self._transport):
            self._timer = self._loop.call_later(self._house.handshake_seconds, self._too_slow)
        else:
            self._gone.set()

    def data_received(self, data: bytes) -> None:
        """Part of a first request, or bytes on the TCP connection of a UDP association, which mean nothing."""
        if self._task is not None:
            return
        if self._socks is None:
            credentials = self._house.settings.credentials
            match detect(data[0]):
                case Speech.SOCKS5:
                    self._socks = Socks5(credentials)
                case Speech.SOCKS4:
                    self._socks = Socks4(credentials)
                case Speech.HTTP:
                    self._transport.pause_reading()
                    self._run(self._serve_http(data), "http client")
                    return
                case Speech.TLS:
                    self._turn_away(plain_answer(NO_TLS))
                    return
                case Speech.JUNK:
                    self._turn_away(plain_answer(JUNK))
                    return
        self._continue_socks(self._socks, data)

    def eof_received(self) -> bool:
        """The client ended before its request was complete, or its UDP association."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._cancel_timer()
        if not self._lost.done():
            self._lost.set_result(None)
        if self._task is None:
            self._leave()

    # SOCKS

    def _continue_socks(self, machine: Socks4 | Socks5, data: bytes) -> None:
        events = machine.receive_data(data)
        if answer := machine.data_to_send():
            self._transport.write(answer)
        for event in events:
            match event:
                case Rejected(answer):
                    self._turn_away(answer)
                case ConnectRequest(host, port):
                    self._house.shook_hands(self)
                    self._transport.pause_reading()  # what follows, its end included, is for the splice
                    self._run(self._serve_stream(event, machine), f"proxy to {host}:{port}")
                case AssociateRequest():
                    self._house.shook_hands(self)
                    self._run(self._serve_datagrams(event.user), "udp association")

    async def _serve_stream(self, request: ConnectRequest, machine: Socks4 | Socks5) -> None:
        is_socks5 = isinstance(machine, Socks5)
        try:
            opened = await self._house.settings.dialer.open_stream(
                request.host, request.port, user=request.user
            )
        except DialError as error:
            await self._end_with(replies.socks5_reply(error) if is_socks5 else replies.socks4_reply(error))
            return
        if self._lost.done() or self._transport.is_closing():
            reset(opened.transport)
            return
        granted = socks5.reply(socks5.Reply.SUCCEEDED) if is_socks5 else socks4.reply(socks4.Reply.GRANTED)
        self._transport.write(granted)
        await splice(self._transport, opened.transport, from_first=machine.trailing, from_second=opened.early)

    async def _serve_datagrams(self, user: str | None) -> None:
        if not self._house.may_associate():
            await self._end_with(socks5.reply(socks5.Reply.GENERAL_FAILURE))
            return
        local, peer = self._transport.get_extra_info("sockname"), self._transport.get_extra_info("peername")
        try:
            association = await UdpAssociation.open(
                local[0], peer[0], self._house.settings.dialer, self._house.spawn, user=user
            )
        except OSError:
            await self._end_with(socks5.reply(socks5.Reply.GENERAL_FAILURE))
            return
        self._house.associated(association)
        try:
            self._transport.write(socks5.reply(socks5.Reply.SUCCEEDED, *association.address))
            await asyncio.shield(self._lost)
        finally:
            association.close()
            self._house.dissociated(association)

    # HTTP

    async def _serve_http(self, early: bytes) -> None:
        machine = Forwarding(self._plan, pages.answer)
        connection = HttpConnection(
            self._transport, machine, self._open, head_seconds=self._house.handshake_seconds
        )
        await connection.run(early=early)

    def _plan(self, head: RequestHead) -> Forward | Tunnel:
        self._house.shook_hands(self)
        return plan_request(head, self._house.settings.credentials)

    async def _open(self, place: Place) -> OpenedStream:
        try:
            return await self._house.settings.dialer.open_stream(place.host, place.port, user=place.user)
        except DialError as error:
            raise HttpError(replies.http_problem(error, place.host)) from None

    # Endings

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Go on in a task; the client has left when it ends, however it ends."""
        self._cancel_timer()
        self._task = self._house.spawn(work, name)
        self._task.add_done_callback(lambda _: self._leave())

    def _turn_away(self, answer: bytes) -> None:
        self._house.shook_hands(self)
        self._run(self._end_with(answer), "refusal")

    async def _end_with(self, answer: bytes) -> None:
        """Send the last words and wait until the client has gone."""
        if not self._lost.done() and not self._transport.is_closing():
            self._transport.write(answer)
            gone = asyncio.Event()
            Lingering(self._transport, gone.set)
            await gone.wait()

    def _too_slow(self) -> None:
        reset(self._transport)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _leave(self) -> None:
        reset(self._transport)  # in case the task was cancelled early, or crashed
        self._house.left(self)
        self._gone.set()


class Refusal(asyncio.Protocol):
    """A client beyond the cap: it is told so in its own protocol, briefly."""

    def __init__(
        self, transport: asyncio.Transport, on_closed: Callable[[Refusal], None], why: str = ""
    ) -> None:
        """`why` is told where the client's protocol has words for it."""
        self._problem = dataclasses.replace(_BUSY, why=why or _FULL)
        self._transport = transport
        self._on_closed = on_closed
        self._timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, self.abort)
        transport.set_protocol(self)

    def abort(self) -> None:
        """Reset the connection."""
        reset(self._transport)

    def data_received(self, data: bytes) -> None:
        """The first bytes tell which answer will be understood."""
        self._timer.cancel()
        match detect(data[0]):
            case Speech.SOCKS5:
                answer = socks5.refusal()
            case Speech.SOCKS4:
                answer = socks4.reply(socks4.Reply.FAILED)
            case _:
                answer = plain_answer(self._problem)
        self._transport.write(answer)
        Lingering(self._transport, lambda: self._on_closed(self))

    def connection_lost(self, exc: Exception | None) -> None:
        """It left without a word."""
        self._timer.cancel()
        self._on_closed(self)
