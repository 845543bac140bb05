"""Everything that comes on a stream until its end, up to a bound. ⚡"""

from __future__ import annotations

import asyncio


class Collecting(asyncio.Protocol):
    """Collects; what is longer than the bound ends it at once, one chunk too long, which the reader will tell."""

    def __init__(self, early: bytes, limit: int) -> None:
        """`early` was read from the stream already."""
        loop = asyncio.get_running_loop()
        self.result: asyncio.Future[bytes] = loop.create_future()
        """What came; nothing if the stream was cut short."""
        self.lost: asyncio.Future[None] = loop.create_future()
        """Done once the stream is gone, and what we wrote on it with it."""
        self._data = bytearray(early)
        self._limit = limit

    def data_received(self, data: bytes) -> None:
        if len(self._data) <= self._limit:
            self._data += data
        else:
            self._done()

    def eof_received(self) -> bool:
        self._done()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._data.clear()  # cut short; nothing that is asked for is empty
        self._done()
        if not self.lost.done():
            self.lost.set_result(None)

    def _done(self) -> None:
        if not self.result.done():
            self.result.set_result(bytes(self._data))
