"""Keeps our record at our beacons: at start, when it changes, and again before they forget it.

`PublishPlan` decides when (sans-IO); `Publisher` does it. Published is what anybody may know: our relays, our public
services, and the public addresses that the owner configured, never those of our networks at home.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from gateway.limits import (
    PUBLISH_DEBOUNCE_SECONDS,
    PUBLISH_EVERY_SECONDS,
    PUBLISH_GAP_SECONDS,
    PUBLISH_RETRY_LONGEST,
    PUBLISH_RETRY_SECONDS,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resolver.records import EndpointRecord
    from resolver.signed_packets import SignedPacket

_logger = logging.getLogger(__name__)

RECORD_LIFETIME: Final = 7 * 86400.0
"""Seconds for which a published record may be used: whoever kept it finds us after a week offline."""


class PublishPlan:
    """When to publish next. Times are seconds of one clock that never goes back."""

    __slots__ = ("_chance", "_failures", "_last", "_next")

    def __init__(self, chance: Callable[[], float]) -> None:
        """`chance` gives numbers in [0, 1): gateways that started together shall not publish together."""
        self._chance = chance
        self._next: float | None = None
        self._last = float("-inf")
        self._failures = 0

    @property
    def due(self) -> float | None:
        """When to publish; None for not at all."""
        return self._next

    def changed(self, now: float) -> None:
        """The record differs from what was published: soon, so that changes in a row are one, and not too often."""
        wanted = max(now + PUBLISH_DEBOUNCE_SECONDS, self._last + PUBLISH_GAP_SECONDS)
        self._failures = 0
        self._next = wanted if self._next is None else min(self._next, wanted)

    def published(self, now: float, *, complete: bool) -> None:
        """It was published just now, everywhere or not."""
        self._last = now
        if complete:
            self._failures = 0
            pause = PUBLISH_EVERY_SECONDS * (0.75 + 0.25 * self._chance())
        else:
            pause = min(PUBLISH_RETRY_LONGEST, PUBLISH_RETRY_SECONDS * 2**self._failures)
            pause *= 0.75 + 0.5 * self._chance()
            self._failures = min(self._failures + 1, 16)
        self._next = now + pause

    def stop(self) -> None:
        """Nothing is to be published."""
        self._next = None


class Publisher:
    """Publishes our record for as long as `run` runs."""

    def __init__(
        self,
        make: Callable[[], tuple[EndpointRecord, SignedPacket] | None],
        publish: Callable[[SignedPacket], Awaitable[dict[str, str]]],
        chance: Callable[[], float],
    ) -> None:
        """`make` signs the record as it is now, or gives None when nothing is to be published; `publish` puts it at
        every source and returns why it failed, by source.
        """
        self._make = make
        self._publish = publish
        self._plan = PublishPlan(chance)
        self._changed = asyncio.Event()
        self._told: object = None
        self.failures: dict[str, str] = {}
        """Why the last attempt failed, by source; empty when it did not."""

    def __repr__(self) -> str:
        return f"<Publisher, {len(self.failures)} failures>"

    def changed(self) -> None:
        """Something that our record tells may have changed: services, relays, addresses, the nickname, the beacons."""
        self._changed.set()

    async def run(self) -> None:
        """Publish whenever it is time, until cancelled."""
        loop = asyncio.get_running_loop()
        self._plan.changed(loop.time())
        while True:
            due = self._plan.due
            try:
                async with asyncio.timeout_at(due):
                    await self._changed.wait()
            except TimeoutError:
                await self._publish_now()
                self._plan.published(loop.time(), complete=not self.failures)
            else:
                self._changed.clear()
                self._consider(loop.time())

    def _consider(self, now: float) -> None:
        """Plan a publication if there is news."""
        made = self._make()
        if made is None:
            self._plan.stop()
            self._told = None
        elif self._plan.due is None or _content(made[0]) != self._told:
            self._plan.changed(now)

    async def _publish_now(self) -> None:
        made = self._make()
        if made is None:
            self.failures = {}
            return
        record, packet = made
        failures = await self._publish(packet)
        for source, reason in failures.items():
            if self.failures.get(source) != reason:
                _logger.warning("our record is not published at %s: %s", source, reason)
        self.failures = failures
        self._told = _content(record)


def _content(record: EndpointRecord) -> object:
    """What the record says, whenever it was signed."""
    return (record.nickname, record.addresses, record.services, record.relays, record.lends)
