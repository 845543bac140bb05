"""A bound on how much goes to each ip, whoever named it: a token bucket for each. Sans-IO."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from tunnels.bucket import Bucket

if TYPE_CHECKING:
    from ipaddress import IPv4Address


class Destinations:
    """So many a second to each ip, or to each network in IPv6, where a host has many addresses."""

    def __init__(self, per_second: float, burst: float, most: int, *, makes_room: bool = False) -> None:
        """`most` ips are counted. To more nothing may be sent, unless it `makes_room`: then the longest unused is forgotten."""
        self._per_second = per_second
        self._burst = burst
        self._most = most
        self._makes_room = makes_room
        self._known: OrderedDict[IPv4Address | IPv6Address, _Known] = OrderedDict()
        """By how recently something was sent there."""

    def __len__(self) -> int:
        return len(self._known)

    def take(self, ip: IPv4Address | IPv6Address, now: float) -> bool:
        """Whether one more may be sent there; counted if so."""
        place = IPv6Address(int(ip) >> 64 << 64) if isinstance(ip, IPv6Address) else ip
        found = self._known.get(place)
        if found is None:
            self._forget(now)
            if len(self._known) >= self._most:
                if not self._makes_room:
                    return False
                self._known.popitem(last=False)
            found = self._known[place] = _Known(Bucket(self._per_second, self._burst), now)
        found.at = now
        self._known.move_to_end(place)
        return found.bucket.take(now)

    def _forget(self, now: float) -> None:
        """Those that have their whole share again."""
        rest = self._burst / self._per_second
        while self._known and next(iter(self._known.values())).at + rest <= now:
            self._known.popitem(last=False)


@dataclass(slots=True)
class _Known:
    bucket: Bucket
    at: float
    """When something was to be sent there last."""
