"""What is new since the last look at the ledger, by month, contact, service and kind of path. Bounded, no I/O, no clock.

The ledger does not know by which path an octet went: a tunnel changes its path below its streams. What is new since the
look a second ago is put down to the path in use now, or, where none is any more, to the last one that was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.traffic.ledger import OTHER
from gateway.usage.limits import USAGE_ROWS, USAGE_STRANGERS
from gateway.usage.months import month_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gateway.traffic.ledger import Direction, Side, UsageKey
    from tunnels.identity import EndpointId

NO_PATH: Final = ""
"""The path of what went by one that was never seen: it opened and closed between two looks, or is everybody else's."""


class Row(NamedTuple):
    """What is accounted apart within a month."""

    endpoint_id: EndpointId | None
    """None for all who have no row of their own."""
    service: str
    side: Side
    path: str
    """In the words of `gateway.reach`, or NO_PATH."""


class Octets(NamedTuple):
    """An amount, both ways."""

    sent: int = 0
    received: int = 0

    def plus(self, direction: Direction, octets: int) -> Octets:
        """With some more of one direction."""
        if direction == "sent":
            return Octets(self.sent + octets, self.received)
        return Octets(self.sent, self.received + octets)

    def joined(self, other: Octets) -> Octets:
        """Both amounts together."""
        return Octets(self.sent + other.sent, self.received + other.received)


class Unwritten:
    """Amounts that are not on disk yet: by month and row, and by day and path."""

    __slots__ = ("days", "months")

    def __init__(self) -> None:
        self.months: dict[tuple[str, Row], Octets] = {}
        self.days: dict[tuple[str, str], Octets] = {}

    def __bool__(self) -> bool:
        return bool(self.months)

    def add(self, day: str, row: Row, direction: Direction, octets: int) -> None:
        """Something moved."""
        month_key, day_key = (month_of(day), row), (day, row.path)
        self.months[month_key] = self.months.get(month_key, Octets()).plus(direction, octets)
        self.days[day_key] = self.days.get(day_key, Octets()).plus(direction, octets)

    def join(self, other: Unwritten) -> None:
        """Take over what could not be written."""
        for month_key, octets in other.months.items():
            self.months[month_key] = self.months.get(month_key, Octets()).joined(octets)
        for day_key, octets in other.days.items():
            self.days[day_key] = self.days.get(day_key, Octets()).joined(octets)


class Tally:
    """Compares the ledger's counters with those of the last look."""

    def __init__(self, is_contact: Callable[[EndpointId], bool]) -> None:
        """`is_contact` says who gets a row of its own however many strangers there are."""
        self.unwritten = Unwritten()
        self._is_contact = is_contact
        self._seen: Mapping[UsageKey, int] = {}
        self._last_path: dict[EndpointId, str] = {}
        self._rows: set[Row] = set()
        self._strangers: set[EndpointId] = set()

    def __repr__(self) -> str:
        return f"Tally({len(self._rows)} rows, {len(self._strangers)} strangers)"

    def begin_month(self, rows: Iterable[Row]) -> None:
        """A month begins, or is gone on with: these are the rows it has."""
        self._rows = set(rows)
        self._strangers = {
            row.endpoint_id
            for row in self._rows
            if row.endpoint_id is not None and not self._is_contact(row.endpoint_id)
        }

    def look(
        self, totals: Mapping[UsageKey, int], day: str, path_of: Callable[[EndpointId], str | None]
    ) -> bool:
        """Account for what is new in the ledger's totals; whether there was anything.

        `path_of` is asked only about those with whom something moved; None if there is no path now.
        """
        is_new = False
        for key, total in totals.items():
            octets = total - self._seen.get(key, 0)
            if octets > 0:
                path = self._path(key.endpoint_id, path_of)
                self.unwritten.add(day, self._row(key, path), key.direction, octets)
                is_new = True
        self._seen = totals
        return is_new

    def take(self) -> Unwritten:
        """What is to be written now; it is ours to give back if that fails."""
        taken, self.unwritten = self.unwritten, Unwritten()
        return taken

    def put_back(self, taken: Unwritten) -> None:
        """What was taken could not be written."""
        self.unwritten.join(taken)

    def _path(self, endpoint_id: EndpointId | None, path_of: Callable[[EndpointId], str | None]) -> str:
        if endpoint_id is None:
            return NO_PATH
        path = path_of(endpoint_id)
        if path is None:
            return self._last_path.get(endpoint_id, NO_PATH)
        if endpoint_id not in self._last_path and len(self._last_path) >= USAGE_ROWS:
            del self._last_path[next(iter(self._last_path))]
        self._last_path[endpoint_id] = path
        return path

    def _row(self, key: UsageKey, path: str) -> Row:
        """The row for this key: its own while there may be another one, else that of everybody else."""
        row = Row(key.endpoint_id, key.service, key.side, path)
        if row in self._rows:
            return row
        who = row.endpoint_id
        if len(self._rows) >= USAGE_ROWS:
            row = Row(None, OTHER, key.side, NO_PATH)
        elif who is not None and who not in self._strangers and not self._is_contact(who):
            if len(self._strangers) >= USAGE_STRANGERS:
                return self._row(key._replace(endpoint_id=None), NO_PATH)
            self._strangers.add(who)
        self._rows.add(row)
        return row
