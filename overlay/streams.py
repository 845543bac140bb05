"""Streams to services and from callers: a reader and a writer of asyncio's own, as one object, with who is at the other end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, cast

from gateway.programs.messages import Abort, EndingReport
from overlay.errors import translated

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Iterable, Iterator
    from types import TracebackType

    from overlay.attaching import Gateway, Peer, Reader, Writer


class Stream:
    """One stream. `reader, writer = stream` gives the two to whoever wants them, instead of it."""

    def __init__(self, gateway: Gateway, token: str, peer: Peer, reader: Reader, writer: Writer) -> None:
        """Made by `Endpoint.connect` and `Listener`."""
        self.peer = peer
        self.reader: asyncio.StreamReader = reader
        self._reader, self._writer = reader, writer
        self._gateway = gateway
        self._token = token
        reader.how_ended = self._how_ended
        writer.peer = peer
        self.writer: asyncio.StreamWriter = writer

    def __repr__(self) -> str:
        return f"<Stream with {self.peer.name}{' closing' if self.is_closing() else ''}>"

    def __iter__(self) -> Iterator[Any]:
        """The reader and the writer."""
        return iter((self.reader, self.writer))

    async def _how_ended(self) -> EndingReport:
        return await self._gateway.ending(self._token)

    # --- reading: as asyncio.StreamReader ---------------------------------------------------------------

    async def read(self, n: int = -1) -> bytes:
        """Up to `n` bytes, all until the end if it is -1; b"" at the end. StreamCut if there would have been more."""
        return await self.reader.read(n)

    async def readline(self) -> bytes:
        """A line with its end, or what is left."""
        return await self.reader.readline()

    async def readexactly(self, n: int) -> bytes:
        """Exactly `n` bytes; asyncio.IncompleteReadError if there are not as many."""
        return await self.reader.readexactly(n)

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        """All up to and with the separator; errors as asyncio has them."""
        return await self.reader.readuntil(separator)

    def at_eof(self) -> bool:
        """Whether all was read, and nothing more will come."""
        return self.reader.at_eof()

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Lines."""
        return self.reader.__aiter__()

    # --- writing: as asyncio.StreamWriter ---------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, without waiting; `drain` after it waits for room."""
        self.writer.write(data)

    def writelines(self, data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send several."""
        self.writer.writelines(data)

    async def drain(self) -> None:
        """Until there is room for more; ConnectionError if nothing can be sent any more."""
        await self.writer.drain()

    def write_eof(self) -> None:
        """Nothing more is sent, which the other side is told; what it sends can still be read."""
        self.writer.write_eof()

    def can_write_eof(self) -> bool:
        """True."""
        return self.writer.can_write_eof()

    def hand_over(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        """Give the stream to a protocol of asyncio's kind, such as a web server's, and do nothing more with it; the transport.

        What is cut off looks like an end to it, as in any TCP server.
        """
        reader, writer = self._reader, self._writer
        writer.has_handed_over = True
        transport = cast("asyncio.Transport", writer.transport)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if early := reader.take():
            protocol.data_received(early)
        transport.resume_reading()
        return transport

    # --- the end ----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Send what waits, then the end; nothing more is read."""
        self.writer.close()

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self.writer.is_closing()

    async def wait_closed(self) -> None:
        """Until it is closed here."""
        await self.writer.wait_closed()

    async def abort(self) -> None:
        """Cut it off, so that the other side knows that this was not all."""
        if not self.is_closing():
            with translated():
                await self._gateway.ask(Abort(stream=self._token), EndingReport)
        self.writer.transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as asyncio has it
        """`peer`, `peername`, and what a Unix socket knows."""
        return self.writer.get_extra_info(name, default)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it, or cut it off after an error."""
        if error is not None and not self.is_closing():
            await self.abort()
            return
        self.close()
        await self.wait_closed()
