"""Whether to answer a stranger's first packet: bounds on unproven connections, and when to ask for a token. Sans-IO.

Handshakes whose client echoed a token are counted apart from the others: sources can be forged only without one,
so forged packets use up nothing that a real client needs, they only make it come again with a token.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum
from ipaddress import IPv4Address, IPv6Address

from tunnels import limits
from tunnels.identity import EndpointId

Origin = IPv4Address | IPv6Address | EndpointId
"""Where a first packet came from: an ip, or the endpoint a relay says it is from."""


class Admission(Enum):
    """What to do with a first packet."""

    ACCEPT = "accept"
    """Begin a handshake."""
    RETRY = "retry"
    """Ask the client to prove its address first; nothing is remembered."""
    DROP = "drop"
    """Too many already; the client will try again."""


class HandshakeTable:
    """Counts connections whose client has not proved its id: those of any source, and those per proved source."""

    __slots__ = ("_per_source", "_relayed", "proved", "unproved")

    def __init__(self) -> None:
        self._per_source: Counter[int | EndpointId] = Counter()
        self._relayed = 0
        self.proved = 0
        self.unproved = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.proved + self.unproved

    def admit(self, origin: Origin, *, address_proved: bool) -> Admission:
        """Decide about a first packet from `origin`, whose sender may have echoed our token."""
        if not address_proved:
            return Admission.ACCEPT if self.unproved < limits.RETRY_ABOVE else Admission.RETRY
        full = self._per_source[_source(origin)] >= limits.MAX_HANDSHAKES_PER_ADDRESS
        if isinstance(origin, EndpointId):
            full |= self._relayed >= limits.MAX_HANDSHAKES_RELAYED
        return Admission.DROP if full or self.proved >= limits.MAX_HANDSHAKES else Admission.ACCEPT

    def begin(self, origin: Origin, *, address_proved: bool) -> None:
        """A handshake began."""
        if address_proved:
            self._per_source[_source(origin)] += 1
            self._relayed += isinstance(origin, EndpointId)
            self.proved += 1
        else:
            self.unproved += 1

    def end(self, origin: Origin, *, address_proved: bool) -> None:
        """A handshake that had begun was proved, or is over."""
        if not address_proved:
            self.unproved -= 1
            return
        source = _source(origin)
        self._per_source[source] -= 1
        if self._per_source[source] <= 0:
            del self._per_source[source]
        self._relayed -= isinstance(origin, EndpointId)
        self.proved -= 1


def _source(origin: Origin) -> int | EndpointId:
    """What one attacker has one of: an IPv4 address, or an IPv6 /64 (kept apart by the bits of IPv6).

    Of endpoint ids it has as many as it likes, or its beacon says so: together they get a part of the room.
    """
    if isinstance(origin, IPv6Address):
        return int(origin) >> 64 | 1 << 64
    return int(origin) if isinstance(origin, IPv4Address) else origin
