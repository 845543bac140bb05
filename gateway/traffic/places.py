"""The place of each stream among all that wait: below its service, below its contact, in both directions. Sans-IO.

There are two queues for each direction: what shares the gateway's own rate, and what is outside of it. Both know the limits of
contacts and services. A contact or service without streams has no place, so that there are no more places than streams.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from gateway.traffic.fair import FairQueue, Flow, Leaf, Share

if TYPE_CHECKING:
    from collections.abc import Hashable

    from gateway.traffic.account import Account
    from gateway.traffic.ledger import Direction

DIRECTIONS: Final[tuple[Direction, Direction]] = ("sent", "received")


class Place(NamedTuple):
    """Where a stream belongs."""

    who: Hashable
    """The contact, or all strangers."""
    service: Hashable
    is_shared: bool
    """Whether it takes of what all share."""
    is_last: bool = False
    """Whether it gets only what others of them leave."""


_Kind = TypeVar("_Kind", bound=Share)


class _Spot(Generic[_Kind]):
    """The shares of one place and how many streams have them."""

    __slots__ = ("count", "shares")

    def __init__(self, shares: dict[Direction, _Kind]) -> None:
        self.shares = shares
        self.count = 0


class Places:
    """Shares by contact and service, and what waits there."""

    def __init__(self, whole: Account) -> None:
        """`whole` has the rates that are shared."""
        self._queues: dict[tuple[Direction, bool], FairQueue] = {
            (direction, is_shared): FairQueue() for direction in DIRECTIONS for is_shared in (True, False)
        }
        for direction in DIRECTIONS:
            self._queues[direction, True].root.lane = whole.lane(direction)
        self._contacts: dict[Hashable, _Spot[Share]] = {}
        self._services: dict[Place, _Spot[Leaf]] = {}

    def __repr__(self) -> str:
        return f"Places({len(self._contacts)} contacts, {len(self._services)} services)"

    def __len__(self) -> int:
        return len(self._services)

    def enter(
        self, place: Place, contact: tuple[Account | None, int], service: tuple[Account | None, int]
    ) -> dict[Direction, Leaf]:
        """Have a stream there: the leaves of its flows. Contact and service come with account, if any, and weight."""
        above = (place.who, place.is_shared, place.is_last)
        spot = self._contacts.get(above)
        if spot is None:
            account, weight = contact
            spot = self._contacts[above] = _Spot(
                {
                    direction: Share(
                        self._queues[direction, place.is_shared].root,
                        lane=account.lane(direction) if account is not None else None,
                        weight=weight,
                        is_last=place.is_last,
                    )
                    for direction in DIRECTIONS
                }
            )
        spot.count += 1
        below = self._services.get(place)
        if below is None:
            account, weight = service
            below = self._services[place] = _Spot(
                {
                    direction: Leaf(
                        spot.shares[direction],
                        lane=account.lane(direction) if account is not None else None,
                        weight=weight,
                    )
                    for direction in DIRECTIONS
                }
            )
        below.count += 1
        return below.shares

    def leave(self, place: Place) -> None:
        """One stream less."""
        above = (place.who, place.is_shared, place.is_last)
        service, contact = self._services[place], self._contacts[above]
        service.count -= 1
        contact.count -= 1
        if not service.count:
            del self._services[place]
        if not contact.count:
            del self._contacts[above]

    def queue(self, direction: Direction, place: Place) -> FairQueue:
        """Where what belongs to a place waits."""
        return self._queues[direction, place.is_shared]

    def pump(self, now: float) -> list[tuple[Flow, int]]:
        """Who may go now, and with how many octets."""
        return [going for queue in self._queues.values() for going in queue.pump(now)]

    def next_at(self, now: float) -> float | None:
        """When to pump again, if time alone lets something go."""
        return min(
            (at for queue in self._queues.values() if (at := queue.next_at(now)) is not None), default=None
        )
