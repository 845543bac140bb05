"""Datagrams of programs: framed on their connection, which is a stream. What a program does not read in time is dropped. ⚡"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from gateway.dialing import DialError
from gateway.flows.dialed import DialedFlow
from gateway.flows.framing import Deframer, FramingError, frame
from gateway.limits import FLOW_EARLY_DATAGRAMS
from gateway.programs.limits import PROGRAM_DATAGRAM_BYTES, PROGRAM_FLOW_PAUSE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.dialing import Dialer, Flow
    from gateway.programs.ends import Ends
    from gateway.splice import Held

_logger = logging.getLogger(__name__)


class ProgramFlow(asyncio.Protocol):
    """The datagrams of one program on its connection; a `gateway.dialing.Flow` towards the program."""

    def __init__(
        self, held: Held, on_datagram: Callable[[bytes], None], on_closed: Callable[[], None]
    ) -> None:
        """`on_datagram` gets what the program sends; `on_closed` is called once, unless `close` was."""
        self._transport = held.transport
        self._deframer = Deframer()
        self._on_datagram = on_datagram
        self._on_closed = on_closed
        self._over = held.lost
        if held.lost:
            asyncio.get_running_loop().call_soon(on_closed)
            return
        self._transport.set_protocol(self)
        self.data_received(held.early)
        self._transport.resume_reading()

    def send(self, data: bytes) -> None:
        """One datagram for the program."""
        if self._over or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() <= PROGRAM_DATAGRAM_BYTES:
            self._transport.write(frame(data))

    def close(self) -> None:
        """The other side is done; idempotent."""
        self._over = True
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        try:
            datagrams = self._deframer.feed(data)
        except FramingError as error:
            _logger.info("a program's datagrams end: %s", error)
            self._transport.abort()
            return
        for datagram in datagrams:
            if not self._over:
                self._on_datagram(datagram)

    def eof_received(self) -> bool:
        return False  # datagrams know no half that is closed

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._over:
            self._over = True
            self._on_closed()


class DialedDatagrams:
    """A program's datagrams to a service: a flow that is opened again when it was idle for too long, as UDP has it."""

    def __init__(self, dialer: Dialer, host: str, port: int, ends: Ends, token: str) -> None:
        self._dialer, self._host, self._port = dialer, host, port
        self._ends, self._token = ends, token
        self._loop = asyncio.get_running_loop()
        self._flow: Flow | None = None
        self._program: ProgramFlow | None = None
        self._waiting: list[bytes] = []
        self._retry_at = 0.0
        self._wake = asyncio.Event()
        self._over = False

    async def open(self) -> None:
        """Open the flow; raises DialError."""
        flow = await self._dialer.open_flow(self._host, self._port, self._from_service, self._flow_closed)
        self._flow = flow
        if isinstance(flow, DialedFlow) and flow.closed:  # the answer was quick
            self._flow_closed()

    async def run(self, held: Held) -> None:
        """Carry datagrams until the program is done with it, or the service refuses it; once it is open."""
        self._program = ProgramFlow(held, self._from_program, self._finish)
        try:
            while not self._over:
                await self._wake.wait()
                self._wake.clear()
                if self._waiting and self._flow is None and not self._over:
                    await self._open_again()
        finally:
            if self._flow is not None:
                self._flow.close()
            self._ends.over(self._token, "ended")
            self._program.close()

    async def _open_again(self) -> None:
        try:
            await self.open()
        except DialError as error:
            self._ends.over(self._token, "cut", str(error))
            self._finish()
            return
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            if self._flow is not None:
                self._flow.send(data)

    def _from_service(self, data: bytes) -> None:
        if self._program is not None:
            self._program.send(data)

    def _from_program(self, data: bytes) -> None:
        if self._flow is not None:
            self._flow.send(data)
        elif len(self._waiting) < FLOW_EARLY_DATAGRAMS and self._loop.time() >= self._retry_at:
            self._waiting.append(data)
            self._wake.set()

    def _flow_closed(self) -> None:
        flow, self._flow = self._flow, None
        refusal = flow.refusal if isinstance(flow, DialedFlow) else None
        if refusal is not None:
            reason = refusal.reason or refusal.status.name.lower().replace("_", " ")
            self._ends.over(self._token, "cut", f"{self._host}: {reason}")
            self._finish()
        self._retry_at = self._loop.time() + PROGRAM_FLOW_PAUSE_SECONDS

    def _finish(self) -> None:
        self._over = True
        self._wake.set()
