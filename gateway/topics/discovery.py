"""Rounds of announcing and asking at all sources, and handshakes with those they tell of. ⚡

What is decided is in `swarm`; here are the clock, the sources and the tunnels.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from gateway.topics.base import Candidate
from gateway.topics.greeting import Greeter
from gateway.topics.hello import HelloError
from gateway.topics.limits import (
    TOPIC_CHECK_SECONDS,
    TOPIC_PLACES,
    TOPIC_ROUND_ALONE_SECONDS,
    TOPIC_ROUND_FIRST_SECONDS,
    TOPIC_ROUND_GAP_SECONDS,
    TOPIC_ROUND_SECONDS,
    TOPIC_SOURCE_SECONDS,
)
from gateway.topics.sources import topics_of
from gateway.topics.swarm import Swarm
from resolver.errors import DiscoveryError, RecordError
from resolver.topics import topic_id, topic_key
from tunnels.errors import TunnelError
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from gateway.topics.base import TopicSource
    from gateway.topics.greeting import OpenStream
    from gateway.topics.hello import Found
    from gateway.topics.manifest import Manifest
    from gateway.topics.swarm import Check, Peer
    from resolver.signed_packets import SignedPacket
    from tunnels.addresses import Address, PathAddress

_logger = logging.getLogger(__name__)


class TopicDiscovery:
    """Finds those who are in our topics for as long as `run` runs."""

    def __init__(
        self,
        own: EndpointId,
        *,
        identify: Callable[[Address], Awaitable[EndpointId]],
        open_stream: OpenStream,
        learn: Callable[[SignedPacket], object],
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
    ) -> None:
        """`identify` asks who is at an address, `open_stream` opens a stream to a stranger; both raise TunnelError.

        `learn` takes a record that is for our network only; it raises RecordError.
        """
        self._identify = identify
        self._learn = learn
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._sources: tuple[TopicSource, ...] = ()
        self._woken = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._places: OrderedDict[EndpointId, tuple[PathAddress, ...]] = OrderedDict()
        self._others: tuple[bytes, ...] = ()
        self._has_announced = False
        self.swarm = Swarm(own, secrets.randbelow)
        self.greeter = Greeter(own, open_stream, self._met)
        self.failures: dict[str, str] = {}
        """Why a source could not be asked in the last round, by its name."""

    def __repr__(self) -> str:
        return f"<TopicDiscovery {self.swarm!r}>"

    # --- what others tell it ----------------------------------------------------------------------------

    def set_sources(self, sources: Sequence[TopicSource]) -> None:
        """Ask and announce at these."""
        self._sources = tuple(sources)
        self.wake()

    def set_topics(self, topics: Mapping[str, Manifest | None], others: Sequence[bytes] = ()) -> None:
        """We are in these topics, by name; `others` are announced, too, and nobody in them is looked for."""
        self.greeter.keys = {topic_id(name): topic_key(name) for name in topics}
        self.greeter.manifests = {
            topic_id(name): manifest for name, manifest in topics.items() if manifest is not None
        }
        self._others = tuple(others)
        self.swarm.set_topics(self.greeter.keys)
        self.wake()

    @property
    def announced(self) -> tuple[bytes, ...]:
        """The ids of all topics that we say to be in."""
        return tuple(dict.fromkeys((*self._others, *self.greeter.keys)))

    def wake(self) -> None:
        """Something changed: begin a round soon."""
        self._woken.set()

    def moved(self) -> None:
        """Our network or our home is another one."""
        self.swarm.forgive()
        self.wake()

    def heard(self, packet: SignedPacket) -> None:
        """A record of our network came: who is in a topic of ours is asked at once."""
        now = self._loop.time()
        for topic in topics_of(packet):
            self.swarm.offer(topic, Candidate(packet.endpoint_id, (), packet), "local network", now)
        self._pump()

    def peers(self, name: str) -> tuple[Peer, ...]:
        """Who proved to be in a topic of ours."""
        return self.swarm.peers(topic_id(name))

    def places_of(self, endpoint_id: EndpointId) -> tuple[PathAddress, ...]:
        """Where a source said that an endpoint is."""
        return self._places.get(endpoint_id, ())

    # --- rounds -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Announce and ask, whenever it is time, until cancelled."""
        try:
            rounds = 0
            while True:
                rounds = 0 if self._woken.is_set() else rounds + 1
                self._woken.clear()
                await self._round()
                await asyncio.sleep(TOPIC_ROUND_GAP_SECONDS)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pause(rounds)):
                        await self._woken.wait()
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def _pause(self, rounds: int) -> float | None:
        """Seconds until the next of so many rounds: soon at first, when sources that have just been started may know nobody yet."""
        if not self.announced:
            return None
        most = TOPIC_ROUND_ALONE_SECONDS if self.swarm.is_alone else TOPIC_ROUND_SECONDS
        seconds = min(most, TOPIC_ROUND_FIRST_SECONDS * 2.0 ** min(rounds, 16))
        return seconds * (0.75 + secrets.randbelow(1024) / 2048)  # many begin at once, after a power cut

    async def _round(self) -> None:
        if not self.announced and not self._has_announced:
            return
        self._has_announced = bool(self.announced)
        async with asyncio.TaskGroup() as group:
            for source in self._sources:
                group.create_task(self._ask(source), name=f"topics at {source.name}")
        self._pump()

    async def _ask(self, source: TopicSource) -> None:
        try:
            async with asyncio.timeout(TOPIC_SOURCE_SECONDS):
                await source.announce(self.announced)
            for topic in self.swarm.topics:
                async with asyncio.timeout(TOPIC_SOURCE_SECONDS):
                    candidates = await source.find(topic)
                for candidate in candidates:
                    self.swarm.offer(topic, candidate, source.name, self._loop.time())
                self._pump()
        except TimeoutError:
            self.failures[source.name] = f"no answer within {TOPIC_SOURCE_SECONDS:g} s"
        except (DiscoveryError, OSError) as error:
            self.failures[source.name] = str(error)
        else:
            self.failures.pop(source.name, None)

    # --- handshakes -------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Begin all handshakes that may be, and come back when more may."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._loop.time()
        while (check := self.swarm.take(now)) is not None:
            self._spawn(self._check(check), "topic handshake")
        due = self.swarm.get_timer(now)
        if due is not None:
            self._timer = self._loop.call_at(due, self._pump)

    async def _check(self, check: Check) -> None:
        candidate = check.candidate
        key = candidate.key
        endpoint_id = key if isinstance(key, EndpointId) else None
        try:
            async with asyncio.timeout(TOPIC_CHECK_SECONDS):
                if not isinstance(key, EndpointId):
                    endpoint_id = await self._identify(key)
                assert endpoint_id is not None  # noqa: S101 - it is one of the two
                self._remember(endpoint_id, candidate)
                found = await self.greeter.ask(endpoint_id)
        except (TunnelError, HelloError, TimeoutError) as error:
            _logger.debug("%s, told of by %s, is no peer: %s", key, check.source, error)
            self.swarm.failed(key, self._loop.time())
            if endpoint_id is not None and endpoint_id != key:
                self.swarm.failed(endpoint_id, self._loop.time())
        else:
            self.swarm.proved(key, endpoint_id, found, self._loop.time())
        self._pump()

    def _remember(self, endpoint_id: EndpointId, candidate: Candidate) -> None:
        if candidate.packet is not None:
            with contextlib.suppress(RecordError):  # it may have expired while it waited
                self._learn(candidate.packet)
        if candidate.places:
            self._places[endpoint_id] = candidate.places
            self._places.move_to_end(endpoint_id)
            if len(self._places) > TOPIC_PLACES:
                self._places.popitem(last=False)

    def _met(self, endpoint_id: EndpointId, found: Found) -> None:
        self.swarm.met(endpoint_id, found, self._loop.time())
        self._pump()
