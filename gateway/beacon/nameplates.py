"""Numbers under which gateways wait for those who have a spoken code. No IO.

A number is as small as may be, because people say it: one digit while there are some free, then two, and so on. `candidates`
is used by the fleet's table as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.beacon.limits import BEACON_NAMEPLATE_SECONDS, BEACON_NAMEPLATES_PER_ENDPOINT
from tunnels.limits import NAMEPLATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.beacon.stores import Nameplate
    from tunnels.identity import EndpointId

_TRIES: Final = (6, 12, 24, 48)
"""Numbers of one, two, three and four digits that are looked at: where half of them are taken, none of them is free once in 64."""


def candidates(chance: Callable[[], float]) -> Iterator[int]:
    """Numbers to try, the short ones first; `chance` gives numbers in [0, 1)."""
    for digits, tries in enumerate(_TRIES):
        first, last = 10**digits, min(10 ** (digits + 1) - 1, NAMEPLATES)
        for _ in range(tries):
            yield first + int(chance() * (last - first + 1))


class NameplateTable:
    """Implements `stores.Nameplates` for one node, in memory; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float], chance: Callable[[], float]) -> None:
        self._clock = clock
        self._chance = chance
        self._plates: dict[int, tuple[Nameplate, float]] = {}

    def __len__(self) -> int:
        """How many there are; some may have expired."""
        return len(self._plates)

    async def put(self, plate: Nameplate) -> int | None:
        """See Nameplates."""
        now = self._clock()
        self._plates = {number: entry for number, entry in self._plates.items() if entry[1] > now}
        mine = sum(entry.owner == plate.owner for entry, _ in self._plates.values())
        if mine >= BEACON_NAMEPLATES_PER_ENDPOINT:
            return None
        for number in candidates(self._chance):
            if number not in self._plates:
                self._plates[number] = plate, now + BEACON_NAMEPLATE_SECONDS
                return number
        return None

    async def look(self, number: int) -> Nameplate | None:
        """See Nameplates."""
        return self._find(number)

    async def take(self, number: int) -> Nameplate | None:
        """See Nameplates."""
        found = self._find(number)
        self._plates.pop(number, None)
        return found

    async def release(self, number: int, owner: EndpointId) -> None:
        """See Nameplates."""
        found = self._find(number)
        if found is not None and found.owner == owner:
            del self._plates[number]

    def _find(self, number: int) -> Nameplate | None:
        plate, until = self._plates.get(number, (None, 0.0))
        return plate if until > self._clock() else None

    def __repr__(self) -> str:
        return f"NameplateTable({len(self)})"
