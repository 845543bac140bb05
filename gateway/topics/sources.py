"""Beacons, the local network and the DHT as topic sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.limits import TOPICS
from gateway.topics.base import Candidate
from gateway.topics.limits import (
    TOPIC_DHT_ANNOUNCE_SECONDS,
    TOPIC_DHT_FIND_FIRST_SECONDS,
    TOPIC_DHT_FIND_SECONDS,
    TOPIC_DHT_FIRST_SECONDS,
)
from resolver.errors import DiscoveryError, RecordError
from resolver.records import EndpointRecord
from tunnels.addresses import Address, RelayAddress
from tunnels.errors import TunnelError
from tunnels.relay.status import RelayState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from resolver.signed_packets import SignedPacket
    from tunnels.addresses import BeaconUrl
    from tunnels.identity import EndpointId
    from tunnels.relay.status import RelayStatus


class Beacons(Protocol):
    """What is asked of our connections to beacons (`tunnels.endpoint.Endpoint`)."""

    def relays(self) -> tuple[RelayStatus, ...]: ...

    async def join_topics(self, topics: Sequence[bytes], beacon: BeaconUrl) -> int: ...

    async def who_is_in(self, topic: bytes, beacon: BeaconUrl) -> tuple[EndpointId, ...]: ...


class BeaconTopics:
    """The beacon that we are at home at, and the one that we lend; others that we are connected to hear nothing of us."""

    name = "beacon"

    def __init__(self, beacons: Beacons, own: EndpointId) -> None:
        self._beacons = beacons
        self._own = own
        self._told: set[BeaconUrl] = set()
        """Where we said that we are in something."""

    async def announce(self, topics: tuple[bytes, ...]) -> None:
        """Say it at each; DiscoveryError if none takes it."""
        errors: list[str] = []
        places = self._places()
        for url in places:
            if not topics and url not in self._told:
                continue
            try:
                await self._beacons.join_topics(topics, url)
            except TunnelError as error:
                errors.append(str(error))
            else:
                (self._told.add if topics else self._told.discard)(url)
        self._told.intersection_update(places)
        if errors and len(errors) == len(places):
            raise DiscoveryError(errors[0])

    async def find(self, topic: bytes) -> tuple[Candidate, ...]:
        """Those whom each tells of; DiscoveryError if none does."""
        found: dict[EndpointId, list[RelayAddress]] = {}
        errors: list[str] = []
        places = self._places()
        for url in places:
            try:
                for endpoint_id in await self._beacons.who_is_in(topic, url):
                    found.setdefault(endpoint_id, []).append(RelayAddress(url, endpoint_id))
            except TunnelError as error:
                errors.append(str(error))
        if errors and len(errors) == len(places):
            raise DiscoveryError(errors[0])
        return tuple(Candidate(key, tuple(at)) for key, at in found.items() if key != self._own)

    def _places(self) -> tuple[BeaconUrl, ...]:
        return tuple(
            relay.url
            for relay in self._beacons.relays()
            if relay.state is RelayState.CONNECTED
            and relay.welcome is not None
            and relay.welcome.topics
            and (relay.is_home or relay.url.beacon_id == self._own)
        )


class LanTopics:
    """What endpoints of our networks say in their records; ours says it to them, so that nothing is to be announced here."""

    name = "local network"

    def __init__(self, heard: Callable[[], Iterable[SignedPacket]], own: EndpointId) -> None:
        """`heard` gives the packets that were heard of late and are good."""
        self._heard = heard
        self._own = own

    async def announce(self, topics: tuple[bytes, ...]) -> None:
        """See the class."""

    async def find(self, topic: bytes) -> tuple[Candidate, ...]:
        """Those whose records name it."""
        return tuple(
            Candidate(packet.endpoint_id, (), packet)
            for packet in self._heard()
            if packet.endpoint_id != self._own and topic in topics_of(packet)
        )


def topics_of(packet: SignedPacket) -> tuple[bytes, ...]:
    """The topics that a packet names; none of one that cannot be read."""
    try:
        return EndpointRecord.from_packet(packet).topics
    except RecordError:
        return ()


class Dht(Protocol):
    """What is asked of the DHT (`resolver.discovery.dht`)."""

    def announce(self, topic: bytes, port: int) -> None: ...

    async def find_peers(self, topic: bytes) -> tuple[Address, ...]: ...


@dataclass(frozen=True, slots=True)
class _Said:
    """What the DHT was told of a topic: sooner again at first, when few of its nodes may have been known."""

    port: int
    pause: float
    again_at: float


@dataclass(frozen=True, slots=True)
class _Found:
    """What came of the last search for a topic; while nobody is found, the next one is sooner at first."""

    candidates: tuple[Candidate, ...]
    pause: float
    again_at: float


class DhtTopics:
    """The Mainline DHT, which knows addresses and no ids: who is there is asked by a handshake."""

    name = "dht"

    def __init__(self, dht: Dht, port_of: Callable[[bytes], int | None], clock: Callable[[], float]) -> None:
        """`port_of` tells the port by which others reach us for a topic; None where they cannot, and we say nothing.

        `clock` gives seconds and never goes back. Rounds come more often than strangers' nodes are to be asked.
        """
        self._dht = dht
        self._port_of = port_of
        self._clock = clock
        self._said: dict[bytes, _Said] = {}
        self._found: dict[bytes, _Found] = {}

    async def announce(self, topics: tuple[bytes, ...]) -> None:
        """Say our ip and that port; what is not said again is forgotten there within half an hour."""
        now = self._clock()
        self._said = {topic: said for topic, said in self._said.items() if topic in topics}
        for topic in topics:
            port = self._port_of(topic)
            said = self._said.get(topic)
            if port is not None and (said is None or said.port != port or said.again_at <= now):
                pause = TOPIC_DHT_FIRST_SECONDS if said is None else 2 * said.pause
                pause = min(pause, TOPIC_DHT_ANNOUNCE_SECONDS)
                self._said[topic] = _Said(port, pause, now + pause)
                self._dht.announce(topic, port)

    async def find(self, topic: bytes) -> tuple[Candidate, ...]:
        """Whoever said so."""
        now = self._clock()
        known = self._found.get(topic)
        if known is not None and now < known.again_at:
            return known.candidates
        found = await self._dht.find_peers(topic)
        candidates = tuple(Candidate(address, (address,)) for address in dict.fromkeys(found))
        pause = TOPIC_DHT_FIND_FIRST_SECONDS if known is None else 2 * known.pause
        pause = TOPIC_DHT_FIND_SECONDS if candidates else min(pause, TOPIC_DHT_FIND_SECONDS)
        if len(self._found) > 4 * TOPICS:
            self._found.clear()  # of topics that were left long ago
        self._found[topic] = _Found(candidates, pause, now + pause)
        return candidates
