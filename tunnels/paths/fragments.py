"""One QUIC packet in several datagrams, where the path carries less than a packet. Sans-IO.

An engine's cost is per packet, so its packets are larger than most paths carry. Such a packet travels in fragments of
equal size, which the kernel takes and gives in one system call, and is put together before the engine sees it. What
is smaller than the path's size travels as it is, so a handshake looks like any other::

     0     1                    9                  13      14      15       16
    +-----+--------------------+------------------+-------+-------+--------+- - - -
    | 20  | connection id (8)  | packet's tag (4) | index | count | filler | piece
    +-----+--------------------+------------------+-------+-------+--------+- - - -

The connection id is the packet's own. The tag is chance, so that nobody who does not see a packet can add to it.
All pieces of a packet are equally long; the last one ends with `filler` bytes that are not the packet's.
Nothing here is authenticated: what is put together wrongly fails the packet's own authentication and is lost.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from tunnels import limits

FRAGMENT: Final = 0x20
"""First byte of a fragment; RFC 9443 gives it to DTLS, which is not spoken here."""

HEADER_BYTES: Final = 16
TAG_BYTES: Final = 4
_ID_END: Final = 9
_TAG_END: Final = _ID_END + TAG_BYTES
_INDEX: Final = 13
_COUNT: Final = 14
_FILLER: Final = 15
_INDEXES: Final = bytes(range(limits.MAX_FRAGMENTS))
_FIRST_BYTES: Final = bytes((FRAGMENT,)) * limits.MAX_FRAGMENTS


def split(packet: bytes, mtu: int, tag: bytes) -> list[bytes]:
    """A packet with a short header as datagrams of at most `mtu` bytes; `tag` is `TAG_BYTES` of chance."""
    size = len(packet)
    count = -(-size // (mtu - HEADER_BYTES))
    piece = -(-size // count)
    filler = count * piece - size
    head = b"%c%b%b" % (FRAGMENT, packet[1:_ID_END], tag)
    start, fragments = 0, []
    for rest in _rests(count, filler):
        fragments.append(b"".join((head, rest, packet[start : start + piece])))
        start += piece
    if filler:
        fragments[-1] += bytes(filler)
    return fragments


@lru_cache(maxsize=1024)
def _rests(count: int, filler: int) -> tuple[bytes, ...]:
    """What follows the tag in each of the fragments."""
    return tuple(bytes((index, count, filler)) for index in range(count))


def whole(burst: bytes, start: int, end: int, segment: int) -> tuple[bytes, int] | None:
    """The packet whose fragments stand in order from `start` on, and where the next datagram begins.

    That is how they nearly always come. None when they do not; each one is for the `Reassembler` then. Only the first
    and the last are compared: if others stood between them, the packet would fail its authentication.
    """
    count = burst[start + _COUNT] if end - start > HEADER_BYTES else 0
    stop = start + count * segment
    if not 2 <= count <= limits.MAX_FRAGMENTS or stop > end or segment <= HEADER_BYTES:
        return None
    last, filler = stop - segment, burst[start + _FILLER]
    if (
        burst[start + _INDEX : stop : segment] != _INDEXES[:count]
        or burst[start:stop:segment] != _FIRST_BYTES[:count]
        or burst[last : last + _TAG_END] != burst[start : start + _TAG_END]
        or burst[last + _COUNT] != count
        or burst[last + _FILLER] != filler
        or filler >= segment - HEADER_BYTES
    ):
        return None
    pieces = [burst[at + HEADER_BYTES : at + segment] for at in range(start, last, segment)]
    pieces.append(burst[last + HEADER_BYTES : stop - filler])
    return b"".join(pieces), stop


class Reassembler:
    """Puts packets together whose fragments come singly or out of order; one for each connection."""

    __slots__ = ("_partial",)

    def __init__(self) -> None:
        self._partial: dict[bytes, list[bytes | None]] = {}

    def __len__(self) -> int:
        return len(self._partial)

    def add(self, fragment: bytes) -> bytes | None:
        """The packet that this fragment completes; None if others are missing, or if it fits no packet."""
        size = len(fragment)
        if size <= HEADER_BYTES:
            return None
        index, count, filler = fragment[_INDEX], fragment[_COUNT], fragment[_FILLER]
        if not 2 <= count <= limits.MAX_FRAGMENTS or index >= count or filler >= size - HEADER_BYTES:
            return None
        # Fragments that differ in what all must agree on belong to different packets, whatever their tag.
        key = b"%b%c%c%b" % (fragment[_ID_END:_TAG_END], count, filler, size.to_bytes(2))
        pieces = self._partial.get(key)
        if pieces is None:
            if len(self._partial) >= limits.MAX_PARTIAL_PACKETS:
                del self._partial[next(iter(self._partial))]  # the oldest has lost a fragment
            pieces = self._partial[key] = [None] * count
        pieces[index] = (
            fragment[HEADER_BYTES : size - filler] if index == count - 1 else fragment[HEADER_BYTES:]
        )
        if None in pieces:
            return None
        del self._partial[key]
        return b"".join(pieces)  # type: ignore[arg-type] # none of them is missing
