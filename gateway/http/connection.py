"""The shell around `Forwarding`: two asyncio transports and what the machine asks to be done with them.

Bytes go from one transport's callback straight to the other transport, as in `gateway.splice`; a task is woken
only to open an upstream connection or to wait for a splice. A full buffer on one side pauses the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from typing import TYPE_CHECKING, Final

from gateway.dialing import OpenedStream
from gateway.http.authority import split_absolute
from gateway.http.exchange import Forwarding, Phase
from gateway.http.lingering import Lingering
from gateway.http.plans import CloseClient, Dial, DropUpstream, Forward, Join, Place, ResetClient
from gateway.http.problems import HttpError, Problem, bad_request, plain_answer
from gateway.limits import HTTP_IDLE_SECONDS, PROXY_HANDSHAKE_SECONDS, SPLICE_WRITE_BUFFER
from gateway.splice import Splice, reset

if TYPE_CHECKING:
    from gateway.http.heads import RequestHead
    from gateway.http.rewriting import HeaderRewrite

_TARGET: Final = Place("", 0)  # the one place of a connection whose upstream was given

Open = Callable[[Place], Awaitable[OpenedStream]]
"""Opens a place; raises HttpError with the answer for the client."""


class HttpConnection(asyncio.Protocol):
    """One client connection; `run` returns when it has ended."""

    def __init__(
        self,
        client: asyncio.Transport,
        machine: Forwarding,
        opener: Open | None,
        *,
        head_seconds: float = PROXY_HANDSHAKE_SECONDS,
    ) -> None:
        """`opener` is None for a machine whose upstream is fixed; a head may take `head_seconds` to arrive."""
        self._client = client
        self._machine = machine
        self._opener = opener
        self._loop = asyncio.get_running_loop()
        self._upstream: _Upstream | None = None
        self._client_full = False
        self._client_paused = False
        self._lost = False
        self._ended = asyncio.Event()
        self._dial: Dial | None = None
        self._patience: asyncio.Timeout | None = None
        self._splice: Splice | None = None
        self._wake = asyncio.Event()
        self._in_head = True
        self._head_seconds = head_seconds
        self._deadline = self._loop.time() + head_seconds
        self._timer = self._loop.call_later(head_seconds, self._tick)

    async def run(self, *, early: bytes = b"", upstream: asyncio.Transport | None = None) -> None:
        """Serve the client until its connection ends; `early` was already read from it. Cancelling resets it."""
        self._client.set_protocol(self)
        self._client.set_write_buffer_limits(high=SPLICE_WRITE_BUFFER)
        try:
            if self._client.is_closing():
                return
            if upstream is not None:
                self._attach(upstream)
            if early:
                self.data_received(early)
            if not self._client_paused and not self._client.is_closing():
                self._client.resume_reading()
            await self._work()
        finally:
            self._timer.cancel()
            self._drop_upstream(abruptly=True)
            reset(self._client)

    async def _work(self) -> None:
        """Open what the machine wants opened, until the end."""
        while not self._ended.is_set():
            await self._wake.wait()
            self._wake.clear()
            if self._splice is not None:
                await self._splice.wait_closed()
                return
            if self._dial is not None:
                dial, self._dial = self._dial, None
                await self._open(dial)

    async def _open(self, dial: Dial) -> None:
        assert self._opener is not None  # noqa: S101 - a machine with a fixed upstream never dials
        try:
            async with asyncio.timeout(None) as self._patience:
                opened = await self._opener(dial.place)
        except HttpError as error:
            self._machine.upstream_failed(error.problem)
        except TimeoutError:
            if not self._lost:
                raise
            return  # the client went away meanwhile
        else:
            self._attach(opened.transport)
            self._machine.upstream_opened(opened.early)
        finally:
            self._patience = None
        self._flush()

    def _attach(self, transport: asyncio.Transport) -> None:
        if self._lost:
            reset(transport)
            return
        upstream = self._upstream = _Upstream(self, transport)
        transport.set_protocol(upstream)
        transport.set_write_buffer_limits(high=SPLICE_WRITE_BUFFER)
        if transport.is_closing():  # gone already, and perhaps nobody will be told again
            self._loop.call_soon(lambda: self.upstream_ended(upstream, abruptly=True))
        self._adjust_upstream()

    # The client's transport

    def data_received(self, data: bytes) -> None:
        """The client sent bytes."""
        self._machine.receive_client(data)
        self._flush()

    def eof_received(self) -> bool:
        """The client sends no more; the machine decides whether it still gets an answer."""
        self._machine.client_ended()
        self._flush()
        return not self._client.is_closing() and self._client.can_write_eof()

    def pause_writing(self) -> None:
        """The client reads too slowly: stop what would be written to it."""
        self._client_full = True
        self._adjust_upstream()
        self._adjust_reading()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._client_full = False
        self._adjust_upstream()
        self._adjust_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, and so is the reason for its upstream."""
        self._lost = True
        self._drop_upstream(abruptly=True)
        if self._patience is not None:
            self._patience.reschedule(self._loop.time())
        self._finish()

    # The upstream transport

    def upstream_received(self, upstream: _Upstream, data: bytes) -> None:
        """The upstream sent bytes."""
        if upstream is self._upstream:
            self._machine.receive_upstream(data)
            self._flush()

    def upstream_ended(self, upstream: _Upstream, *, abruptly: bool) -> None:
        """The upstream sends no more, or is gone."""
        if upstream is self._upstream:
            self._upstream = None
            upstream.transport.close()
            self._machine.upstream_ended(reset=abruptly)
            self._flush()

    def upstream_full(self, upstream: _Upstream, full: bool) -> None:
        """The upstream reads too slowly, or has caught up."""
        upstream.full = full
        self._adjust_reading()

    # What the machine asks

    def _flush(self) -> None:
        machine = self._machine
        if self._upstream is not None and (data := machine.bytes_to_upstream()):
            self._upstream.transport.write(data)
        if (data := machine.bytes_to_client()) and not self._lost:
            self._client.write(data)
        for command in machine.commands():
            match command:
                case Dial():
                    self._dial = command
                    self._wake.set()
                case DropUpstream(abruptly):
                    self._drop_upstream(abruptly=abruptly)
                case CloseClient(linger):
                    self._close(linger=linger)
                case ResetClient():
                    reset(self._client)
                case Join(from_client, from_upstream):
                    self._join(from_client, from_upstream)
        self._adjust_reading()
        self._set_deadline()

    def _join(self, from_client: bytes, from_upstream: bytes) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is None or self._lost:
            self._close(linger=False)
            return
        self._timer.cancel()
        self._client_paused = True
        self._splice = Splice(
            self._client, upstream.transport, from_first=from_client, from_second=from_upstream
        )
        self._wake.set()

    def _close(self, *, linger: bool) -> None:
        if self._lost:
            return
        if linger:
            self._timer.cancel()
            Lingering(self._client, self._finish)
        else:
            self._client.close()

    def _drop_upstream(self, *, abruptly: bool) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is None:
            return
        if abruptly:
            reset(upstream.transport)
        else:
            upstream.transport.close()

    def _finish(self) -> None:
        self._ended.set()
        self._wake.set()

    # Reading and time

    def _adjust_reading(self) -> None:
        """Read from the client only what can be passed on or kept within bounds."""
        if self._splice is not None or self._lost or self._client.is_closing():
            return
        full = self._client_full or (self._upstream is not None and self._upstream.full)
        pause = full or not self._machine.client_may_send
        if pause != self._client_paused:
            self._client_paused = pause
            if pause:
                self._client.pause_reading()
            else:
                self._client.resume_reading()

    def _adjust_upstream(self) -> None:
        if self._upstream is None or self._upstream.transport.is_closing():
            return
        if self._client_full:
            self._upstream.transport.pause_reading()
        else:
            self._upstream.transport.resume_reading()

    def _set_deadline(self) -> None:
        if self._machine.phase is not Phase.IDLE:
            self._deadline, self._in_head = inf, False
        elif self._machine.in_head:
            if not self._in_head:  # from its first byte on, however slowly the others follow
                self._deadline, self._in_head = self._loop.time() + self._head_seconds, True
        elif self._deadline == inf:
            self._deadline = self._loop.time() + HTTP_IDLE_SECONDS

    def _tick(self) -> None:
        now = self._loop.time()
        if now >= self._deadline:
            self._machine.timed_out()
            self._flush()
        elif not self._lost:
            wait = min(self._deadline - now, self._head_seconds)
            self._timer = self._loop.call_later(max(wait, 0.01), self._tick)


