"""What a datagram on our one UDP socket is, told from its first byte (RFC 9443).

====================  ===========================================
first byte            protocol
====================  ===========================================
0-3                   STUN (RFC 8489)
64-127                QUIC, short header
192-255               QUIC, long header (the fixed bit is set)
everything else       nothing of ours
====================  ===========================================
"""

from __future__ import annotations

from enum import Enum


class DatagramKind(Enum):
    """Which room a datagram is for."""

    QUIC_SHORT = "quic-short"
    QUIC_LONG = "quic-long"
    STUN = "stun"
    UNKNOWN = "unknown"


_KINDS = tuple(
    DatagramKind.STUN
    if first < 4
    else DatagramKind.QUIC_LONG
    if first >= 192
    else DatagramKind.QUIC_SHORT
    if 64 <= first < 128
    else DatagramKind.UNKNOWN
    for first in range(256)
)


def classify(datagram: bytes) -> DatagramKind:
    """The kind of a datagram; an empty one is unknown."""
    return _KINDS[datagram[0]] if datagram else DatagramKind.UNKNOWN
