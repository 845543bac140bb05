"""Keeps our records where others look for them: at start, when they change, and again before they are forgotten there.

`PublishPlan` decides when, for one place (sans-IO); `Publisher` does it, for all places. What may be in a record for
anybody, and what in one for the local network, is a matter of [publish] and of `own_record`.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from gateway.limits import (
    LOCAL_RECORD_LIFETIME,
    PUBLISH_DEBOUNCE_SECONDS,
    PUBLISH_EVERY_SECONDS,
    PUBLISH_GAP_SECONDS,
    PUBLISH_LOCAL_EVERY_SECONDS,
    PUBLISH_LOCAL_GAP_SECONDS,
    PUBLISH_RETRY_LONGEST,
    PUBLISH_RETRY_SECONDS,
)
from resolver.discovery.base import Scope
from resolver.errors import DiscoveryError
from resolver.limits import DISCOVERY_SECONDS
from resolver.records import EndpointRecord
from resolver.signed_packets import SignedPacket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from resolver.discovery.base import RecordSource

_logger = logging.getLogger(__name__)

RECORD_LIFETIME: Final = 7 * 86400.0
"""Seconds for which a published record may be used: whoever kept it finds us after a week offline."""
LIFETIMES: Final = {Scope.PUBLIC: RECORD_LIFETIME, Scope.LOCAL: LOCAL_RECORD_LIFETIME}
"""Seconds for which the record of each scope may be used."""
EVERY: Final = {Scope.PUBLIC: PUBLISH_EVERY_SECONDS, Scope.LOCAL: PUBLISH_LOCAL_EVERY_SECONDS}
GAPS: Final = {Scope.PUBLIC: PUBLISH_GAP_SECONDS, Scope.LOCAL: PUBLISH_LOCAL_GAP_SECONDS}

Made: TypeAlias = tuple[EndpointRecord, SignedPacket]
"""A record of ours as it is now, and it signed."""


class PublishPlan:
    """When to publish next at one place. Times are seconds of one clock that never goes back."""

    __slots__ = ("_chance", "_every", "_failures", "_gap", "_last", "_next")

    def __init__(
        self,
        chance: Callable[[], float],
        every: float = PUBLISH_EVERY_SECONDS,
        gap: float = PUBLISH_GAP_SECONDS,
    ) -> None:
        """`chance` gives numbers in [0, 1): gateways that started together shall not publish together.

        `every` is the longest time in seconds from one publication to the next, `gap` the shortest.
        """
        self._chance = chance
        self._every = every
        self._gap = gap
        self._next: float | None = None
        self._last = float("-inf")
        self._failures = 0

    @property
    def due(self) -> float | None:
        """When to publish; None for not at all."""
        return self._next

    def changed(self, now: float) -> None:
        """The record differs from what was published: soon, so that changes in a row are one, and not too often."""
        soon = PUBLISH_DEBOUNCE_SECONDS * (
            1 + self._chance()
        )  # a beacon that ends changes many records at once
        wanted = max(now + soon, self._last + self._gap)
        self._failures = 0
        self._next = wanted if self._next is None else min(self._next, wanted)

    def published(self, now: float, *, complete: bool) -> None:
        """It was published just now, or (not `complete`) in vain."""
        self._last = now
        if complete:
            self._failures = 0
            pause = self._every * (0.75 + 0.25 * self._chance())
        else:
            pause = min(PUBLISH_RETRY_LONGEST, self._every, PUBLISH_RETRY_SECONDS * 2**self._failures)
            pause *= 0.75 + 0.5 * self._chance()
            self._failures = min(self._failures + 1, 16)
        self._next = now + pause

    def at_once(self, now: float) -> None:
        """What is published is wrong: now, but no sooner after the last time than always."""
        self._next = max(now, self._last + self._gap)

    def stop(self) -> None:
        """Nothing is to be published."""
        self._next = None


@dataclass(frozen=True, slots=True)
class Publication:
    """How one place stands."""

    place: str
    scope: Scope
    published_at: float | None
    """Unix seconds; None if our record was never put there."""
    expires: float | None
    """Unix seconds: until when what is there may be used."""
    next_in: float | None
    """Seconds; None if nothing is to be published there."""
    problem: str
    """Why the last attempt failed; empty if it did not."""


@dataclass(slots=True)
class _Place:
    source: RecordSource
    plan: PublishPlan
    told: object = None
    """What it was told last, whenever that was signed."""
    published_at: float | None = None
    expires: float | None = None
    problem: str = ""
    busy: bool = False


class Publisher:
    """Publishes our records for as long as `run` runs; each place by itself, so that one that fails is tried again alone."""

    def __init__(
        self,
        make: Callable[[Scope], Made | str],
        sources: Callable[[], Iterable[RecordSource]],
        chance: Callable[[], float],
        clock: Callable[[], float],
        *,
        seconds: float = DISCOVERY_SECONDS,
    ) -> None:
        """`make` signs the record for a scope as it is now, or says why nothing is to be published there.

        `sources` are the places to publish at, `clock` gives unix seconds; one publication may take so many `seconds`.
        """
        self._make = make
        self._sources = sources
        self._chance = chance
        self._clock = clock
        self._seconds = seconds
        self._places: dict[tuple[Scope, str], _Place] = {}
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Publisher at {len(self._places)} places, {len(self.failures)} failures>"

    @property
    def failures(self) -> dict[str, str]:
        """Why the last attempt failed, by place; empty where it did not."""
        return {place.source.name: place.problem for place in self._places.values() if place.problem}

    def changed(self) -> None:
        """Something that our records tell may have changed: services, relays, addresses, the policy, the places."""
        self._changed.set()

    def renew(self, scope: Scope) -> None:
        """Publish our record for this scope again, even if it says the same: who knew it may be out of reach, or we slept."""
        now = asyncio.get_running_loop().time()
        for place in self._places.values():
            if place.source.scope is scope:
                place.told = None
                place.plan.at_once(now)
        self.changed()

    def publications(self) -> tuple[Publication, ...]:
        """Where our records are."""
        now = asyncio.get_running_loop().time()
        return tuple(
            Publication(
                place.source.name,
                scope,
                place.published_at,
                place.expires,
                None if place.plan.due is None else max(0.0, place.plan.due - now),
                place.problem,
            )
            for (scope, _), place in self._places.items()
        )

    async def run(self) -> None:
        """Publish wherever and whenever it is time, until cancelled."""
        loop = asyncio.get_running_loop()
        self._changed.set()
        async with asyncio.TaskGroup() as group:
            while True:
                due = [place.plan.due for place in self._waiting() if place.plan.due is not None]
                try:
                    async with asyncio.timeout_at(min(due, default=None)):
                        await self._changed.wait()
                except TimeoutError:
                    self._publish_due(group, loop.time())
                else:
                    self._changed.clear()
                    self._look_for_news(loop.time())

    def _waiting(self) -> list[_Place]:
        return [place for place in self._places.values() if not place.busy]

    def _look_for_news(self, now: float) -> None:
        """Take the places as they are now, and plan what is news at each."""
        sources = {(source.scope, source.name): source for source in self._sources()}
        places = self._places
        self._places = {
            key: places.get(key)
            or _Place(source, PublishPlan(self._chance, EVERY[source.scope], GAPS[source.scope]))
            for key, source in sources.items()
        }
        made = {scope: self._make(scope) for scope in dict.fromkeys(scope for scope, _ in sources)}
        for (scope, _), place in self._places.items():
            place.source = sources[scope, place.source.name]
            record = made[scope]
            if isinstance(record, str):
                place.plan.stop()
                place.told, place.problem = None, ""
            elif place.plan.due is None or _content(record[0]) != place.told:
                place.plan.changed(now)

    def _publish_due(self, group: asyncio.TaskGroup, now: float) -> None:
        """Publish where it is time; all of one scope get the same packet."""
        made: dict[Scope, Made | str] = {}
        for place in self._waiting():
            if place.plan.due is None or place.plan.due > now:
                continue
            scope = place.source.scope
            if scope not in made:
                made[scope] = self._make(scope)
            record = made[scope]
            if isinstance(record, str):
                place.plan.stop()
            else:
                place.busy = True
                group.create_task(self._publish(place, *record), name=f"publish at {place.source.name}")

    async def _publish(self, place: _Place, record: EndpointRecord, packet: SignedPacket) -> None:
        problem = ""
        try:
            async with asyncio.timeout(self._seconds):
                await place.source.publish(packet)
        except TimeoutError:
            problem = f"no answer within {self._seconds:g} s"
        except (DiscoveryError, OSError) as error:
            problem = str(error) or type(error).__name__
        if problem and problem != place.problem:
            _logger.warning("our record is not published at %s: %s", place.source.name, problem)
        place.problem = problem
        place.told = _content(record)
        if not problem:
            place.published_at, place.expires = self._clock(), float(record.expires)
        place.plan.published(asyncio.get_running_loop().time(), complete=not problem)
        place.busy = False
        self._changed.set()  # what changed meanwhile is news, and the plan is another


def _content(record: EndpointRecord) -> object:
    """What the record says, whenever it was signed."""
    return replace(record, timestamp=0, expires=0)
