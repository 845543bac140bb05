"""Topics, joined to the gateway: what is joined and lent, the sources, and what others ask of it. ⚡"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from gateway.topics.discovery import TopicDiscovery
from gateway.topics.relays import LEND, FoundRelays
from gateway.topics.sources import Beacons, BeaconTopics, LanTopics
from resolver.discovery.base import Scope
from tunnels.errors import Unreachable
from tunnels.relay.status import RelayState, home_of
from tunnels.transports.pinned_tls import identify

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Iterable

    from gateway.topics.base import TopicSource
    from gateway.topics.joined import JoinedTopics
    from gateway.topics.manifest import Manifest
    from resolver.client import ResolverClient
    from resolver.signed_packets import SignedPacket
    from tunnels.addresses import Address, BeaconUrl, PathAddress
    from tunnels.identity import EndpointId


class Tunnels(Beacons, Protocol):
    """What is asked of our own endpoint (`tunnels.endpoint.Endpoint`)."""

    endpoint_id: EndpointId

    async def identify(self, address: Address) -> EndpointId: ...

    async def open_stream(
        self, endpoint_id: EndpointId, protocol_factory: Callable[[], Any], *, is_stranger: bool = False
    ) -> tuple[Any, Any]: ...

    def may_ask_at(self, address: Address) -> bool: ...


class Topics:
    """All of it; `start` it when the tunnels have their port."""

    def __init__(
        self,
        joined: JoinedTopics,
        tunnels: Tunnels,
        records: ResolverClient,
        *,
        heard: Callable[[], Iterable[SignedPacket]],
        lends_to_all: bool,
        finds_relays: Callable[[], bool],
        relays_found: Callable[[tuple[BeaconUrl, ...]], None],
        on_change: Callable[[], None],
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
    ) -> None:
        """`heard` gives the records heard on our networks.

        `finds_relays` tells whether relays of strangers are wanted, `relays_found` gets them; `on_change` is called when we are in
        other topics than before.
        """
        self._tunnels = tunnels
        self._records = records
        self._lends_to_all = lends_to_all
        self._on_change = on_change
        self._spawn = spawn
        self.joined = joined
        self.discovery = TopicDiscovery(
            tunnels.endpoint_id,
            identify=tunnels.identify,
            open_stream=tunnels.open_stream,
            learn=lambda packet: records.learn(packet, LanTopics.name, scope=Scope.LOCAL),
            spawn=spawn,
        )
        self.relays = FoundRelays(
            tunnels.endpoint_id,
            is_wanted=finds_relays,
            lent_by=self._lent_by,
            identify=self._identify_relay,
            home=self._home,
            has_failed=self._has_failed,
            on_change=relays_found,
        )
        self._sources: tuple[TopicSource, ...] = (
            BeaconTopics(tunnels, tunnels.endpoint_id),
            LanTopics(heard, tunnels.endpoint_id),
        )
        self._apply()

    def __repr__(self) -> str:
        return f"<Topics {self.joined!r}>"

    def add_source(self, source: TopicSource) -> None:
        """Ask and announce there, too."""
        self._sources = (*self._sources, source)

    def start(self) -> None:
        """Begin to look for others."""
        self.discovery.set_sources(self._sources)
        self.relays.set_sources(self._sources)
        self._spawn(self.discovery.run(), "topics")
        self._spawn(self.relays.run(), "relays of strangers")

    # --- what others tell it ----------------------------------------------------------------------------

    def moved(self) -> None:
        """Our network or our home is another one."""
        self.discovery.moved()
        self.relays.wake()

    def heard(self, packet: SignedPacket) -> None:
        """A record of our network came."""
        self.discovery.heard(packet)
        self.relays.heard(packet.endpoint_id)

    async def join(self, name: str, manifest: Manifest | None) -> tuple[str, bool]:
        """See JoinedTopics."""
        joined = await self.joined.join(name, manifest)
        self._apply()
        return joined

    async def leave(self, name: str) -> tuple[str, Manifest | None]:
        """See JoinedTopics."""
        left = await self.joined.leave(name)
        self._apply()
        return left

    @property
    def announced(self) -> tuple[bytes, ...]:
        """The ids of the topics that our record for our own networks names."""
        return self.discovery.announced

    async def addresses_of(self, endpoint_id: EndpointId) -> tuple[PathAddress, ...]:
        """Where to look for an endpoint: as the resolver says, and where a source said that it is.

        Nobody is asked for the records of those who only say to be in a topic.
        """
        places = self.discovery.places_of(endpoint_id)
        if not places or self._records.known(endpoint_id) is not None:
            return (*await self._records.addresses_of(endpoint_id), *places)
        if self.discovery.swarm.is_peer(endpoint_id):
            self._spawn(self._look_up(endpoint_id), f"record of {endpoint_id.short}")
        return places

    # --- within -----------------------------------------------------------------------------------------

    def _apply(self) -> None:
        self.discovery.set_topics(self.joined.topics, (LEND,) if self._lends_to_all else ())
        self._on_change()

    async def _look_up(self, endpoint_id: EndpointId) -> None:
        await self._records.record_of(endpoint_id)  # what comes of it, a dial that is under way is told

    async def _lent_by(self, endpoint_id: EndpointId) -> BeaconUrl | None:
        await self._records.record_of(endpoint_id)
        return self._records.lent_by(endpoint_id)

    async def _identify_relay(self, address: Address) -> EndpointId:
        if not self._tunnels.may_ask_at(address):
            raise Unreachable(f"{address} is not to be connected to from here")
        return await identify(address)

    def _home(self) -> BeaconUrl | None:
        home = home_of(self._tunnels.relays())
        return home.url if home is not None else None

    def _has_failed(self, relay: BeaconUrl) -> bool:
        return any(
            status.url == relay and status.error and status.state is not RelayState.CONNECTED
            for status in self._tunnels.relays()
        )
