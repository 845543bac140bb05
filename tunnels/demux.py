"""What a datagram on our one UDP socket is, told from its first byte (RFC 9443).

====================  ===========================================
first byte            protocol
====================  ===========================================
0-3                   STUN (RFC 8489)
32                    a fragment of a QUIC packet (`tunnels.paths.fragments`)
33, 34                a probe of the path's size, and its answer (`tunnels.paths.mtu`)
35                    a sealed check of the path (`tunnels.paths.checks`)
64-127                QUIC, short header
192-255               QUIC, long header (the fixed bit is set)
everything else       nothing of ours
====================  ===========================================

RFC 9443 gives 20 to 63 to DTLS, which is not spoken here.
"""

from __future__ import annotations

from enum import Enum

from tunnels.paths import checks, fragments, mtu


class DatagramKind(Enum):
    """Which room a datagram is for."""

    QUIC_SHORT = "quic-short"
    QUIC_LONG = "quic-long"
    FRAGMENT = "fragment"
    PROBE = "probe"
    PROBE_ANSWER = "probe-answer"
    CHECK = "check"
    STUN = "stun"
    UNKNOWN = "unknown"


_BY_FIRST_BYTE = {
    **dict.fromkeys(range(4), DatagramKind.STUN),
    fragments.FRAGMENT: DatagramKind.FRAGMENT,
    mtu.PROBE: DatagramKind.PROBE,
    mtu.ANSWER: DatagramKind.PROBE_ANSWER,
    checks.CHECK: DatagramKind.CHECK,
    **dict.fromkeys(range(64, 128), DatagramKind.QUIC_SHORT),
    **dict.fromkeys(range(192, 256), DatagramKind.QUIC_LONG),
}

KINDS = tuple(_BY_FIRST_BYTE.get(first, DatagramKind.UNKNOWN) for first in range(256))
"""The kind of a datagram by its first byte."""
