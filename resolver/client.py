"""Where an endpoint is: asks all record sources at once, and uses what comes first until something newer comes.

No source is needed and none is trusted. What is known already answers at once, and sources are asked beside that, at
most once a minute; the first valid record answers a caller who knows nothing; the slower sources go on, so that the
newest record is what the next caller gets. What was asked, and what came of it, can be explained.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from resolver.discovery.base import Scope
from resolver.errors import DiscoveryError, RecordError
from resolver.limits import (
    CONCURRENT_SEARCHES,
    DISCOVERY_SECONDS,
    EXPLAINED_SEARCHES,
    LAN_LINKS,
    RECORD_FRESH_SECONDS,
)
from resolver.records import EndpointRecord
from tunnels.addresses import Address, RelayAddress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence

    from resolver.discovery.base import RecordSource
    from resolver.record_cache import CachedRecord, KeptPacket, RecordCache
    from resolver.signed_packets import SignedPacket
    from tunnels.addresses import BeaconUrl, PathAddress
    from tunnels.identity import EndpointId


class Finding(Enum):
    """What came of asking one source."""

    ASKING = "asking"
    FOUND = "found"
    """It has a record that is valid; perhaps not the newest."""
    NOTHING = "nothing"
    """It has no record of this endpoint."""
    REFUSED = "refused"
    """It has a record that cannot be used; `detail` says why."""
    FAILED = "failed"
    """It could not be asked; `detail` says why."""
    TOO_SLOW = "too-slow"


@dataclass(frozen=True, slots=True)
class SourceFinding:
    """What came of asking one source for one endpoint."""

    source: str
    finding: Finding
    detail: str = ""
    seconds: float = 0.0
    """How long it took, or takes so far."""
    timestamp: int | None = None
    """Of the record found: microseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why we look for an endpoint where we do."""

    endpoint_id: EndpointId
    typed: tuple[Address, ...]
    """Addresses that were typed by hand."""
    records: tuple[CachedRecord, ...]
    """The newest of each scope; the first is in use, and the addresses of all are."""
    findings: tuple[SourceFinding, ...]
    """Of the last search, in the order of the sources; empty if there was none."""

    @property
    def cached(self) -> CachedRecord | None:
        """The record in use."""
        return self.records[0] if self.records else None


class ResolverClient:
    """Finds records and addresses. `close` it once."""

    def __init__(
        self,
        sources: Sequence[RecordSource],
        cache: RecordCache,
        *,
        typed_addresses: Callable[[EndpointId], tuple[Address, ...]],
        clock: Callable[[], float],
        kept: Callable[[EndpointId], Sequence[KeptPacket]] = lambda _: (),
        find_kept: Callable[[EndpointId], Awaitable[KeptPacket | None]] | None = None,
        on_learned: Callable[[CachedRecord], None] = lambda _: None,
        with_local_relays: Callable[[], bool] = lambda: False,
        interfaces: Callable[[], Sequence[str]] = lambda: (),
        seconds: float = DISCOVERY_SECONDS,
    ) -> None:
        """`clock` gives unix seconds; `seconds` is how long a source may take.

        `kept` gives the packets that are at hand without asking anybody: tickets, and records of contacts; `find_kept`
        the public record that must be fetched from disk.
        `on_learned` is told of each record that is newer than what was known. Relays on loopback and the like are used
        `with_local_relays`, that is where we have such a beacon ourselves; else a record would point us at our own machine.
        `interfaces` lead to our local networks: an IPv6 link-local address of a local record is looked for on each.
        """
        self._sources = tuple(sources)
        self._cache = cache
        self._typed_addresses = typed_addresses
        self._clock = clock
        self._kept = kept
        self._find_kept = find_kept or _keep_nothing
        self._on_learned = on_learned
        self._with_local_relays = with_local_relays
        self._interfaces = interfaces
        self._seconds = seconds
        self._searches: dict[EndpointId, _Search] = {}
        self._findings: dict[EndpointId, dict[str, SourceFinding]] = {}
        self._searched: dict[EndpointId, float] = {}
        """When the last search for each endpoint in `_findings` began, by our clock."""

    def set_sources(self, sources: Sequence[RecordSource]) -> None:
        """Ask and publish at these from the next search on."""
        self._sources = tuple(sources)
        self._searched.clear()

    def __repr__(self) -> str:
        return f"<ResolverClient {len(self._sources)} sources, {len(self._searches)} searches>"

    async def addresses_of(self, endpoint_id: EndpointId) -> tuple[PathAddress, ...]:
        """Where to look for the endpoint: addresses typed by hand first, then those of its records, then its relays.

        The newest record comes first. What an older ticket says comes last: it tells of a local network what beacons
        are not told, but perhaps not of the one the endpoint is in now. Waits for a search only if nothing is known;
        empty if nobody knows any.
        """
        now = self._clock()
        typed = self._typed_addresses(endpoint_id)
        await self._recall(endpoint_id, now)
        cached = self._cache.get(endpoint_id, now)
        search = self._search_if_stale(endpoint_id, now)
        if cached is None and not typed and search is not None:
            cached = await search.first()
        if cached is None:
            return typed
        relayed = (RelayAddress(beacon, endpoint_id) for beacon in self.relays_of(endpoint_id))
        records = self._cache.all(endpoint_id, now) or (cached,)
        last = [each for each in records[1:] if each.scope is Scope.GIVEN]
        told = (address for each in records if each not in last for address in self._addresses_in(each))
        older = (address for each in last for address in each.record.addresses)
        return tuple(dict.fromkeys((*typed, *told, *relayed, *older)))

    def _addresses_in(self, cached: CachedRecord) -> Iterator[Address]:
        """The record's addresses as they can be sent to from here."""
        for address in cached.record.addresses:
            ip = address.ip
            if cached.scope is Scope.LOCAL and isinstance(ip, IPv6Address) and ip.is_link_local:
                for interface in self._interfaces()[:LAN_LINKS]:
                    yield Address.of(f"{IPv6Address(int(ip))}%{interface}", address.port)
            else:
                yield address

    def known(self, endpoint_id: EndpointId) -> CachedRecord | None:
        """The newest record that is known here, without asking anybody."""
        now = self._clock()
        self._recall_given(endpoint_id, now)
        return self._cache.get(endpoint_id, now)

    def glance(self, endpoint_id: EndpointId) -> EndpointRecord | None:
        """What `known` gives, for lists of many endpoints: no record in use gives way to it."""
        now = self._clock()
        if endpoint_id in self._cache:
            cached = self._cache.get(endpoint_id, now)
            return cached.record if cached is not None else None
        for kept in sorted(self._kept(endpoint_id), key=lambda kept: -kept.packet.timestamp):
            with contextlib.suppress(RecordError):
                record = EndpointRecord.from_packet(kept.packet)
                record.check_fresh(now)
                return record
        return None

    def is_ready(self, endpoint_id: EndpointId) -> bool:
        """Whether a record of the endpoint is read already, so that `known` costs nothing."""
        return endpoint_id in self._cache

    def relays_of(self, endpoint_id: EndpointId) -> tuple[BeaconUrl, ...]:
        """The beacons by which the endpoint is reached, as far as is known here; its home first."""
        known = self.known(endpoint_id)
        if known is None:
            return ()
        local = self._with_local_relays()
        return tuple(beacon for beacon in known.record.relays if local or not beacon.is_local)

    def lent_by(self, endpoint_id: EndpointId) -> BeaconUrl | None:
        """The relay that the endpoint lends, as far as is known here."""
        known = self.known(endpoint_id)
        lent = known.record.lends if known is not None else None
        return lent if lent is not None and (not lent.is_local or self._with_local_relays()) else None

    async def record_of(self, endpoint_id: EndpointId) -> CachedRecord | None:
        """The endpoint's newest record known here, or the first that a source gives; None if none does."""
        now = self._clock()
        await self._recall(endpoint_id, now)
        cached = self._cache.get(endpoint_id, now)
        if cached is None and (search := self._search(endpoint_id)) is not None:
            cached = await search.first()
        return cached

    def look_again(self, endpoint_id: EndpointId) -> None:
        """Ask all sources beside whatever goes on, unless that was done a moment ago, whatever came of it."""
        searched = self._searched.get(endpoint_id)
        if searched is None or not 0 <= self._clock() - searched < RECORD_FRESH_SECONDS:
            self._search(endpoint_id)

    async def refresh(self, endpoint_id: EndpointId) -> CachedRecord | None:
        """Ask all sources again, and wait for all of them: for when the known addresses did not answer."""
        await self._recall(endpoint_id, self._clock())
        search = self._search(endpoint_id)
        if search is not None:
            await search.all()
        return self._cache.get(endpoint_id, self._clock())

    def learn(self, packet: SignedPacket, source: str, *, scope: Scope = Scope.PUBLIC) -> CachedRecord:
        """Take a record that came by itself, as a ticket, from the endpoint or heard on the local network.

        RecordError if it cannot be used.
        """
        return self._offer(packet, source, self._clock(), scope)

    def _offer(self, packet: SignedPacket, source: str, now: float, scope: Scope) -> CachedRecord:
        """Put a packet into the cache, and tell of it if it is news."""
        self._recall_given(packet.endpoint_id, now)
        before = self._cache.all(packet.endpoint_id, now)
        cached = self._cache.offer(packet, source, now, scope)
        if cached not in before:
            self._on_learned(cached)
        return cached

    def _recall_given(self, endpoint_id: EndpointId, now: float) -> None:
        """Make ready what is at hand of an endpoint of which nothing is."""
        if endpoint_id not in self._cache:
            for kept in self._kept(endpoint_id):
                self._take(kept, now)

    async def _recall(self, endpoint_id: EndpointId, now: float) -> None:
        """The same, and what must be fetched from disk."""
        self._recall_given(endpoint_id, now)
        if all(cached.scope is not Scope.PUBLIC for cached in self._cache.all(endpoint_id, now)):
            kept = await self._find_kept(endpoint_id)
            if kept is not None:
                self._take(kept, now)

    def _take(self, kept: KeptPacket, now: float) -> None:
        with contextlib.suppress(RecordError):  # it has expired meanwhile
            self._cache.recall(kept, now)

    def _search_if_stale(self, endpoint_id: EndpointId, now: float) -> _Search | None:
        """The search that is under way, or a new one unless the last one was a moment ago and found something."""
        searched = self._searched.get(endpoint_id)
        if (
            endpoint_id not in self._searches
            and searched is not None
            and 0 <= now - searched < RECORD_FRESH_SECONDS
            and self._cache.get(endpoint_id, now) is not None
        ):
            return None
        return self._search(endpoint_id)

    def shrink(self) -> None:
        """Hold fewer records in memory."""
        self._cache.shrink()

    def forget(self, endpoint_id: EndpointId) -> None:
        """Drop what is known of the endpoint; what is said of it from now on is news."""
        self._cache.forget(endpoint_id)
        self._searched.pop(endpoint_id, None)
        self._findings.pop(endpoint_id, None)

    def explain(self, endpoint_id: EndpointId) -> Explanation:
        """What is known of the endpoint, and what came of the last search for it."""
        now = self._clock()
        self._recall_given(endpoint_id, now)
        return Explanation(
            endpoint_id,
            self._typed_addresses(endpoint_id),
            self._cache.all(endpoint_id, now),
            tuple(self._findings.get(endpoint_id, {}).values()),
        )

    async def close(self) -> None:
        """Give up all searches; those who wait for one get nothing."""
        searches = tuple(self._searches.values())
        self._searches.clear()
        for search in searches:
            await search.cancel()

    def _search(self, endpoint_id: EndpointId) -> _Search | None:
        """The search for the endpoint that is under way, or a new one; None if there are too many."""
        search = self._searches.get(endpoint_id)
        if search is None and self._sources and len(self._searches) < CONCURRENT_SEARCHES:
            self._findings.pop(endpoint_id, None)
            if len(self._findings) >= EXPLAINED_SEARCHES:
                oldest = next(iter(self._findings))
                del self._findings[oldest]
                self._searched.pop(oldest, None)
            self._searched[endpoint_id] = self._clock()
            findings = self._findings[endpoint_id] = {
                source.name: SourceFinding(source.name, Finding.ASKING) for source in self._sources
            }
            search = _Search(
                [self._ask(source, endpoint_id, findings) for source in self._sources],
                lambda: self._searches.pop(endpoint_id, None),
            )
            self._searches[endpoint_id] = search
        return search

    async def _ask(
        self, source: RecordSource, endpoint_id: EndpointId, findings: dict[str, SourceFinding]
    ) -> CachedRecord | None:
        """Ask one source, keep what it has, and note what came of it."""
        loop = asyncio.get_running_loop()
        began = loop.time()

        def note(finding: Finding, detail: str = "", timestamp: int | None = None) -> None:
            findings[source.name] = SourceFinding(
                source.name, finding, detail, loop.time() - began, timestamp
            )

        try:
            async with asyncio.timeout(self._seconds):
                packet = await source.find(endpoint_id)
        except TimeoutError:
            note(Finding.TOO_SLOW, f"no answer within {self._seconds:g} s")
        except RecordError as error:
            note(Finding.REFUSED, str(error))
        except (DiscoveryError, OSError) as error:
            note(Finding.FAILED, str(error))
        else:
            if packet is None:
                note(Finding.NOTHING)
            elif packet.endpoint_id != endpoint_id:
                note(Finding.REFUSED, f"its record is of another endpoint, {packet.endpoint_id.short}…")
            else:
                try:
                    cached = self._offer(packet, source.name, self._clock(), source.scope)
                except RecordError as error:
                    note(Finding.REFUSED, str(error), packet.timestamp)
                else:
                    note(Finding.FOUND, timestamp=packet.timestamp)
                    return cached
        return None


