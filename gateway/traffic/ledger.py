"""How many octets went to and came from which endpoint by which service. Bounded, no I/O, no clock.

Octets are those of streams and datagrams, without what tunnels add. Open streams are not counted chunk by chunk: whoever
reads the ledger has it ask them first (`on_read`).

Ids cost nothing, so who is no contact gets a row of its own only while there are few such rows; then all further strangers
are one, and its id is None. The same holds for the services of one endpoint: those beyond a bound are `OTHER`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from gateway.traffic.limits import LEDGER_ROWS, LEDGER_SERVICES, LEDGER_STRANGERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tunnels.identity import EndpointId

Direction = Literal["sent", "received"]
"""As seen from this gateway."""

Side = Literal["served", "used"]
"""Whose service it is: ours, or the other endpoint's."""

OTHER: Final = "(other)"
"""The service of what has no row of its own; no service has such a name."""


class UsageKey(NamedTuple):
    """One row of the ledger."""

    endpoint_id: EndpointId | None
    """None stands for all strangers who have no row of their own."""
    service: str
    direction: Direction
    side: Side = "served"


class Ledger:
    """Octets by row, since the start; and by contact and service, since the month began."""

    def __init__(self, is_contact: Callable[[EndpointId], bool]) -> None:
        """`is_contact` says who gets a row of its own however many there are."""
        self.on_read: Callable[[], None] = lambda: None
        """Called before totals are read, so that whoever counts more seldom may count now."""
        self.on_month: Callable[[], None] = lambda: None
        """Called when a month has begun."""
        self._is_contact = is_contact
        self._totals: Counter[UsageKey] = Counter()
        self._services: dict[EndpointId | None, set[tuple[str, Side]]] = {}
        self._strangers: set[EndpointId] = set()
        self._month_of_endpoint: Counter[EndpointId | None] = Counter()
        self._month_of_service: Counter[str] = Counter()
        self._month_of_strangers = 0

    def __repr__(self) -> str:
        return f"Ledger({len(self._totals)} rows)"

    def __len__(self) -> int:
        return len(self._totals)

    def count(
        self,
        endpoint_id: EndpointId,
        service: str,
        direction: Direction,
        octets: int,
        side: Side = "served",
    ) -> None:
        """Add octets that moved."""
        if octets <= 0:
            return
        key = self._row(UsageKey(endpoint_id, service, direction, side))
        self._totals[key] += octets
        self._count_month(key, octets)

    def totals(self) -> Mapping[UsageKey, int]:
        """All rows, cumulative since the start; a copy."""
        self.on_read()
        return dict(self._totals)

    def begin_month(self, used: Mapping[UsageKey, int]) -> None:
        """A month begins, or began before we started: `used` is what it has used so far, with what is counted here."""
        self._month_of_endpoint.clear()
        self._month_of_service.clear()
        self._month_of_strangers = 0
        for key, octets in used.items():
            self._count_month(self._row(key), octets)
        self.on_month()

    def month_of_endpoint(self, endpoint_id: EndpointId) -> int:
        """Octets of this month with one endpoint, both ways."""
        return self._month_of_endpoint[endpoint_id]

    def month_of_strangers(self) -> int:
        """Octets of this month with all who are no contacts, both ways."""
        return self._month_of_strangers

    def month_of_service(self, service: str) -> int:
        """Octets of this month by one of our own services, both ways."""
        return self._month_of_service[service]

    def _count_month(self, key: UsageKey, octets: int) -> None:
        who = key.endpoint_id
        self._month_of_endpoint[who] += octets
        if who is None or not self._is_contact(who):
            self._month_of_strangers += octets
        if key.side == "served":
            self._month_of_service[key.service] += octets

    def _row(self, key: UsageKey) -> UsageKey:
        """The row that counts for a key: its own, if it has one or may have one."""
        if key in self._totals:
            return key
        who, service = key.endpoint_id, key.service
        if len(self._totals) >= LEDGER_ROWS:
            who, service = None, OTHER
        elif who is not None and who not in self._services and not self._is_contact(who):
            if len(self._strangers) >= LEDGER_STRANGERS:
                who = None
            else:
                self._strangers.add(who)
        services = self._services.setdefault(who, set())
        if (service, key.side) not in services:
            if len(services) >= LEDGER_SERVICES:
                service = OTHER
            services.add((service, key.side))
        return UsageKey(who, service, key.direction, key.side)
