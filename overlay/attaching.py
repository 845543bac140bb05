"""A program's connections to its gateway, on the event loop."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.control.errors import ErrorReply, error_of
from gateway.programs.client import HungUp, connecting_error
from gateway.programs.messages import Ending, EndingReport, read_line, write_request
from overlay.errors import OverlayError, StreamCut, translated
from overlay.limits import STREAM_BUFFER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from gateway.home import Home
    from gateway.programs.messages import Asked

T = TypeVar("T")


class Reader(asyncio.StreamReader):
    """A StreamReader that can tell the end of a stream from its being cut off, which a Unix socket cannot."""

    how_ended: Callable[[], Awaitable[EndingReport]] | None = None
    _asking: asyncio.Task[None] | None = None
    _buffer: bytearray  # asyncio's own

    def take(self) -> bytes:
        """What has come and nobody has read, for who reads the transport itself from now on."""
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def feed_eof(self) -> None:
        """The socket has ended: ask what that means, if there is a stream on it. Whoever waits for the line before it comes first."""
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._end())

    async def _end(self) -> None:
        if self.how_ended is not None:
            try:
                with translated():
                    report = await self.how_ended()
                if report.state == "cut":
                    self.set_exception(StreamCut(f"the stream was cut off: {report.reason}"))
            except OverlayError as error:
                self.set_exception(StreamCut(f"the stream was cut off: the gateway is gone ({error})"))
        super().feed_eof()


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, authenticated by its key."""

    id: str
    """Its endpoint id."""
    petname: str = ""
    """What it is called here; empty if it is no contact."""

    @property
    def name(self) -> str:
        """For people: its petname, else the beginning of its id."""
        return self.petname or f"{self.id[:8]}…"


class Writer(asyncio.StreamWriter):
    """A StreamWriter that knows who is at the other end."""

    peer: Peer | None = None
    has_handed_over = False
    """Whether the transport is somebody else's now."""

    def __del__(self, *about: Any) -> None:  # noqa: ANN401 - as asyncio has it
        if not self.has_handed_over and hasattr(asyncio.StreamWriter, "__del__"):
            super().__del__(*about)

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as asyncio has it
        """As asyncio's, and `peer` (a `Peer`); `peername` is the other's name under .overlay with port 0, as libraries expect it."""
        if self.peer is not None:
            if name == "peer":
                return self.peer
            if name == "peername":
                return (f"{self.peer.id}.overlay", 0)
        return super().get_extra_info(name, default)


class Gateway:
    """The gateway on one home, for as many connections as one likes. All may raise errors of `gateway`."""

    def __init__(self, home: Home, path: Path) -> None:
        """`path` is where the control socket is."""
        self.home = home
        self._path = os.fspath(path)

    async def attach(self, asked: Asked, kind: type[T]) -> tuple[T, Reader, Writer]:
        """Ask for something: the answer, and the connection that carries what was asked for."""
        loop = asyncio.get_running_loop()
        reader = Reader(limit=STREAM_BUFFER, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        try:
            transport, _ = await loop.create_unix_connection(lambda: protocol, self._path)
        except OSError as error:
            raise connecting_error(error, self.home, self._path) from None
        writer = Writer(transport, protocol, reader, loop)
        try:
            writer.write(write_request(asked))
            answer = await self.told(reader, kind)
        except BaseException:
            transport.abort()
            raise
        return answer, reader, writer

    async def told(self, reader: asyncio.StreamReader, kind: type[T]) -> T:
        """The next line of the gateway's; HungUp if there is none any more."""
        try:
            line = await reader.readuntil(b"\n")
        except (asyncio.IncompleteReadError, OSError):
            raise HungUp("the gateway hung up; see `overlay logs`") from None
        said = read_line(line[:-1], kind)
        if isinstance(said, ErrorReply):
            raise error_of(said)
        return said

    async def ending(self, stream: str) -> EndingReport:
        """How the other side of a stream ended."""
        return await self.ask(Ending(stream=stream), EndingReport)

    async def ask(self, asked: Asked, kind: type[T]) -> T:
        """Ask for an answer and nothing else."""
        answer, _, writer = await self.attach(asked, kind)
        writer.close()
        return answer
