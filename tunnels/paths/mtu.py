"""Which size of datagram a path carries, found by probes of our own (RFC 8899, DPLPMTUD). Sans-IO.

It starts at what every path carries. All sizes of the ladder are tried in one flight; the largest that is answered is
used, and larger ones are tried again much later. While a larger size is in use it is confirmed now and then, so that a
path which has shrunk without a word ("black hole") is noticed, and it falls back at once when QUIC's own probes go
unanswered. A probe and its answer::

     0     1                    9           17
    +-----+--------------------+-----------+- - - - -        +-----+--------------------+-----------+
    | 21  | connection id (8)  | nonce (8) | zeros           | 22  | connection id (8)  | nonce (8) |
    +-----+--------------------+-----------+- - - - -        +-----+--------------------+-----------+

The connection id is the receiver's. The nonce is chance: whoever answers has seen the probe.
"""

from __future__ import annotations

from typing import Final

from tunnels import limits

PROBE: Final = 0x21
ANSWER: Final = 0x22
"""First bytes; RFC 9443 gives them to DTLS, which is not spoken here."""

NONCE_BYTES: Final = 8
_NONCE: Final = slice(9, 9 + NONCE_BYTES)


def encode_probe(connection_id: bytes, nonce: bytes, size: int) -> bytes:
    """A probe of `size` bytes to the peer's connection id."""
    return (b"%c%b%b" % (PROBE, connection_id, nonce)).ljust(size, b"\0")


def encode_answer(connection_id: bytes, nonce: bytes) -> bytes:
    """The answer to a probe, to the connection id of whoever sent it."""
    return b"%c%b%b" % (ANSWER, connection_id, nonce)


def nonce_of(message: bytes) -> bytes | None:
    """The nonce of a probe or an answer; None if it is cut short."""
    nonce = bytes(message[_NONCE])
    return nonce if len(nonce) == NONCE_BYTES else None


class PathMtu:
    """The size of one path in the direction we send; `now` is the event loop's clock."""

    __slots__ = ("_awaited", "_confirm_at", "_ladder", "_next_flight", "_refused", "_unanswered", "size")

    def __init__(self, overhead: int = 0) -> None:
        """`overhead`: bytes that each datagram grows by on its way, so that the sizes tried are those of the wire."""
        self._ladder = tuple(size - overhead for size in limits.MTU_LADDER)
        self.size = limits.MIN_PATH_MTU
        self._awaited: dict[bytes, int] = {}
        self._unanswered: dict[int, int] = {}  # size → probes of it in a row without an answer
        self._refused = self._ladder[-1] + 1  # what our own interface does not carry
        self._next_flight = 0.0
        self._confirm_at: float | None = None  # None while nothing of the size in use is sent

    def __repr__(self) -> str:
        return f"PathMtu({self.size})"

    def get_timer(self) -> float:
        """When `due` may have something to send."""
        return self._next_flight if self._confirm_at is None else min(self._next_flight, self._confirm_at)

    def due(self, now: float, rtt: float) -> tuple[int, ...]:
        """The sizes to probe now, given the round-trip time in seconds."""
        wait = max(limits.MTU_PROBE_WAIT, 3 * rtt)
        sizes: tuple[int, ...] = ()
        if self._confirm_at is not None and now >= self._confirm_at:
            sizes += self._confirm(now, wait)
        if now >= self._next_flight:
            flight = self._flight()
            sizes += flight
            self._next_flight = now + (wait if flight else limits.MTU_RAISE_AFTER)
            if not flight:
                self._unanswered.clear()
                self._refused = self._ladder[-1] + 1
        for size in sizes:
            self._unanswered[size] = self._unanswered.get(size, 0) + 1
        return sizes

    def _flight(self) -> tuple[int, ...]:
        """Every size that is larger than the one in use and may still fit."""
        return tuple(
            size
            for size in self._ladder
            if self.size < size < self._refused and self._unanswered.get(size, 0) < limits.MTU_PROBES
        )

    def _confirm(self, now: float, wait: float) -> tuple[int, ...]:
        if self._unanswered.get(self.size, 0) >= limits.MTU_PROBES:
            self.fall_back(now)
            return ()
        self._confirm_at = now + wait
        return (self.size,)

    def probe_sent(self, size: int, nonce: bytes) -> None:
        """A probe that was due has been sent."""
        self._awaited[nonce] = size
        if len(self._awaited) > limits.MTU_PROBES * (len(limits.MTU_LADDER) + 1):
            del self._awaited[next(iter(self._awaited))]

    def refused(self, size: int, now: float) -> None:
        """Our own interface does not carry `size`; if that much is in use, the route has changed."""
        self._refused = min(self._refused, size)
        if size <= self.size:
            self.fall_back(now)

    def answered(self, nonce: bytes) -> None:
        """An answer came; one to a probe we did not send, or no longer know, changes nothing."""
        size = self._awaited.pop(nonce, None)
        if size is not None and size >= self.size:
            self.size = size
            self._unanswered.pop(size, None)
            self._confirm_at = None

    def used(self, now: float) -> None:
        """Datagrams larger than every path carries were sent."""
        if self._confirm_at is None:
            self._confirm_at = now + limits.MTU_CONFIRM_EVERY

    def fall_back(self, now: float) -> None:
        """Use what every path carries from now on, and look again later."""
        if self.size > limits.MIN_PATH_MTU:
            self.size = limits.MIN_PATH_MTU
            self._confirm_at = None
            self._awaited.clear()
            self._unanswered.clear()
            self._next_flight = now + limits.MTU_RETRY_AFTER
