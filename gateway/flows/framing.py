"""Datagrams on a byte stream: each is two bytes of length, big-endian, and its payload. No I/O.

::

    +--------+--------+-----------------+
    |  length (2)     |  payload ...    |      at most 65507, the largest UDP payload over IPv4
    +--------+--------+-----------------+
"""

from __future__ import annotations

from gateway.errors import GatewayError
from gateway.limits import DATAGRAM_BYTES


class FramingError(GatewayError):
    """The peer announced a datagram that cannot be one; its flow ends."""


def frame(data: bytes) -> bytes:
    """One datagram as it goes on the stream; ValueError when no UDP datagram is this large."""
    if len(data) > DATAGRAM_BYTES:
        raise ValueError(f"{len(data)} bytes are more than a datagram holds ({DATAGRAM_BYTES})")
    return len(data).to_bytes(2) + data


class Deframer:
    """Cuts a stream into datagrams, however it arrives; holds less than one datagram."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The datagrams that are complete now; raises FramingError, after which it is of no more use."""
        buffer = self._buffer + data if self._buffer else data
        datagrams = []
        start = 0
        while len(buffer) - start >= 2:
            end = start + 2 + int.from_bytes(buffer[start : start + 2])
            if end - start - 2 > DATAGRAM_BYTES:
                raise FramingError(f"a datagram of {end - start - 2} bytes was announced; none is this large")
            if len(buffer) < end:
                break
            datagrams.append(buffer[start + 2 : end])
            start = end
        self._buffer = buffer[start:]
        return datagrams