async def _keep_nothing(_: EndpointId) -> KeptPacket | None:
    return None


class _Search:
    """One search for one endpoint, shared by all who ask while it lasts."""

    def __init__(
        self, questions: list[Coroutine[None, None, CachedRecord | None]], on_end: Callable[[], object]
    ) -> None:
        loop = asyncio.get_running_loop()
        self._first: asyncio.Future[CachedRecord | None] = loop.create_future()
        self._ended = asyncio.Event()
        self._on_end = on_end
        self._tasks = {loop.create_task(question, name="record search") for question in questions}
        for task in self._tasks:
            task.add_done_callback(self._finish)

    async def first(self) -> CachedRecord | None:
        """The first valid record; None when no source has one."""
        return await asyncio.shield(self._first)

    async def all(self) -> None:
        """Return when every source has answered or been given up."""
        await self._ended.wait()

    async def cancel(self) -> None:
        """Give all sources up."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _finish(self, task: asyncio.Task[CachedRecord | None]) -> None:
        self._tasks.discard(task)
        found = None
        try:
            with contextlib.suppress(asyncio.CancelledError):
                found = task.result()  # a bug goes from here to the loop's exception handler
        finally:
            if not self._first.done() and (found is not None or not self._tasks):
                self._first.set_result(found)
            if not self._tasks:
                self._ended.set()
                self._on_end()
