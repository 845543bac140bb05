"""The records of a gateway: what it knows of others and where it asks for it, what it says of itself and where it puts that.

Reading and publishing are joined here because they share their places: the local network, the DHT and beacons are asked
for others' records and keep ours. What else of the gateway a record tells is asked for when the record is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gateway as package
from gateway.dht import Dht
from gateway.kept_records import KeptRecords
from gateway.known_zones import KnownZones
from gateway.local_network import LocalNetwork
from gateway.own_record import own_record, published_parts
from gateway.own_zone import OwnZone
from gateway.publishing import LIFETIMES, Publisher
from resolver.client import ResolverClient
from resolver.discovery.base import Scope
from resolver.discovery.beacons import BeaconHttp, BeaconSource, HomesSource
from resolver.discovery.circles import CirclesSource
from resolver.discovery.dht import DhtSource
from resolver.discovery.lan import LanSource
from resolver.discovery.static import ContactsSource
from resolver.errors import RecordError
from resolver.record_cache import RecordCache
from resolver.signed_packets import LOCAL

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from gateway.config import Config
    from gateway.contact_book import ContactBook
    from gateway.exposed import ExposedServices
    from gateway.home import Home
    from gateway.introductions import Introductions
    from gateway.kept_state import KeptState
    from gateway.publishing import Made
    from resolver.discovery.base import RecordSource
    from resolver.record_cache import CachedRecord, KeptPacket
    from resolver.signed_packets import SignedPacket
    from tunnels.addresses import Address, BeaconUrl
    from tunnels.identity import EndpointId, SecretKey


@dataclass(frozen=True, slots=True)
class AboutUs:
    """What our records tell of the rest of the gateway, each asked when a record is made."""

    bound: Callable[[], tuple[Address, ...]]
    """The addresses of our tunnels' sockets."""
    addresses: Callable[[], tuple[Address, ...]]
    """Where others on our networks reach us."""
    relays: Callable[[], tuple[BeaconUrl, ...]]
    """Where peers find us, our home first."""
    lends: Callable[[], BeaconUrl | None]
    """The relay that we lend, if we do."""
    topics: Callable[[], tuple[bytes, ...]]
    """The topics that we are in, for the local network."""


@dataclass(frozen=True, slots=True)
class News:
    """Whom to tell what."""

    learned: Callable[[EndpointId], None]
    """A newer record of that endpoint is known."""
    heard: Callable[[SignedPacket], None]
    """Somebody speaks on the local network."""
    own_zone_changed: Callable[[], None]


