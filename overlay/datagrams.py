"""Datagrams to a service or from a caller: unordered, unreliable, each whole or not at all."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Self

from gateway.flows.framing import Deframer, FramingError, frame
from gateway.limits import DATAGRAM_BYTES
from overlay.errors import Closed, InvalidRequest, OverlayError, StreamCut, translated
from overlay.limits import DATAGRAMS_WAITING, DATAGRAMS_WAITING_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from overlay.attaching import Gateway, Peer, Reader, Writer


class Datagrams:
    """Datagrams with one endpoint. `async for data in datagrams` receives until the end."""

    max_size: Final = DATAGRAM_BYTES
    """The largest that can be sent, as with UDP over IPv4. Those above about 1200 bytes go in order and reliably, so slower."""

    def __init__(self, gateway: Gateway, token: str, peer: Peer, reader: Reader, writer: Writer) -> None:
        """Made by `Endpoint.datagrams` and `Endpoint.listen_datagrams`."""
        self.peer = peer
        self.dropped = 0
        """How many that came were dropped, because they were not received in time."""
        self._gateway, self._token = gateway, token
        self._reader, self._writer = reader, writer
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._news = asyncio.Event()
        self._error: Exception | None = None
        self._collecting = asyncio.get_running_loop().create_task(self._collect())

    def __repr__(self) -> str:
        return f"<Datagrams with {self.peer.name}, {len(self._waiting)} waiting, {self.dropped} dropped>"

    async def send(self, data: bytes) -> None:
        """Send one; InvalidRequest if it is larger than `max_size`, ConnectionError after the end.

        Waits only for the gateway on this machine. Whether it arrives nobody knows.
        """
        if len(data) > self.max_size:
            raise InvalidRequest(
                f"{len(data)} bytes are more than a datagram holds ({self.max_size}); use a stream"
            )
        if self._error is not None or self._writer.is_closing():
            raise self._error or Closed("the datagrams were closed")
        self._writer.write(frame(data))
        await self._writer.drain()

    async def recv(self) -> bytes:
        """The next one; Closed after `close`, StreamCut when the other side refuses or is gone."""
        while not self._waiting:
            if self._error is not None:
                raise self._error
            self._news.clear()
            await self._news.wait()
        data = self._waiting.popleft()
        self._waiting_bytes -= len(data)
        return data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            try:
                data = await self.recv()
            except Closed:
                return
            yield data

    def close(self) -> None:
        """End it; idempotent."""
        self._fail(Closed("the datagrams were closed"))
        self._collecting.cancel()
        self._writer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        self._news.set()

    async def _collect(self) -> None:
        deframer = Deframer()
        try:
            with translated():
                while data := await self._reader.read(65536):
                    for datagram in deframer.feed(data):
                        self._keep(datagram)
                ending = await self._gateway.ending(self._token)
        except (OSError, OverlayError, FramingError) as error:
            self._fail(StreamCut(f"the datagrams ended: {error}"))
            return
        if ending.state == "cut":
            self._fail(StreamCut(f"the datagrams ended: {ending.reason}"))
        else:
            self._fail(Closed("the other side closed"))

    def _keep(self, datagram: bytes) -> None:
        if (
            len(self._waiting) >= DATAGRAMS_WAITING
            or self._waiting_bytes + len(datagram) > DATAGRAMS_WAITING_BYTES
        ):
            self.dropped += 1
            return
        self._waiting.append(datagram)
        self._waiting_bytes += len(datagram)
        self._news.set()
