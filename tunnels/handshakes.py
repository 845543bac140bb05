"""Whether to answer a stranger's first packet: bounds on unproven connections, and when to ask for a token. Sans-IO."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING

from tunnels import limits

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address


class Admission(Enum):
    """What to do with a first packet."""

    ACCEPT = "accept"
    """Begin a handshake."""
    RETRY = "retry"
    """Ask the client to prove its address first; nothing is remembered."""
    DROP = "drop"
    """Too many already; the client will try again."""


class HandshakeTable:
    """Counts connections whose client has not proved its id, in all and per ip."""

    __slots__ = ("_per_ip", "total")

    def __init__(self) -> None:
        self._per_ip: Counter[IPv4Address | IPv6Address] = Counter()
        self.total = 0

    def admit(self, ip: IPv4Address | IPv6Address, *, address_proved: bool) -> Admission:
        """Decide about a first packet from `ip`, whose sender may have echoed our token."""
        if self._per_ip[ip] >= limits.MAX_HANDSHAKES_PER_ADDRESS or self.total >= limits.MAX_HANDSHAKES:
            return Admission.DROP
        if self.total >= limits.RETRY_ABOVE and not address_proved:
            return Admission.RETRY
        return Admission.ACCEPT

    def begin(self, ip: IPv4Address | IPv6Address) -> None:
        """A handshake began."""
        self._per_ip[ip] += 1
        self.total += 1

    def end(self, ip: IPv4Address | IPv6Address) -> None:
        """A handshake that had begun was proved, or is over."""
        self._per_ip[ip] -= 1
        if self._per_ip[ip] <= 0:
            del self._per_ip[ip]
        self.total -= 1
