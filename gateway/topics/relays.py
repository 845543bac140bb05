"""Relays that strangers lend to everybody, found by the topic of those who do: for a gateway that has no other. ⚡

Who lends says so in a signed record, or answers at the address that the DHT tells of with a certificate of its own key. Either
way its URL holds its id, so that we speak with it or with nobody; whether it lets us in, the login shows. It is trusted
with no more than any beacon is, and with less: what its STUN server attests is not believed (`tunnels.nat.attested`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

from gateway.topics.limits import (
    FOUND_RELAYS,
    FOUND_RELAYS_ASKED,
    FOUND_RELAYS_FAILED,
    FOUND_RELAYS_ROUND_SECONDS,
    TOPIC_RETRY_SECONDS,
    TOPIC_ROUND_ALONE_SECONDS,
    TOPIC_ROUND_GAP_SECONDS,
    TOPIC_SOURCE_SECONDS,
)
from resolver.errors import DiscoveryError, RecordError
from resolver.records import EndpointRecord
from resolver.topics import LEND_TOPIC, topic_id
from tunnels.addresses import Address, BeaconUrl
from tunnels.errors import TunnelError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.topics.base import Candidate, TopicSource
    from tunnels.identity import EndpointId

_logger = logging.getLogger(__name__)

LEND: bytes = topic_id(LEND_TOPIC)
"""The id of that topic."""


class FoundRelays:
    """Looks for some while they are wanted, for as long as `run` runs."""

    def __init__(
        self,
        own: EndpointId,
        *,
        is_wanted: Callable[[], bool],
        lent_by: Callable[[EndpointId], Awaitable[BeaconUrl | None]],
        identify: Callable[[Address], Awaitable[EndpointId]],
        home: Callable[[], BeaconUrl | None],
        has_failed: Callable[[BeaconUrl], bool],
        on_change: Callable[[tuple[BeaconUrl, ...]], None],
    ) -> None:
        """`lent_by` tells what an endpoint's record says that it lends, `identify` whose certificate a TLS server at an
        address has (TunnelError if none). `home` is where we are at home, `has_failed` whether a relay of `relays` was tried
        and did not let us in; `on_change` gets them when they are others.
        """
        self._own = own
        self._is_wanted = is_wanted
        self._lent_by = lent_by
        self._identify = identify
        self._home = home
        self._has_failed = has_failed
        self._on_change = on_change
        self._sources: tuple[TopicSource, ...] = ()
        self._woken = asyncio.Event()
        self._useless: OrderedDict[object, float] = OrderedDict()
        """Until when each is not tried again."""
        self.relays: tuple[BeaconUrl, ...] = ()
        """Those to be at home at, at most FOUND_RELAYS."""

    def __repr__(self) -> str:
        return f"<FoundRelays {', '.join(relay.authority for relay in self.relays)}>"

    def set_sources(self, sources: Sequence[TopicSource]) -> None:
        """Ask these."""
        self._sources = tuple(sources)
        self.wake()

    def wake(self) -> None:
        """Look soon: the network, our home or what contacts lend is another."""
        self._woken.set()

    def heard(self, lender: EndpointId) -> None:
        """The lender told of itself on our own network: it is there now, whatever became of its relay before."""
        for key in [key for key in self._useless if isinstance(key, BeaconUrl) and key.beacon_id == lender]:
            del self._useless[key]
        if not self.relays:
            self.wake()

    async def run(self) -> None:
        """Look whenever it is time, until cancelled."""
        while True:
            self._woken.clear()
            await self._round()
            await asyncio.sleep(TOPIC_ROUND_GAP_SECONDS)
            pause = FOUND_RELAYS_ROUND_SECONDS if self.relays else TOPIC_ROUND_ALONE_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause * (0.75 + secrets.randbelow(1024) / 2048)):
                    await self._woken.wait()

    async def _round(self) -> None:
        if not self._is_wanted():
            self._set(())
            return
        home = self._home()
        if home is not None:
            return
        for relay in self.relays:
            if self._has_failed(relay):
                self._give_up(relay)
        kept = [relay for relay in self.relays if self._is_worth_it(relay)]
        if len(kept) < FOUND_RELAYS:
            kept += await self._look(frozenset(kept))
        self._set(tuple(dict.fromkeys(kept))[:FOUND_RELAYS])

    async def _look(self, known: frozenset[BeaconUrl]) -> list[BeaconUrl]:
        """Some more, in an order by chance, so that not all of us go to the same one."""
        candidates: dict[object, Candidate] = {}

        async def ask(source: TopicSource) -> None:
            try:
                async with asyncio.timeout(TOPIC_SOURCE_SECONDS):
                    found = await source.find(LEND)
            except (TimeoutError, DiscoveryError, OSError) as error:
                _logger.debug("%s does not tell who lends a relay: %s", source.name, error)
                return
            for candidate in found:
                candidates.setdefault(candidate.key, candidate)

        async with asyncio.TaskGroup() as group:
            for source in self._sources:
                group.create_task(ask(source), name=f"lenders at {source.name}")
        chosen = [
            each for each in candidates.values() if each.key != self._own and self._is_worth_it(each.key)
        ]
        secrets.SystemRandom().shuffle(chosen)
        urls: list[BeaconUrl] = []

        async def resolve(candidate: Candidate) -> None:
            url = await self._url_of(candidate)
            if url is not None and url not in known and self._is_worth_it(url):
                urls.append(url)

        async with asyncio.TaskGroup() as group:
            for candidate in chosen[:FOUND_RELAYS_ASKED]:
                group.create_task(resolve(candidate), name="a lender's relay")
        return urls

    async def _url_of(self, candidate: Candidate) -> BeaconUrl | None:
        """The relay that somebody lends, with its id in it; None if it lends none."""
        try:
            async with asyncio.timeout(TOPIC_SOURCE_SECONDS):
                if isinstance(candidate.key, Address):
                    lender = await self._identify(candidate.key)
                    ip = candidate.key.ip
                    host = f"[{ip}]" if ip.version == 6 else str(ip)
                    return BeaconUrl("https", host, candidate.key.port, lender)
                if candidate.packet is not None:
                    return EndpointRecord.from_packet(candidate.packet).lends
                return await self._lent_by(candidate.key)
        except (TunnelError, RecordError, TimeoutError, OSError) as error:
            _logger.debug("%s lends no relay: %s", candidate.key, error)
            if isinstance(candidate.key, Address):
                self._give_up(candidate.key)
            return None

    def _set(self, relays: tuple[BeaconUrl, ...]) -> None:
        if relays != self.relays:
            self.relays = relays
            self._on_change(relays)

    def _is_worth_it(self, key: object) -> bool:
        return self._useless.get(key, 0.0) <= asyncio.get_running_loop().time()

    def _give_up(self, key: BeaconUrl | Address) -> None:
        self._useless.pop(key, None)
        self._useless[key] = asyncio.get_running_loop().time() + TOPIC_RETRY_SECONDS
        if len(self._useless) > FOUND_RELAYS_FAILED:
            self._useless.popitem(last=False)
