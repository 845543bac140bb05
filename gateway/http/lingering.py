"""Closing a connection so that the other side can read our last words.

A TCP socket closed with unread bytes sends a reset, which may overtake the answer already on its way. So we send
our end, go on reading for a moment, throw away what comes, and close then.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.limits import LINGER_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable


class Lingering(asyncio.Protocol):
    """Takes a connection over to end it; `on_closed` is called once it is gone."""

    def __init__(self, transport: asyncio.Transport, on_closed: Callable[[], None] | None = None) -> None:
        self._transport = transport
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(LINGER_SECONDS, self._close)
        transport.set_protocol(self)
        if transport.can_write_eof() and not transport.is_closing():
            try:
                transport.write_eof()
            except OSError:  # it has reset the connection, and asyncio has not noticed yet
                transport.abort()
        if not transport.is_closing():
            transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Too late to be of use."""

    def eof_received(self) -> bool:
        """The other side has ended too: nothing is left to wait for."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._timer.cancel()
        if self._on_closed is not None:
            self._on_closed()

    def _close(self) -> None:
        if self._transport.get_write_buffer_size() and not self._transport.is_closing():
            self._timer = self._loop.call_later(LINGER_SECONDS, self._close)  # a slow reader is still reading
        else:
            self._transport.close()
