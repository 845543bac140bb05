"""What each name under `.overlay` stands for on this machine: whose it is, which services, at which loopback address.

It answers the DNS server's questions and keeps the loopback listeners to what those answers promise. What an
endpoint said of its services is used at once and asked for again behind the answer when it is old; only what was
never heard makes a question wait for the network.
"""

from __future__ import annotations

import asyncio
import logging
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Final

from gateway.control.services import LoopbackReport, OfferReport
from gateway.dialing import DialError
from gateway.kept_state import LateRows, Table
from gateway.limits import (
    DIRECTORY_FACTS,
    GREETING_SECONDS,
    LISTENERS,
    REMOTE_SERVICES_ABSENT,
    ZONE_WAIT_SECONDS,
)
from gateway.listeners.bindings import Binding
from gateway.listeners.loopback import LoopbackListeners
from gateway.remote_services import KnownServices
from gateway.urls import url_of
from resolver.errors import LimitReached
from resolver.facts import NOT_FOUND, NameFacts, NameStatus, ServiceFacts
from resolver.names import OverlayName, Petname, ServiceProtocol
from resolver.virtual_addresses import VirtualAddresses, VirtualKey
from resolver.zone_entries import Alias
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from ipaddress import IPv4Network

    from gateway.contact_book import ContactBook
    from gateway.dialing import Dialer
    from gateway.kept_state import KeptState
    from gateway.known_zones import KnownZones
    from gateway.own_services import OwnServices
    from gateway.remote_services import RemoteServices
    from gateway.stream_header import ListedService
    from resolver.zone_entries import ZoneEntry

_logger = logging.getLogger(__name__)

HTTPS_PORT: Final = 443
_TABLE: Final = Table("loopback", ("id", "service", "address"), keys=2)


