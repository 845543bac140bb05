"""The accounts of this gateway: looked after each second, on disk some seconds later, and read for whoever asks. ⚡

Whatever ends the process, kill -9 and a full disk included, loses no more than the last seconds: each write adds to what
is there, in one transaction.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.database import Database
from gateway.errors import StoreUnavailable
from gateway.late_saver import LateSaver
from gateway.traffic.ledger import UsageKey
from gateway.usage.limits import USAGE_LOOK_SECONDS, USAGE_MONTHS, USAGE_SAVE_SECONDS
from gateway.usage.months import day_of, month_of
from gateway.usage.tally import Octets, Row, Tally, Unwritten
from tunnels.identity import KEY_BYTES, EndpointId

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Coroutine, Mapping

    from gateway.home import Home
    from gateway.traffic.ledger import Ledger

_logger = logging.getLogger(__name__)

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE months
    (month TEXT NOT NULL, id BLOB NOT NULL, service TEXT NOT NULL, side TEXT NOT NULL, path TEXT NOT NULL,
     sent INTEGER NOT NULL, received INTEGER NOT NULL, PRIMARY KEY (month, id, service, side, path)) WITHOUT ROWID;
CREATE TABLE days
    (day TEXT NOT NULL, path TEXT NOT NULL, sent INTEGER NOT NULL, received INTEGER NOT NULL,
     PRIMARY KEY (day, path)) WITHOUT ROWID;
"""
_ADD: Final = "DO UPDATE SET sent = sent + excluded.sent, received = received + excluded.received"
_PUT_MONTH: Final = (
    f"INSERT INTO months VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (month, id, service, side, path) {_ADD}"  # noqa: S608 - ours
)
_PUT_DAY: Final = f"INSERT INTO days VALUES (?, ?, ?, ?) ON CONFLICT (day, path) {_ADD}"  # noqa: S608 - ours
_OLD_MONTHS: Final = (
    "DELETE FROM months WHERE month NOT IN (SELECT DISTINCT month FROM months ORDER BY month DESC LIMIT ?)"
)
_OLD_DAYS: Final = "DELETE FROM days WHERE substr(day, 1, 7) NOT IN (SELECT DISTINCT month FROM months)"
_LOST: Final = "the accounts of this run are lost"


@dataclass(frozen=True, slots=True)
class Account:
    """What moved in one month."""

    month: str
    months: tuple[str, ...]
    """Those with accounts, the newest first."""
    rows: Mapping[Row, Octets]
    days: Mapping[tuple[str, str], Octets]
    """By day and path."""