class _Upstream(asyncio.Protocol):
    """The protocol on one upstream transport."""

    def __init__(self, connection: HttpConnection, transport: asyncio.Transport) -> None:
        self._connection = connection
        self.transport = transport
        self.full = False

    def data_received(self, data: bytes) -> None:
        self._connection.upstream_received(self, data)

    def eof_received(self) -> bool:
        self._connection.upstream_ended(self, abruptly=False)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.upstream_ended(self, abruptly=exc is not None)

    def pause_writing(self) -> None:
        self._connection.upstream_full(self, True)

    def resume_writing(self) -> None:
        self._connection.upstream_full(self, False)


async def forward_fixed(
    inbound: asyncio.Transport, target: asyncio.Transport, rewrite: HeaderRewrite, *, early: bytes = b""
) -> None:
    """Forward every request of `inbound` to the open `target`, rewritten; returns when both have ended.

    `early` was already read from `inbound`; both transports have reading paused. WebSocket upgrades become a
    splice. What is not HTTP is answered with 400. Cancelling resets both.
    """

    def plan(head: RequestHead) -> Forward:
        if head.method == b"CONNECT":
            raise bad_request("This is a web server, not a proxy.", status=501)
        absolute = split_absolute(head.target)
        if absolute is None:
            return Forward(_TARGET, head.target, rewrite)
        return Forward(_TARGET, absolute[2], rewrite, host=absolute[1])

    machine = Forwarding(plan, _plain, fixed=_TARGET)
    await HttpConnection(inbound, machine, None).run(early=early, upstream=target)


def _plain(problem: Problem, head: RequestHead | None, close: bool) -> bytes:
    return plain_answer(problem, close=close, head_only=head is not None and head.method == b"HEAD")
