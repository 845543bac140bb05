"""How many NATs stand between us and the internet, told from the routers on the way. Sans-IO.

Each router on the way is known by its address on our side (`tunnels.nat.trace`). Where those stop being private ones, or
ones that a provider's NAT stands before, the last NAT is behind us. Many routers say nothing, and a NAT need not show
itself: what is told is a range, and either end may be unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Final

from tunnels.nat.portmap import SHARED, is_behind_nat

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from ipaddress import IPv6Address

    Ip = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Levels:
    """How many NATs there are, and how far the outermost one is."""

    least: int | None = None
    """So many are proven."""
    most: int | None = None
    """There is no room for more, unless one hides from all that passes it."""
    outermost: int | None = None
    """What may pass one router more than this gets beyond the last NAT; our own router is 1, and 0 means no NAT."""

    @property
    def exactly(self) -> int | None:
        """Their number, if it is known."""
        return self.least if self.least == self.most else None


UNKNOWN_LEVELS: Final = Levels()


def levels_of(hops: Sequence[Ip | None], *, translated: bool | None, external_ips: Collection[Ip]) -> Levels:
    """What the routers on the way say, the nearest first, None for each that says nothing.

    `external_ips` are where servers see us, and `translated` is whether that is not this machine's own.
    """
    if translated is None:
        return UNKNOWN_LEVELS
    if not translated:
        return Levels(0, 0, 0)
    beyond = next((at for at, hop in enumerate(hops) if is_beyond(hop, external_ips)), None)
    within = hops if beyond is None else hops[:beyond]
    least = 1
    # The provider's own range between the customer's and the internet: one NAT leads into it, another one out of it.
    shared = [at for at, hop in enumerate(within) if isinstance(hop, IPv4Address) and hop in SHARED]
    if shared and any(_is_private(hop) for hop in within[: shared[0]]):
        least = 2
    return Levels(least, beyond, beyond) if beyond else Levels(least)


def with_router(levels: Levels, router_outside: IPv4Address | None, external_ips: Collection[Ip]) -> Levels:
    """The same, knowing which address our own router says that it has outside.

    Is it where servers see us, then it is the only NAT; is it not, then another one follows.
    """
    if router_outside is None or not external_ips:
        return levels
    if router_outside in external_ips:
        return Levels(1, 1, 1)
    most = levels.most if levels.most is not None and levels.most >= 2 else None
    return Levels(max(levels.least or 0, 2), most, levels.outermost if most is not None else None)


def is_beyond(hop: Ip | None, external_ips: Collection[Ip]) -> bool:
    """Whether the router is in the internet. A NAT that answers from its outside address is not."""
    if not isinstance(hop, IPv4Address) or is_behind_nat(hop) or hop in external_ips:
        return False
    return not (hop.is_loopback or hop.is_link_local or hop.is_unspecified or hop.is_multicast)


def _is_private(hop: Ip | None) -> bool:
    return isinstance(hop, IPv4Address) and hop not in SHARED and is_behind_nat(hop)