class Meter:
    """Looks at the ledger, and keeps what it sees. `start` once, then `close` once; before that, nothing is read or told."""

    def __init__(
        self,
        home: Home,
        ledger: Ledger,
        *,
        path_of: Callable[[EndpointId], str | None],
        is_contact: Callable[[EndpointId], bool],
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        clock: Callable[[], float],
    ) -> None:
        """Open the database, from a thread that may wait. `path_of` is the word for the path in use with an endpoint, `clock`
        gives unix seconds.
        """
        self._ledger = ledger
        self._path_of = path_of
        self._spawn = spawn
        self._clock = clock
        self._database = Database.open_or_begin_anew(
            home.usage_file,
            what="the database of accounts",
            schema=_SCHEMA,
            version=_VERSION,
            lost="accounts begin anew, and so does what is left of this month's quotas",
        )
        self._tally = Tally(is_contact)
        self._saver = LateSaver(lambda: self._save(), USAGE_SAVE_SECONDS, "save usage", spawn, lost=_LOST)
        self._turn = asyncio.Lock()
        """Held by who writes or reads, so that no amount is in flight when they are added up."""
        self._day = day_of(clock())
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"Meter({self._tally!r})"

    @property
    def month(self) -> str:
        """The month that is accounted for now."""
        return month_of(self._day)

    @property
    def problem(self) -> str:
        """Why accounts cannot be written now; empty if they can."""
        return self._saver.problem

    async def start(self) -> None:
        """Tell the ledger what this month has used already, and look at it from now on."""
        await self._begin_month()
        self._task = self._spawn(self._run(), "usage")

    async def close(self) -> None:
        """Look once more, and write it; idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
            self._look()
        await self._saver.close()
        await self._database.close()

    async def account(self, month: str | None = None) -> Account:
        """What moved in a month, this one if none is named, up to now; StoreUnavailable if it cannot be read."""
        self._look()
        wanted = self.month if month is None else month
        async with self._turn:
            rows, days, months = await self._database.run(lambda connection: _read(connection, wanted))
            unwritten = self._tally.unwritten  # what is not written is added here; nothing waits in between
            for (of, row), octets in unwritten.months.items():
                if of == wanted:
                    rows[row] = rows.get(row, Octets()).joined(octets)
            for (day, path), octets in unwritten.days.items():
                if month_of(day) == wanted:
                    days[day, path] = days.get((day, path), Octets()).joined(octets)
            months |= {of for of, _ in unwritten.months} | {self.month}
        return Account(wanted, tuple(sorted(months, reverse=True)), rows, days)

    # --- looking ----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(USAGE_LOOK_SECONDS)
            self._look()
            day = day_of(self._clock())
            before, self._day = self.month, day
            if self.month != before:
                await self._begin_month()

    def _look(self) -> None:
        if self._tally.look(self._ledger.totals(), self._day, self._path_of):
            self._saver.changed()

    async def _begin_month(self) -> None:
        """Go on with the month that it is now; usually a new one, but clocks are set, too."""
        try:
            async with self._turn:
                await self._database.run(_clear)
            account = await self.account()
        except StoreUnavailable as error:
            _logger.warning("%s; what this month has used already is not known", error)
            return
        self._tally.begin_month(account.rows)
        used: Counter[UsageKey] = Counter()
        for row, octets in account.rows.items():
            used[UsageKey(row.endpoint_id, row.service, "sent", row.side)] += octets.sent
            used[UsageKey(row.endpoint_id, row.service, "received", row.side)] += octets.received
        self._ledger.begin_month(used)

    # --- writing ----------------------------------------------------------------------------------------

    async def _save(self) -> None:
        async with self._turn:
            taken = self._tally.take()
            try:
                await self._database.run(lambda connection: _write(connection, taken))
            except StoreUnavailable:
                self._tally.put_back(taken)
                raise


def _write(connection: sqlite3.Connection, taken: Unwritten) -> None:
    connection.executemany(
        _PUT_MONTH,
        [
            (month, _key(row.endpoint_id), row.service, row.side, row.path, *octets)
            for (month, row), octets in taken.months.items()
        ],
    )
    connection.executemany(_PUT_DAY, [(day, path, *octets) for (day, path), octets in taken.days.items()])


def _clear(connection: sqlite3.Connection) -> None:
    """Forget months that are too long ago."""
    connection.execute(_OLD_MONTHS, (USAGE_MONTHS,))
    connection.execute(_OLD_DAYS)


def _read(
    connection: sqlite3.Connection, month: str
) -> tuple[dict[Row, Octets], dict[tuple[str, str], Octets], set[str]]:
    rows = {
        Row(EndpointId(key) if len(key) == KEY_BYTES else None, service, side, path): Octets(sent, received)
        for _, key, service, side, path, sent, received in connection.execute(
            "SELECT * FROM months WHERE month = ?", (month,)
        )
    }
    days = {
        (day, path): Octets(sent, received)
        for day, path, sent, received in connection.execute(
            "SELECT * FROM days WHERE substr(day, 1, 7) = ? ORDER BY day, path", (month,)
        )
    }
    months = {month for (month,) in connection.execute("SELECT DISTINCT month FROM months")}
    return rows, days, months


def _key(endpoint_id: EndpointId | None) -> bytes:
    return b"" if endpoint_id is None else endpoint_id.key
