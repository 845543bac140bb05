"""One WebSocket to a beacon: from the dial to its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any, Final, TypeVar

import aiohttp
from aiohttp import WSMsgType

from tunnels import limits
from tunnels.addresses import Address
from tunnels.errors import ProtocolViolation, TunnelClosed, Unreachable
from tunnels.relay import login
from tunnels.relay.client import Challenged, RelayClient, Welcomed, one_line
from tunnels.relay.frames import CONNECT_PATH, HEADER_BYTES, FrameKind, Refused, TurnPlease, encode_text
from tunnels.relay.liveness import Liveness
from tunnels.relay.outbox import Outbox
from tunnels.transports.pinned_tls import client_ssl
from tunnels.transports.web import explained

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from ipaddress import IPv4Address, IPv6Address

    from tunnels.addresses import BeaconUrl
    from tunnels.identity import EndpointId, SecretKey
    from tunnels.relay.client import RelayEvent
    from tunnels.relay.frames import (
        Claimed,
        Dialled,
        FromGateway,
        IsIn,
        Online,
        Plated,
        Receipt,
        TopicsKept,
        Turn,
        Welcome,
    )
    from tunnels.transports.web import Proxy

    Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
    Socket = aiohttp.ClientWebSocketResponse[Any]

_Answer = TypeVar("_Answer", bound="Online | Turn | Dialled | TopicsKept | IsIn | Plated | Claimed | Receipt")

_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", None)
_ENDS: Final = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR})


class BeaconConnection:
    """One connection; what is sent before it is up waits in its outbox."""

    def __init__(
        self,
        url: BeaconUrl,
        secret_key: SecretKey,
        *,
        session: aiohttp.ClientSession,
        proxy: Proxy | None,
        version: str,
        spawn: Spawn,
        on_event: Callable[[BeaconConnection, RelayEvent], None],
        at: str | None = None,
    ) -> None:
        """`at` is where it listens on this machine, if it is our own: `https://127.0.0.1:7443`."""
        self.url = url
        self._at = at
        self.beacon_id: EndpointId | None = None
        """Proved by the beacon; None before."""
        self.welcome: Welcome | None = None
        self.is_leaving = False
        """The beacon goes away soon."""
        self.was_replaced = False
        """The beacon said that another connection of our id took this one's place."""
        self.fell_silent = False
        """It ended without a sign of the beacon."""
        self.was_checked = False
        """The network changed since it is up."""
        self.is_wanted = True
        """False once we ended it ourselves."""
        self.awaits_turn = False
        """It was asked for TURN credentials; nobody tells us of a TURN server unasked."""
        self.turn_timer: asyncio.TimerHandle | None = None
        """When it is asked for them next."""
        self.bytes_sent = 0
        self.bytes_received = 0
        """Of binary frames."""
        self.task: asyncio.Task[None] | None = None
        self.used_at = 0.0
        """When something was last sent or received for a peer, on the loop's clock."""
        self.since = 0.0
        """When the beacon let us in, on the loop's clock."""
        self._client = RelayClient(secret_key, url, os.urandom(login.NONCE_BYTES), version)
        self._session = session
        self._proxy = proxy
        self._spawn = spawn
        self._on_event = on_event
        self._outbox = Outbox()
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._liveness = Liveness(self._loop.time())
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0  # uvloop's do not say, where they were due at once
        self._deadline: asyncio.Timeout | None = None
        self._end: str | None = None
        self.own_ip: IPv4Address | IPv6Address | None = None
        """The ip of this machine that it was made from."""
        self._ping = False
        self._pong: bytes | None = None
        self._asking = asyncio.Lock()
        self._answer: asyncio.Future[RelayEvent] | None = None
        self._answer_kind: type[object] = Refused

    @property
    def is_up(self) -> bool:
        """Whether the beacon let us in."""
        return self.welcome is not None

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be sent."""
        return not self._outbox

    # --- sending --------------------------------------------------------------------------------------------

    def send(self, endpoint_id: EndpointId, datagrams: Iterable[bytes], urgent: bool) -> None:
        """Put datagrams in line; they leave in the next turn of the event loop, or when the connection is up."""
        (self._outbox.add_urgent if urgent else self._outbox.add_data)(endpoint_id, datagrams)
        self.used_at = self._loop.time()
        self._wake.set()

    def send_message(self, endpoint_id: EndpointId, body: bytes, kind: FrameKind = FrameKind.MESSAGE) -> bool:
        """The same for a sealed message, or mail; False if it is too large."""
        fits = self._outbox.add_message(endpoint_id, body, kind)
        self.used_at = self._loop.time()
        self._wake.set()
        return fits

    def say(self, said: FromGateway) -> None:
        """A text frame."""
        self.awaits_turn |= isinstance(said, TurnPlease)
        self._outbox.add_text(encode_text(said))
        self._wake.set()

    async def ask(self, said: FromGateway, kind: type[_Answer]) -> _Answer:
        """Say something and wait for the answer to it; Unreachable if there is none, or it is a refusal."""
        async with self._asking:
            self._answer, self._answer_kind = self._loop.create_future(), kind
            self.say(said)
            try:
                async with asyncio.timeout(limits.BEACON_ANSWER):
                    answer = await self._answer
            except TimeoutError:
                raise Unreachable(f"the beacon {self.url.authority} does not answer") from None
            finally:
                self._answer = None
        if isinstance(answer, kind):
            return answer
        reason = answer.reason if isinstance(answer, Refused) else "it says nothing of use"
        raise Unreachable(f"the beacon {self.url.authority} refuses: {one_line(reason)}")

    def check(self) -> None:
        """The network changed: a ping now, and the end if it is not answered within a second."""
        self.was_checked = True
        self._liveness.suspect(self._loop.time())
        self._look()

    def release(self, why: str) -> None:
        """End it because it is not wanted any more."""
        self.is_wanted = False
        self.end(why)

    def end(self, why: str) -> None:
        """End it; `run` raises TunnelClosed with these words."""
        self._end = why
        if self._deadline is not None and not self._deadline.expired():
            self._deadline.reschedule(self._loop.time())

    # --- the connection's life --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, log in, and carry frames until the end, which is an exception that says why.

        Unreachable: it could not be had, or fell silent; TunnelClosed: one side closed it; WrongIdentity and
        ProtocolViolation: the beacon is another one, or none.
        """
        websocket: Socket | None = None
        writer: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(None) as self._deadline:
                if self._end is not None:
                    raise TunnelClosed(self._end)
                async with asyncio.timeout(limits.BEACON_LOGIN):
                    websocket = await self._connect()
                    await self._log_in(websocket)
                writer = self._spawn(self._write(websocket), f"beacon {self.url.authority} writer")
                self._look()
                await self._read(websocket)
        except TimeoutError:
            if self._end is not None:
                raise TunnelClosed(self._end) from None
            raise Unreachable(f"it does not answer within {limits.BEACON_LOGIN:.0f} s") from None
        except aiohttp.ClientError as error:
            raise explained(error, self.url) from error
        except OSError as error:
            raise Unreachable(str(error)) from error
        finally:
            for timer in (self._timer, self.turn_timer):
                if timer is not None:
                    timer.cancel()
            if writer is not None:
                writer.cancel()
            if self._answer is not None and not self._answer.done():
                self._answer.set_exception(Unreachable(f"the beacon {self.url.authority} went away"))
            if websocket is not None and not websocket.closed:
                # It may take a second, and whoever waits for the end of this connection looks for another one.
                self._spawn(_close(websocket), f"beacon {self.url.authority} close")

    async def _connect(self) -> Socket:
        is_tls = self.url.scheme == "https"
        context = await asyncio.to_thread(client_ssl, self.url) if is_tls else None
        proxy = self._proxy if is_tls and self._at is None else None
        websocket = await self._session.ws_connect(
            (self._at or self.url.origin) + CONNECT_PATH,
            ssl=True if context is None else context,
            proxy=None if proxy is None else proxy.url,
            proxy_headers=None if proxy is None else proxy.headers,
            autoping=False,
            max_msg_size=HEADER_BYTES + limits.RELAY_FRAME + 1,  # what is as large as this is refused
            timeout=aiohttp.ClientWSTimeout(ws_close=limits.BEACON_CLOSE),
        )
        self.own_ip = _ip_of(websocket.get_extra_info("sockname")) if self._at is None else None
        sock = websocket.get_extra_info("socket")
        if sock is not None and _NOTSENT_LOWAT is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, limits.RELAY_UNSENT)
        return websocket

    async def _log_in(self, websocket: Socket) -> None:
        while not self.is_up:
            event = self._take(await websocket.receive())
            if isinstance(event, Challenged):
                self._on_event(self, event)
                if self._end is not None:
                    raise TunnelClosed(self._end)
                await websocket.send_str(self._client.answer())
            elif isinstance(event, Welcomed):
                self.beacon_id, self.welcome = event.beacon_id, event.welcome
                self.since = self.used_at = self._loop.time()
                self._liveness.heard(self.since)
                self._on_event(self, event)

    async def _read(self, websocket: Socket) -> None:
        while True:
            event = self._take(await websocket.receive())
            if event is None:
                continue
            self._on_event(self, event)
            waiting = self._answer is not None and not self._answer.done()
            if self._answer is not None and waiting and isinstance(event, (self._answer_kind, Refused)):
                self._answer.set_result(event)

    def _take(self, message: aiohttp.WSMessage) -> RelayEvent | None:
        self._liveness.heard(self._loop.time())
        match message.type:
            case WSMsgType.BINARY:
                self.bytes_received += len(message.data)
                return self._client.receive_binary(message.data)
            case WSMsgType.TEXT:
                return self._client.receive_text(message.data)
            case WSMsgType.PING:
                self._pong = message.data
                self._wake.set()
            case WSMsgType.PONG:
                self._liveness.answered(self._loop.time())
            case _:
                pass
        if message.type in _ENDS:
            raise _ended(message)
        return None

    async def _write(self, websocket: Socket) -> None:
        try:
            while True:
                if self._ping:
                    self._ping = False
                    await websocket.ping()
                if self._pong is not None:
                    pong, self._pong = self._pong, None
                    await websocket.pong(pong)
                frame = self._outbox.take()
                if frame is None:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                self._liveness.sent(self._loop.time())
                self._arm()
                if isinstance(frame, str):
                    await websocket.send_str(frame)
                else:
                    self.bytes_sent += len(frame)
                    await websocket.send_bytes(frame)
        except (aiohttp.ClientError, OSError) as error:
            self.end(f"the connection broke: {error}")

    # --- signs of life ------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Look again in time; a timer that comes too early only looks."""
        when = self._liveness.get_timer()
        if self._timer is not None:
            if self._timer_due <= when:
                return
            self._timer.cancel()
        self._timer_due = when
        self._timer = self._loop.call_at(when, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self._look()

    def _look(self) -> None:
        now = self._loop.time()
        if self._liveness.is_dead(now):
            self.fell_silent = True
            self.end("it gives no sign of life")
            return
        if self._liveness.ask(now):
            self._ping = True
            self._wake.set()
        self._arm()


def _ip_of(sockname: tuple[Any, ...] | None) -> IPv4Address | IPv6Address | None:
    """The ip that a socket is bound to; None where it does not say, or where it is good on one interface only."""
    if sockname is None:
        return None
    ip = Address.of(str(sockname[0]).partition("%")[0], 1).ip
    return None if ip.is_link_local else ip


async def _close(websocket: Socket) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limits.BEACON_CLOSE):
            await websocket.close()


def _ended(message: aiohttp.WSMessage) -> Exception:
    if message.type is WSMsgType.ERROR:
        if isinstance(message.data, aiohttp.WebSocketError):
            return ProtocolViolation(f"the beacon sent what is no frame of ours: {message.data}")
        return TunnelClosed(f"the connection broke: {message.data}")
    words = one_line(str(message.extra)[:200]) if message.extra else ""
    return TunnelClosed(f"it closed the connection{f': {words}' if words else ''}")
