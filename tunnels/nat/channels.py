"""The channels of one TURN allocation: which peer has which, what waits for it, when it is renewed. Sans-IO.

::

     0         2        4
    +---------+--------+- - - - - - -
    | channel | length | datagram
    +---------+--------+- - - - - - -
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Final

from tunnels.nat import limits

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from tunnels.addresses import Address

HEAD_BYTES: Final = 4
"""What a datagram grows by in a channel."""

_HEAD: Final = struct.Struct("!HH")
_FIRST: Final = 0x4000
_COUNT: Final = 0x1000
"""RFC 8656 §12: 0x4000 to 0x4FFF."""


@dataclass(slots=True, eq=False)
class Channel:
    """A peer that something was sent to."""

    peer: Address
    number: int
    used_at: float
    bound: bool = False
    renew_at: float = inf
    refused_until: float = -inf
    """Nothing can be sent to it before, as the server does not want it."""
    held: list[bytes] = field(default_factory=list)
    """What waits for it to be bound."""

    def wrap(self, datagrams: list[bytes]) -> list[bytes]:
        """The datagrams as they go to the server."""
        pack, number = _HEAD.pack, self.number
        return [pack(number, len(datagram)) + datagram for datagram in datagrams]

    def hold(self, datagrams: list[bytes]) -> None:
        """Keep them until it is bound, the first ones where there are too many."""
        self.held += datagrams[: limits.TURN_HELD - len(self.held)]

    def is_bound_now(self, now: float) -> list[bytes]:
        """The server took it: what waited, as it goes to the server."""
        self.bound = True
        self.renew_at = now + limits.TURN_PERMISSION_REFRESH
        held, self.held = self.held, []
        return self.wrap(held)

    def is_refused(self, now: float) -> None:
        """The server did not take it: what waited is lost, and it is left alone for a while."""
        self.bound = False
        self.renew_at = inf
        self.refused_until = now + limits.TURN_REFUSED
        self.held.clear()


class ChannelTable:
    """The channels in use, a bounded number of them."""

    def __init__(self) -> None:
        self._by_peer: dict[Address, Channel] = {}
        self._by_number: dict[int, Channel] = {}
        self._numbers: dict[Address, int] = {}
        """A number stays its peer's: it is not to be bound to another soon (§12)."""

    def __len__(self) -> int:
        return len(self._by_peer)

    def get(self, peer: Address) -> Channel | None:
        """The peer's channel, if it is in use."""
        return self._by_peer.get(peer)

    def add(self, peer: Address, now: float) -> Channel | None:
        """A channel to bind for a peer that has none, in place of the longest unused; None when all numbers are given."""
        number = self._numbers.get(peer)
        if number is None:
            if len(self._numbers) == _COUNT:
                return None
            number = self._numbers[peer] = _FIRST + len(self._numbers)
        if len(self._by_peer) == limits.TURN_PEERS:
            self._forget(min(self._by_peer.values(), key=lambda channel: channel.used_at))
        channel = self._by_peer[peer] = self._by_number[number] = Channel(peer, number, now)
        return channel

    def unwrap(self, datagram: bytes, now: float) -> tuple[Address, bytes] | None:
        """The peer and its datagram; None if it is not whole, or in no channel in use."""
        if len(datagram) < HEAD_BYTES:
            return None
        number, size = _HEAD.unpack_from(datagram)
        channel = self._by_number.get(number)
        end = HEAD_BYTES + size
        if channel is None or not channel.bound or end > len(datagram):
            return None
        channel.used_at = now
        return channel.peer, datagram[HEAD_BYTES:end]

    def lets_in(self, ip: IPv4Address | IPv6Address) -> bool:
        """Whether something was sent to that ip."""
        return any(peer.ip == ip for peer in self._by_peer)

    def take_due(self, now: float) -> list[Channel]:
        """Those to bind once more; those that were not used for long are forgotten instead."""
        due = []
        for channel in [channel for channel in self._by_peer.values() if channel.renew_at <= now]:
            if now - channel.used_at >= limits.TURN_UNUSED:
                self._forget(channel)
            else:
                channel.renew_at = inf
                due.append(channel)
        return due

    def get_timer(self) -> float:
        """When `take_due` is to be called next; infinity for never."""
        return min((channel.renew_at for channel in self._by_peer.values()), default=inf)

    def _forget(self, channel: Channel) -> None:
        del self._by_peer[channel.peer]
        del self._by_number[channel.number]
