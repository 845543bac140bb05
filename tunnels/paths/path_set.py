"""Which addresses a connection's datagrams go to. Sans-IO.

QUIC above sees one constant pseudo-address. Here are the real ones: until something came back, each datagram goes
to every candidate, so the first that works wins; afterwards to the one that was confirmed. A confirmed path that
fell silent gives way to a candidate that is heard. Only candidates are ever sent to: a datagram from elsewhere
moves nothing, because its source is not authenticated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunnels import limits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tunnels.addresses import PathAddress


class PathSet:
    """The candidate paths of one connection, and the confirmed one."""

    __slots__ = ("_candidates", "_heard_at", "confirmed")

    def __init__(self, candidates: Iterable[PathAddress], confirmed: PathAddress | None = None) -> None:
        """A client starts with candidates; a server with the address its client was heard at, confirmed."""
        self._candidates = tuple(dict.fromkeys(candidates))[: limits.MAX_CANDIDATES]
        self._heard_at = 0.0
        self.confirmed = confirmed

    def add_candidate(self, address: PathAddress) -> bool:
        """One more place the endpoint may be; False when the set is full."""
        if address in self._candidates:
            return True
        if len(self._candidates) >= limits.MAX_CANDIDATES:
            return False
        self._candidates = (*self._candidates, address)
        return True

    def heard(self, address: PathAddress, now: float) -> None:
        """A datagram of this connection came from `address`."""
        if address == self.confirmed:
            self._heard_at = now
        elif address in self._candidates and (
            self.confirmed is None or now - self._heard_at > limits.PATH_SILENT_AFTER
        ):
            self.confirmed = address
            self._heard_at = now

    def destinations(self) -> tuple[PathAddress, ...]:
        """Where a datagram goes now."""
        return self._candidates if self.confirmed is None else (self.confirmed,)