class Directory:
    """Implements `resolver.facts.NameSource`; see the module for what it does."""

    def __init__(
        self,
        state: KeptState,
        own: tuple[EndpointId, OwnServices],
        id_of: Callable[[str], EndpointId | None],
        contacts: ContactBook,
        remote_services: RemoteServices,
        dialer: Dialer,
        network: IPv4Network | None,
        *,
        zones: KnownZones | None = None,
        look_again: Callable[[EndpointId], None] = lambda _: None,
        refusal: Callable[[], str] = lambda: "",
        offers_https: Callable[[ListedService], bool] = lambda _: False,
    ) -> None:
        """`own` is this gateway, `id_of` says whose a petname is, our own nickname included.

        `network` is where loopback addresses lie; None for none. Reads those that are kept, from a thread that may wait.
        `zones` are what owners put into theirs; `look_again` asks for a newer record of an endpoint beside whatever goes on;
        `refusal` says why the process has no room for one more connection;
        `offers_https` says whether a service is to be had at port 443 as well, because TLS ends here.
        """
        self._refusal = refusal
        self._own_id, self._own = own
        self._id_of = id_of
        self._contacts = contacts
        self._remote = remote_services
        self._dialer = dialer
        self._spawn = state.spawn
        self._rows = LateRows(state, _TABLE)
        self._zones = zones
        self._look_again = look_again
        self._offers_https = offers_https
        if zones is not None:
            zones.on_change = lambda _: self._forget_facts()
        self._addresses = VirtualAddresses(network) if network is not None else None
        self._listeners: LoopbackListeners | None = None
        self._facts: dict[OverlayName, NameFacts] = {}
        if self._addresses is not None:
            for key, service, address in state.rows(_TABLE):
                try:
                    self._addresses.restore(
                        VirtualKey(EndpointId(key), service or None), IPv4Address(address)
                    )
                except ValueError:  # the disk changed it; another address is chosen
                    continue

    def __repr__(self) -> str:
        return f"<Directory {self._addresses!r} {self._listeners!r}>"

    async def start(self) -> None:
        """Listen for what contacts offered when they were last heard, so that addresses work before any question."""
        if self._addresses is not None:
            self._listeners = LoopbackListeners(
                self._dialer, self._spawn, on_crowded_out=self._forget_facts, refusal=self._refusal
            )
            await self._listeners.apply(self._bindings())

    async def close(self) -> None:
        """End all listeners and their connections, and write what is not written yet."""
        if self._listeners is not None:
            await self._listeners.close()
        await self._rows.close()

    # --- resolver.facts.NameSource ----------------------------------------------------------------------

    def lookup_nowait(self, name: OverlayName) -> NameFacts | None:
        endpoint_id = self._owner(name)
        if endpoint_id is None:
            return NOT_FOUND
        known = self._known(endpoint_id)
        if known is None:
            return None
        now = asyncio.get_running_loop().time()
        facts = self._facts.get(name)
        if facts is None:
            facts = self._facts_of(name, endpoint_id, known)
            if facts is None:
                return None  # its listeners are not there yet
            if facts.status is NameStatus.NOT_FOUND:
                # It may have been exposed since: such an answer is good for a moment only, and never kept.
                return facts if known.is_fresh(now, REMOTE_SERVICES_ABSENT) else None
            if len(self._facts) >= DIRECTORY_FACTS:
                self._facts.clear()
            self._facts[name] = facts
        if not known.is_fresh(now):
            self._remote.refresh(endpoint_id)
            self._look_again(endpoint_id)
        return facts

    async def lookup(self, name: OverlayName) -> NameFacts:
        endpoint_id = self._owner(name)
        known = self._known(endpoint_id) if endpoint_id is not None else None
        if endpoint_id is None or known is None or not _offers(known, name.service):
            return await self.ask(name)
        # It told of this before, and only its listeners are not there: nobody waits for the network.
        self._remote.touch(endpoint_id)
        await self._listen_for(endpoint_id)
        if not known.is_fresh(asyncio.get_running_loop().time()):
            self._remote.refresh(endpoint_id)
            self._look_again(endpoint_id)
        return self._facts_of(name, endpoint_id, known) or await self.ask(name)

    async def ask(self, name: OverlayName) -> NameFacts:
        """What the name stands for by what its owner tells now; by what it told before if it does not answer."""
        endpoint_id = self._owner(name)
        if endpoint_id is None:
            return NOT_FOUND
        reason = ""
        known = self._known(endpoint_id)
        self._look_again(endpoint_id)
        now = asyncio.get_running_loop().time()
        if known is None or not known.is_fresh(now, REMOTE_SERVICES_ABSENT):
            alone = self._zone_alone(name, endpoint_id)
            try:
                # A service wins over the owner's records, which are not kept waiting for long by an endpoint that is offline.
                async with asyncio.timeout(None if alone is None else ZONE_WAIT_SECONDS):
                    known = await self._remote.fetch(endpoint_id)
            except TimeoutError:
                reason = "it does not answer"
            except DialError as error:
                reason = str(error)
        if known is None:
            alone = self._zone_alone(name, endpoint_id)
            if alone is not None:
                return alone
            if name.service is None and self._contacts.is_contact(endpoint_id):
                return NameFacts(
                    NameStatus.EXISTS,
                    endpoint_id=endpoint_id,
                    ipv4=self._address(endpoint_id),
                    zone=self._zone_at(name, endpoint_id),
                    zone_of=endpoint_id,
                )
            return NameFacts(NameStatus.UNKNOWN, reason)
        self._remote.touch(endpoint_id)
        await self._listen_for(endpoint_id)
        facts = self._facts_of(name, endpoint_id, known)
        if facts is None:
            return NameFacts(NameStatus.UNKNOWN, "every loopback address is taken; see: overlay status")
        if facts.status is NameStatus.NOT_FOUND and reason:
            return NameFacts(NameStatus.UNKNOWN, reason)
        return facts

    async def alias_of(self, name: OverlayName) -> OverlayName | str | None:
        """What the name stands for by its owner's word, unless a service has it; as in `NameFacts`."""
        endpoint_id = self._owner(name)
        alias = self._alias(name, self._zone_at(name, endpoint_id)) if endpoint_id is not None else None
        if endpoint_id is None or alias is None:
            return None
        known = self._known(endpoint_id)
        if known is None:
            try:
                known = await self._remote.fetch(endpoint_id)
            except DialError:
                return alias  # where it leads may be reached all the same
        return None if any(service.name == name.service for service in known.services) else alias

    def name_at(self, address: IPv4Address) -> OverlayName | None:
        key = self._addresses.key_at(address) if self._addresses is not None else None
        if key is None:
            return None
        contact = self._contacts.book.find_id(key.endpoint_id)
        return OverlayName(contact.petname if contact is not None else key.endpoint_id, key.service)

    # --- what others tell it ----------------------------------------------------------------------------

    def services_changed(self, endpoint_id: EndpointId) -> None:
        """The endpoint told other services than before."""
        self._forget_facts()
        if self._listeners is not None:
            self._spawn(self._listen_for(endpoint_id), f"listeners of {endpoint_id.short}")

    def contact_changed(self, endpoint_id: EndpointId) -> None:
        """A contact was added, removed or renamed."""
        if not self._contacts.is_contact(endpoint_id):
            self._remote.forget(endpoint_id)
            if self._addresses is not None:
                for key in self._addresses.forget(endpoint_id):
                    self._rows.delete(key.endpoint_id.key, key.service or "")
        self.services_changed(endpoint_id)

    async def listen_anew(self) -> None:
        """Which ports are offered has changed for all."""
        self._forget_facts()
        if self._listeners is not None:
            await self._listeners.apply(self._bindings())

    async def services_at(self, name: OverlayName) -> tuple[ListedService, ...]:
        """The services that the owner of a name offers us, as it told; it is asked if nobody knows. Empty if it cannot be."""
        endpoint_id = self._owner(name)
        if endpoint_id is None:
            return ()
        known = self._known(endpoint_id)
        if known is None or not _offers(known, name.service):
            await self.ask(name)
            known = self._known(endpoint_id)
        return known.services if known is not None else ()

    def own_services_changed(self) -> None:
        """We expose other services than before, or the configuration names other contacts."""
        self._forget_facts()

    def address_of(self, endpoint_id: EndpointId) -> IPv4Address | None:
        """The loopback address that stands for an endpoint, if it has one."""
        return self._addresses.known_address(VirtualKey(endpoint_id)) if self._addresses is not None else None

    async def greet(self, endpoint_id: EndpointId) -> None:
        """Ask a new contact for its services, for a moment; it may be offline."""
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                await self._remote.fetch(endpoint_id)
        except (DialError, TimeoutError) as error:
            _logger.info("%s does not tell its services yet: %s", endpoint_id.short, error)
            return
        await self._listen_for(endpoint_id)

    # --- reports ----------------------------------------------------------------------------------------

    def loopback(self, endpoint_id: EndpointId | None = None) -> tuple[LoopbackReport, ...]:
        """The names that have a loopback address with a listener: of one endpoint, or all."""
        if self._listeners is None:
            return ()
        offers: dict[OverlayName, list[OfferReport]] = {}
        places: dict[OverlayName, IPv4Address] = {}
        for status in self._listeners.status():
            if status.place is None:
                continue
            name = self._shown(OverlayName.parse(status.binding.host))
            if endpoint_id is not None and self._owner(name) != endpoint_id:
                continue
            binding = status.binding
            offer = OfferReport(
                service=name.service or "",
                protocol=binding.protocol.value,
                port=binding.port,
                offered=status.place[1],
            )
            offers.setdefault(name, []).append(offer)
            places[name] = status.place[0]
        return tuple(
            LoopbackReport(name=str(name), ip=str(places[name]), offers=tuple(offers[name]))
            for name in sorted(offers, key=str)
        )

    def offers(self, facts: NameFacts, service: str | None) -> tuple[OfferReport, ...]:
        """What can be opened at a name."""
        return tuple(
            OfferReport(service=s.name, protocol=s.protocol.value, port=s.port, offered=s.listening_port)
            for s in facts.services
            if service is None or s.name == service
        )

    def urls(self, endpoint_id: EndpointId) -> tuple[str, ...]:
        """What a browser may open at an endpoint, through the proxy."""
        known = self._remote.known(endpoint_id)
        owner = self._shown(OverlayName(endpoint_id)).owner
        urls = (
            url_of(str(OverlayName(owner, service.name)), service.first_port, service.protocols)
            for service in (known.services if known is not None else ())
        )
        return tuple(url for url in urls if url)

    def warnings(self) -> tuple[str, ...]:
        """What listens elsewhere than wanted for another reason than privilege, or not at all."""
        if self._listeners is None:
            return ()
        return tuple(status.note for status in self._listeners.status() if status.place is None)

    # --- inside -----------------------------------------------------------------------------------------

    def _owner(self, name: OverlayName) -> EndpointId | None:
        """Whose a name is."""
        return name.owner if isinstance(name.owner, EndpointId) else self._id_of(name.owner)

    def _known(self, endpoint_id: EndpointId) -> KnownServices | None:
        """What is known of an endpoint's services; our own are always known."""
        if endpoint_id == self._own_id:
            return KnownServices(self._own.listed(), asyncio.get_running_loop().time())
        return self._remote.known(endpoint_id)

    def _shown(self, name: OverlayName) -> OverlayName:
        """The name with the petname in place of the id, where there is one."""
        endpoint_id = self._owner(name)
        contact = self._contacts.book.find_id(endpoint_id) if endpoint_id is not None else None
        return OverlayName(Petname(contact.petname), name.service) if contact is not None else name

    def _address(self, endpoint_id: EndpointId, service: str | None = None) -> IPv4Address | None:
        """The loopback address of a name, chosen now if it has none; None when there are none."""
        if self._addresses is None:
            return None
        key = VirtualKey(endpoint_id, service)
        address = self._addresses.known_address(key)
        if address is None:
            try:
                address = self._addresses.address_of(key)
            except LimitReached as error:
                _logger.warning("no loopback address for %s: %s", key, error)
                return None
            self._rows.put((endpoint_id.key, service or "", int(address)))
        return address

    async def _listen_for(self, endpoint_id: EndpointId) -> None:
        """Listen for what the endpoint offers now, and for nothing else of it."""
        if self._listeners is not None:
            await self._listeners.update(str(OverlayName(endpoint_id)), self._bindings_at(endpoint_id))

    def _bindings(self) -> list[Binding]:
        """What is listened for at first, as much as there may be, of those last asked for; the very last stands last."""
        found: list[list[Binding]] = []
        room = LISTENERS
        for endpoint_id in reversed(self._remote.known_endpoints()):
            if room <= 0:
                break
            found.append(self._bindings_at(endpoint_id)[:room])
            room -= len(found[-1])
        return [binding for bindings in reversed(found) for binding in bindings]

    def _bindings_at(self, endpoint_id: EndpointId) -> list[Binding]:
        """Each port of each service that is known of the endpoint, at its name and its endpoint's."""
        known = self._remote.known(endpoint_id)
        services = known.services if known is not None else ()
        return [binding for service in services for binding in self._bindings_of(endpoint_id, service)]

    def _bindings_of(self, endpoint_id: EndpointId, service: ListedService) -> Iterable[Binding]:
        for label in (service.name, None):
            address = self._address(endpoint_id, label)
            if address is None:
                continue
            host = str(OverlayName(endpoint_id, label))
            for port in range(service.first_port, service.last_port + 1):
                for protocol in service.protocols:
                    yield Binding(address, port, protocol, host)
            if self._offers_https(service) and (
                label is not None or self._speaks_https_alone(endpoint_id, service)
            ):
                yield Binding(address, HTTPS_PORT, ServiceProtocol.TCP, host)

    def _speaks_https_alone(self, endpoint_id: EndpointId, service: ListedService) -> bool:
        """Whether port 443 of the endpoint itself can only mean this service."""
        known = self._known(endpoint_id)
        others = (each for each in (known.services if known is not None else ()) if each.name != service.name)
        return not any(
            self._offers_https(each) or each.first_port <= HTTPS_PORT <= each.last_port for each in others
        )

    def _facts_of(self, name: OverlayName, endpoint_id: EndpointId, known: KnownServices) -> NameFacts | None:
        """The facts from what is known; None when a listener that should be there is not yet."""
        chosen = [s for s in known.services if name.service is None or s.name == name.service]
        if name.service is not None and not chosen:
            return self._zone_alone(name, endpoint_id) or NOT_FOUND
        zone = self._zone_at(name, endpoint_id)
        if endpoint_id == self._own_id:  # the targets are on this machine anyway; the proxy knows the way
            return NameFacts(NameStatus.EXISTS, endpoint_id=endpoint_id, zone=zone, zone_of=endpoint_id)
        address = self._address(endpoint_id, name.service)
        if self._addresses is not None and address is None:
            return None
        offered: list[ServiceFacts] = []
        for service in chosen:
            if address is None or self._listeners is None:
                break
            for port in range(service.first_port, service.last_port + 1):
                for protocol in service.protocols:
                    key = (address, port, protocol)
                    place = self._listeners.place_of(key)
                    self._listeners.touch(key)
                    if place is not None:
                        offered.append(ServiceFacts(service.name, port, place[1], protocol, place[0]))
        if chosen and not offered and self._listeners is not None:
            return None
        real = offered[0].address if offered else address
        return NameFacts(
            NameStatus.EXISTS,
            endpoint_id=endpoint_id,
            ipv4=real,
            services=tuple(offered),
            zone=zone,
            zone_of=endpoint_id,
        )

    def _zone_at(self, name: OverlayName, endpoint_id: EndpointId) -> tuple[ZoneEntry, ...]:
        """What the owner put there, and below it at labels with an underscore."""
        zone = self._zones.of(endpoint_id) if self._zones is not None else ()
        node = name.service or ""
        return tuple(entry for entry in zone if entry.node == node) if zone else ()

    def _zone_alone(self, name: OverlayName, endpoint_id: EndpointId) -> NameFacts | None:
        """The facts of a label that is no service, or none that we know of: what its owner put there needs nobody online."""
        zone = self._zone_at(name, endpoint_id) if name.service is not None else ()
        if not zone:
            return None
        return NameFacts(NameStatus.EXISTS, zone=zone, zone_of=endpoint_id, alias=self._alias(name, zone))

    def _alias(self, name: OverlayName, zone: tuple[ZoneEntry, ...]) -> OverlayName | str | None:
        """What the name stands for, if nothing else is there."""
        match [entry.value for entry in zone if not entry.prefix]:
            case [Alias(target)] if name.service is not None:
                if target.owner is None:
                    return target.text
                if target.owner == self._owner(name):
                    return OverlayName(name.owner, target.text or None)
                return self._shown(OverlayName(target.owner, target.text or None))
            case _:
                return None

    def _forget_facts(self) -> None:
        self._facts.clear()


def _offers(known: KnownServices, service: str | None) -> bool:
    """Whether an endpoint told of the service, or of any."""
    return any(service in (None, each.name) for each in known.services)
