"""Relayed bytes on their way into the accounts: once a second for each session, not for each frame. ⚡"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from gateway.beacon.limits import BEACON_CHARGE_EVERY, BEACON_CHARGES_AT_ONCE, BEACON_STORE_SECONDS
from gateway.beacon.stores import Balance, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.beacon.hub import Hub, Session
    from gateway.beacon.settings import RelaySettings
    from gateway.beacon.stores import Accounts
    from gateway.supervision import Supervisor
    from tunnels.identity import EndpointId

_logger = logging.getLogger(__name__)


class Charging:
    """Writes what the hub has relayed into the accounts, where there is a quota; without one nothing is counted."""

    def __init__(
        self,
        hub: Hub,
        accounts: Accounts,
        settings: RelaySettings,
        supervisor: Supervisor,
        wall_clock: Callable[[], float],
    ) -> None:
        self._hub = hub
        self._accounts = accounts
        self._settings = settings
        self._supervisor = supervisor
        self._wall_clock = wall_clock
        self._gone: list[Session] = []
        self.ok = True
        """Whether the accounts answered last time."""

    def start(self) -> None:
        """Begin to write."""
        if self._settings.quota_bytes:
            self._supervisor.spawn(self._run(), name="beacon accounts")

    @property
    def period(self) -> int:
        """The number of the period that it is now."""
        return int(self._wall_clock() // self._settings.period_seconds)

    async def balance(self, endpoint_id: EndpointId) -> Balance | None:
        """What the accounts say; an empty account while they don't answer, None where there is no quota."""
        if not self._settings.quota_bytes:
            return None
        try:
            async with asyncio.timeout(BEACON_STORE_SECONDS):
                found = await self._accounts.balance(endpoint_id, self.period)
        except (StoreUnavailable, TimeoutError):
            self.ok = False
            return Balance(0, 0)
        self.ok = True
        return found

    def left(self, session: Session) -> None:
        """A session has ended; what it has to be charged for still is."""
        if self._settings.quota_bytes and session.uncharged and len(self._gone) < self._settings.sessions:
            self._gone.append(session)

    async def flush(self) -> None:
        """Write down everything that is not written yet."""
        gone, self._gone = self._gone, []
        waiting = [*self._hub.charges(), *((session, session.uncharged) for session in gone)]
        period = self.period
        for at in range(0, len(waiting), BEACON_CHARGES_AT_ONCE):
            batch = waiting[at : at + BEACON_CHARGES_AT_ONCE]
            try:
                async with asyncio.timeout(BEACON_STORE_SECONDS):
                    balances = await asyncio.gather(
                        *(
                            self._accounts.charge(s.endpoint_id, size, self._settings.quota_bytes, period)
                            for s, size in batch
                        )
                    )
            except (StoreUnavailable, TimeoutError):
                if self.ok:
                    _logger.warning("the accounts do not answer; what is relayed is counted later")
                self.ok = False
                self._gone += gone  # those that were written already are asked for nothing more
                return
            self.ok = True
            for (session, size), balance in zip(batch, balances, strict=True):
                self._hub.charged(session, size, balance)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(BEACON_CHARGE_EVERY)
            await self.flush()
