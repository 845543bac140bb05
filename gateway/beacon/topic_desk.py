"""What gateways say and ask about topics at one node, and what the nodes of a fleet tell each other of it. ⚡"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING

from gateway.beacon.limits import (
    BEACON_BUCKETS,
    BEACON_STORE_SECONDS,
    BEACON_TOPIC_ASKS,
    BEACON_TOPIC_ASKS_PER_SECOND,
    BEACON_TOPIC_BATCH,
    BEACON_TOPIC_RENEWAL_SECONDS,
)
from gateway.beacon.rates import Rates
from gateway.beacon.stores import StoreUnavailable
from gateway.beacon.topics import TopicTable
from tunnels.limits import RELAY_TOPIC_PEERS
from tunnels.relay.frames import IsIn, Refused, TopicsKept

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.beacon.hub import Session
    from gateway.beacon.stores import TopicMembers
    from gateway.supervision import Supervisor
    from tunnels.identity import EndpointId
    from tunnels.relay.frames import Topics, WhoIsIn

_logger = logging.getLogger(__name__)

_BUSY = Refused(code="rate", reason="too many questions about topics; ask again later")


class TopicDesk:
    """Answers about topics; `shared` is what a fleet knows of them, None for a node that is alone."""

    def __init__(self, shared: TopicMembers | None, supervisor: Supervisor) -> None:
        self.table = TopicTable(secrets.randbelow)
        self._shared = shared
        self._supervisor = supervisor
        # Whoever asks is counted by where it comes from, if that counts: ids are made by the thousand.
        self._rates = Rates(BEACON_TOPIC_ASKS_PER_SECOND, BEACON_TOPIC_ASKS, bound=BEACON_BUCKETS)
        self._changed: set[tuple[bytes, EndpointId]] = set()
        self._woken = asyncio.Event()

    def __repr__(self) -> str:
        return f"TopicDesk({self.table!r})"

    def start(self) -> None:
        """Begin to tell the other nodes who is in what."""
        if self._shared is not None:
            self._supervisor.spawn(self._keep(self._shared), name="beacon topics")

    def join(self, session: Session, said: Topics, now: float) -> TopicsKept | Refused:
        """A gateway says which topics it is in."""
        if not self._may_ask(session, now):
            return _BUSY
        kept = self.table.join(session.endpoint_id, session.client, said.ids)
        self._tell((topic, session.endpoint_id) for topic in kept)
        return TopicsKept(kept=len(kept))

    def leave(self, endpoint_id: EndpointId) -> None:
        """A gateway is gone."""
        self._tell((topic, endpoint_id) for topic in self.table.leave(endpoint_id))

    async def who(self, session: Session, asked: WhoIsIn, now: float) -> IsIn | Refused:
        """Some of those in a topic, at any node."""
        if not self._may_ask(session, now):
            return _BUSY
        found = self.table.sample(asked.topic, session.endpoint_id)
        if self._shared is not None:
            try:
                async with asyncio.timeout(BEACON_STORE_SECONDS):
                    theirs = await self._shared.sample(asked.topic, 2 * RELAY_TOPIC_PEERS)
            except (StoreUnavailable, TimeoutError):
                theirs = ()  # those that are here are an answer too
            found = self._mixed(found, theirs, session.endpoint_id)
        return IsIn(topic=asked.topic, ids=tuple(map(str, found)))

    def sweep(self, now: float) -> None:
        """Forget the rates of whoever is quiet."""
        self._rates.sweep(now)

    @staticmethod
    def _mixed(
        here: tuple[EndpointId, ...], theirs: tuple[EndpointId, ...], asker: EndpointId
    ) -> tuple[EndpointId, ...]:
        """Half of each where there are enough of both."""
        elsewhere = [each for each in dict.fromkeys(theirs) if each != asker and each not in here]
        room = max(RELAY_TOPIC_PEERS // 2, RELAY_TOPIC_PEERS - len(here))
        chosen = elsewhere[:room]
        return (*here[: RELAY_TOPIC_PEERS - len(chosen)], *chosen)

    def _may_ask(self, session: Session, now: float) -> bool:
        key = session.endpoint_id if session.client is None else session.client
        return self._rates.take(key, 1, now)

    def _tell(self, changed: Iterable[tuple[bytes, EndpointId]]) -> None:
        if self._shared is not None:
            self._changed.update(changed)
            self._woken.set()

    async def _keep(self, shared: TopicMembers) -> None:
        """Tell of changes as they come, and of everybody before they are forgotten."""
        loop = asyncio.get_running_loop()
        due = loop.time() + BEACON_TOPIC_RENEWAL_SECONDS
        while True:
            try:
                async with asyncio.timeout_at(due):
                    await self._woken.wait()
            except TimeoutError:
                self._changed.update(self.table.all())
                due = loop.time() + BEACON_TOPIC_RENEWAL_SECONDS
            self._woken.clear()
            changed, self._changed = list(self._changed), set()
            try:
                for start in range(0, len(changed), BEACON_TOPIC_BATCH):
                    await self._say(shared, changed[start : start + BEACON_TOPIC_BATCH])
            except StoreUnavailable as error:
                _logger.debug("topics are not shared yet: %s", error)

    async def _say(self, shared: TopicMembers, changed: list[tuple[bytes, EndpointId]]) -> None:
        here = [member for member in changed if self.table.has(*member)]
        await shared.announce(here)
        await shared.withdraw([member for member in changed if member not in here])
