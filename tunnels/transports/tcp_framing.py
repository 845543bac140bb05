"""Datagrams in a TCP connection, each behind its length in two bytes (RFC 4571 §2). Sans-IO.

::

     0        2
    +--------+- - - - - - - - - -+--------+- - - -
    | length | datagram          | length | ...
    +--------+- - - - - - - - - -+--------+- - - -

Until it is known that the other end is a peer of ours, it is a stranger that nobody asked: it may send a few checks
(`tunnels.paths.checks`), and nothing else.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING, Final

from tunnels import limits
from tunnels.errors import ProtocolViolation
from tunnels.paths.checks import CHECK

if TYPE_CHECKING:
    from collections.abc import Iterable

_LENGTH: Final = struct.Struct("!H")


class Inbox:
    """What comes: bytes in, datagrams out."""

    __slots__ = ("_left", "_rest", "is_proven")

    def __init__(self) -> None:
        self.is_proven = False
        """Whether the other end is a peer of ours; set by whoever knows."""
        self._rest = b""
        self._left = limits.TCP_UNPROVEN_BYTES

    @property
    def room(self) -> int:
        """Bytes that may be read at once now; 0 if a stranger said enough."""
        return limits.RECEIVE_BUFFER if self.is_proven else self._left

    def receive_data(self, data: bytes) -> list[bytes]:
        """The datagrams that are whole; ProtocolViolation for what no peer of ours sends."""
        if not self.is_proven:
            self._left -= len(data)
        data = self._rest + data
        datagrams, at, end = [], 0, len(data)
        while at + _LENGTH.size <= end:
            (size,) = _LENGTH.unpack_from(data, at)
            if not 0 < size <= limits.TCP_DATAGRAM:
                raise ProtocolViolation(f"a datagram of {size} bytes in a TCP connection")
            start = at + _LENGTH.size
            if not self.is_proven and start < end and data[start] != CHECK:
                raise ProtocolViolation("a TCP connection begins with a check")
            if start + size > end:
                break
            at = start + size
            datagrams.append(data[start:at])
        self._rest = data[at:]
        return datagrams


class Outbox:
    """What is to be sent: datagrams in, bytes out; path messages first, and a bounded amount of data."""

    __slots__ = ("_bytes", "_data", "_urgent", "dropped")

    def __init__(self) -> None:
        self._urgent: deque[bytes] = deque(maxlen=limits.TCP_URGENT)
        self._data: deque[bytes] = deque()
        self._bytes = 0  # of `_data`
        self.dropped = 0
        """Datagrams of data that were dropped because too many waited, or because they are too large."""

    def add(self, datagrams: Iterable[bytes], *, urgent: bool) -> None:
        """Put them in line; where it is full the oldest make room, as on any path."""
        for datagram in datagrams:
            if not 0 < len(datagram) <= limits.TCP_DATAGRAM:
                self.dropped += 1
            elif urgent:
                self._urgent.append(datagram)
            else:
                self._data.append(datagram)
                self._bytes += len(datagram)
        while self._bytes > limits.TCP_BUFFER:
            self._bytes -= len(self._data.popleft())
            self.dropped += 1

    def take(self) -> bytes:
        """What to write next, whole frames of no more than is soon written; empty if nothing waits."""
        parts: list[bytes] = []
        size = 0
        while self._urgent:
            parts += (_LENGTH.pack(len(self._urgent[0])), self._urgent.popleft())
        while self._data and size < limits.TCP_WRITE:
            datagram = self._data.popleft()
            parts += (_LENGTH.pack(len(datagram)), datagram)
            size += len(datagram)
        self._bytes -= size
        return b"".join(parts)

    def __bool__(self) -> bool:
        """Whether something waits."""
        return bool(self._urgent or self._data)