class Records:
    """From `start` to the closing of its parts; `reload` when the configuration changed."""

    def __init__(
        self,
        secret_key: SecretKey,
        config: Callable[[], Config],
        contacts: ContactBook,
        exposed: ExposedServices,
        introductions: Introductions,
        about_us: AboutUs,
        news: News,
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        clock: Callable[[], float],
    ) -> None:
        """`config` gives the configuration in force now, `clock` the seconds since 1970."""
        self._secret_key = secret_key
        self._config = config
        self._contacts = contacts
        self._exposed = exposed
        self._introductions = introductions
        self._about_us = about_us
        self._news = news
        self._spawn = spawn
        self._clock = clock

    async def start(self, stack: contextlib.AsyncExitStack, home: Home, state: KeptState) -> None:
        """Make everything but what is heard on the local network; it is closed by `stack`."""
        config, endpoint_id = self._config(), self._secret_key.endpoint_id
        self.own_zone = await asyncio.to_thread(OwnZone, home, endpoint_id, self._own_zone_changed)
        self.kept = await asyncio.to_thread(KeptRecords, state, self._contacts.is_contact, self._clock)
        stack.push_async_callback(self.kept.close)
        self._beacon_http = BeaconHttp(
            proxy=config.beacons.proxy, user_agent=f"overlay/{package.__version__}"
        )
        stack.push_async_callback(self._beacon_http.close)
        self.local_network = self._make_local_network()
        self.dht = Dht(
            config.dht,
            config.tunnels.bind,
            home,
            spawn=self._spawn,
            on_news=self._late_record,
            is_hidden=config.tunnels.path_policy == "relay-only",
        )
        await self.dht.start()
        stack.push_async_callback(self.dht.close)
        self.client = ResolverClient(
            self._sources(),
            RecordCache(),
            typed_addresses=self._typed_addresses,
            clock=self._clock,
            kept=self._kept_packets,
            find_kept=self.kept.find,
            on_learned=self._learned,
            with_local_relays=lambda: any(beacon.is_local for beacon in self._config().beacons.urls),
            interfaces=lambda: self.local_network.interfaces() if self.local_network is not None else (),
        )
        stack.push_async_callback(self.client.close)
        self.zones = KnownZones((endpoint_id, lambda: self.own_zone.entries), self.client.known, self._clock)
        self.publisher = Publisher(self.published, self._publish_places, random.random, self._clock)

    async def join_local_network(self, stack: contextlib.AsyncExitStack) -> None:
        """Last of all: whom we hear of there concerns most of the gateway."""
        if self.local_network is not None:
            stack.push_async_callback(self.local_network.close)
            await self.local_network.start()

    def reload(self) -> None:
        """The beacons that are configured changed."""
        self.client.set_sources(self._sources())

    def changed(self) -> None:
        """Something that our records tell may have changed."""
        self.publisher.changed()
        if self.local_network is not None:
            self.local_network.changed()

    # --- ours -------------------------------------------------------------------------------------------

    def published(self, scope: Scope) -> Made | str:
        """Our record for a scope as [publish] has it, or why there is none."""
        local, settings = scope is Scope.LOCAL, self._config()
        words = settings.publish.lan if local else settings.publish.public
        if not words:
            return f"[publish] {'lan' if local else 'public'} is empty"
        if local and settings.tunnels.path_policy in ("relay-only", "no-lan"):
            return f"[tunnels] path_policy = {settings.tunnels.path_policy} keeps our addresses to ourselves"
        return own_record(
            self._secret_key,
            **published_parts(
                words,
                nickname=settings.gateway.nickname,
                addresses=self._addresses_on_networks() if local else settings.tunnels.addresses,
                services=self._exposed.public(),
                relays=self._about_us.relays(),
                lends=self._about_us.lends(),
            ),
            topics=self._about_us.topics() if local else (),
            zone=self.own_zone.entries,
            now=self._clock(),
            lifetime=LIFETIMES[scope],
            salt=LOCAL if local else b"",
        )

    def public_packet(self) -> SignedPacket | None:
        """What anybody may have of us."""
        made = self.published(Scope.PUBLIC)
        return None if isinstance(made, str) else made[1]

    def _addresses_on_networks(self) -> tuple[Address, ...]:
        """Ours without those that lead whoever uses them to his own machine, and with those that lead nowhere else."""
        near = self.local_network.addresses() if self.local_network is not None else ()
        return (*(address for address in self._about_us.addresses() if not address.ip.is_loopback), *near)

    def _publish_places(self) -> tuple[RecordSource, ...]:
        """The sources that keep our record."""
        settings = self._config()
        return (
            *([self.local_network.source] if self.local_network is not None else []),
            *(self._beacon_sources() if settings.beacons.publish else ()),
            *(self.dht.sources if settings.dht.publish else ()),
        )

    def _own_zone_changed(self) -> None:
        self.publisher.changed()
        self._news.own_zone_changed()

    # --- others' ----------------------------------------------------------------------------------------

    def _make_local_network(self) -> LocalNetwork | None:
        settings = self._config().lan
        if not settings.enabled:
            return None
        return LocalNetwork(
            settings,
            self._secret_key,
            bound=self._about_us.bound,
            may_tell=lambda: not isinstance(self.published(Scope.LOCAL), str),
            is_hidden=lambda: self._config().tunnels.path_policy in ("relay-only", "no-lan"),
            is_contact=self._contacts.is_contact,
            learn=self._learn_local,
            on_change=lambda: self.publisher.renew(Scope.LOCAL),
            spawn=self._spawn,
            clock=self._clock,
            on_heard=self._news.heard,
        )

    def _sources(self) -> tuple[RecordSource, ...]:
        beacons = self._beacon_sources()
        return (
            ContactsSource(lambda: self._contacts.book),
            *([self.local_network.source] if self.local_network is not None else []),
            *beacons,
            CirclesSource(self._introductions.packet_of, self._introductions.ask_again),
            HomesSource(
                lambda endpoint_id: self.client.relays_of(endpoint_id),
                lambda: tuple(each.beacon for each in beacons),
                self._beacon_http,
            ),
            *self.dht.sources,
        )

    def _beacon_sources(self) -> tuple[BeaconSource, ...]:
        settings = self._config().beacons
        beacons = dict.fromkeys((*settings.urls, *settings.records))
        return tuple(BeaconSource(beacon, self._beacon_http) for beacon in beacons)

    def _typed_addresses(self, endpoint_id: EndpointId) -> tuple[Address, ...]:
        contact = self._contacts.book.find_id(endpoint_id)
        return contact.addresses if contact is not None else ()

    def _kept_packets(self, endpoint_id: EndpointId) -> tuple[KeptPacket, ...]:
        """What contacts gave us, as a ticket or by way of beacons."""
        given = self._contacts.ticket_of(endpoint_id)
        return tuple(packet for packet in (given, self.kept.get(endpoint_id)) if packet is not None)

    def _learn_local(self, packet: SignedPacket) -> None:
        with contextlib.suppress(RecordError):  # our clocks differ: it has expired here
            self.client.learn(packet, LanSource.name, scope=Scope.LOCAL)

    def _late_record(self, packet: SignedPacket) -> None:
        """The DHT has a newer record than the one that answered a search; what cannot be used changes nothing."""
        with contextlib.suppress(RecordError):
            self.client.learn(packet, DhtSource.name)

    def _learned(self, cached: CachedRecord) -> None:
        endpoint_id = cached.packet.endpoint_id
        self.zones.learned(endpoint_id)
        self.kept.keep(cached)
        self._news.learned(endpoint_id)
