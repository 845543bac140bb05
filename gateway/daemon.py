"""The one place that builds the parts of a gateway, joins them, and starts and stops them in order.

Start: read state, then bind: tunnels first, because tickets name their port; then names and their listeners, and the doors
for programs of this machine; the control socket last, so that whoever can ask gets whole answers. Stop is the reverse.
Whatever fails on the way up undoes what was done.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

import gateway as package
from gateway import logs
from gateway.config import Config, changes, load, needs_restart
from gateway.contact_book import ContactBook
from gateway.control.configuration import ReloadReport
from gateway.control.server import ControlServer
from gateway.control.status import ListenerReport
from gateway.directory import Directory
from gateway.errors import GatewayError
from gateway.expose.acceptor import Acceptor
from gateway.expose.access import introducers
from gateway.exposed import ExposedServices
from gateway.facade import Facade, Parts, time_now
from gateway.headroom.watcher import Watcher
from gateway.held_vouchers import HeldVouchers
from gateway.introductions import Introductions
from gateway.inviting import Inviting
from gateway.kept_history import KeptHistory
from gateway.kept_state import KeptState
from gateway.lenders import Lenders, may_lend
from gateway.lending import Lending
from gateway.local_doors import LocalDoors
from gateway.metrics import Counts
from gateway.overlay_dialer import OverlayDialer
from gateway.own_services import OwnServices
from gateway.programs.desk import ProgramDesk
from gateway.proxy.direct import DirectDialer
from gateway.records import AboutUs, News, Records
from gateway.remote_services import RemoteServices
from gateway.supervision import Supervisor
from gateway.topics.joined import JoinedTopics
from gateway.topics.relays import LEND
from gateway.topics.service import Topics
from gateway.topics.sources import DhtTopics
from gateway.traffic.service import Traffic
from gateway.usage.commanded import CommandedLimits
from gateway.usage.meter import Meter
from tunnels import errors as tunnel_errors
from tunnels.endpoint import Endpoint, EndpointSettings
from tunnels.transports.interfaces import advertised, interface_addresses, reachable_ips
from tunnels.transports.relayed import RelayState

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Coroutine, Mapping
    from ipaddress import IPv4Address, IPv4Network, IPv6Address

    from gateway.config.settings import TunnelSettings
    from gateway.home import Home
    from resolver.signed_packets import SignedPacket
    from tunnels.addresses import Address, BeaconUrl
    from tunnels.identity import EndpointId, SecretKey
    from tunnels.paths.candidates import PathPolicy

_logger = logging.getLogger(__name__)

_PORT_STATE: Final = "tunnel-port"


def _pwnat_targets(settings: TunnelSettings) -> tuple[IPv4Address | IPv6Address, ...]:
    """Where echoes go, if we may wait for and dial endpoints without any server; not where nobody may learn our addresses."""
    if not settings.pwnat or settings.path_policy == "relay-only":
        return ()
    return tuple(map(ip_address, settings.pwnat_targets))


class Daemon:
    """A running gateway: its parts, and the few things that concern several of them at once."""

    def __init__(
        self,
        home: Home,
        overrides: Mapping[str, object],
        config: Config,
        secret_key: SecretKey,
        log: logs.Logs | None,
    ) -> None:
        """`log` is None where the process is somebody else's, whose own affair the log is."""
        self._home = home
        self._overrides = overrides
        self._config = config
        self._started_with = config
        self._secret_key = secret_key
        self._log = log
        self._reloading = asyncio.Lock()
        self.stopped = asyncio.Event()

    async def start(self, stack: contextlib.AsyncExitStack) -> None:
        """Build and start everything; what was started is stopped by `stack`, the last first."""
        config, home = self._config, self._home
        self._supervisor = Supervisor()
        stack.push_async_callback(self._supervisor.close)
        self._headroom = await asyncio.to_thread(
            Watcher, home.path, self._spawn, memory=config.resources.memory_bytes, shrink=self._shrink
        )
        stack.push_async_callback(self._headroom.close)
        self._state = await asyncio.to_thread(KeptState, home, self._spawn)
        stack.push_async_callback(self._state.close)
        self._introductions = await self._make_introductions()
        stack.push_async_callback(self._introductions.close)
        self._contacts = await asyncio.to_thread(
            ContactBook, home, config.contacts, self._introductions.is_introduced
        )
        self._exposed = await asyncio.to_thread(ExposedServices, home, config.services)
        self._inviting = await asyncio.to_thread(
            Inviting,
            home,
            self._secret_key,
            clock=time_now,
            admit=self._admit,
            granted=self._access_changed,
            show=self._show_invite,
            about_us=self._about_us,
            redeemed=self._invite_redeemed,
            places=lambda: self._endpoint.meeting_places,
            spawn=self._spawn,
        )
        self._traffic = Traffic(self._config, self._contacts, lambda: self._endpoint.status(), time_now)
        self._meter = await asyncio.to_thread(
            Meter,
            home,
            self._traffic.ledger,
            path_of=self._path_with,
            is_contact=self._contacts.is_contact,
            spawn=self._spawn,
            clock=time_now,
        )
        stack.push_async_callback(self._meter.close)
        self._limits = await asyncio.to_thread(CommandedLimits, home, self._traffic.control)
        self._limits.apply()
        stack.callback(self._traffic.control.close)
        self._acceptor = Acceptor(
            self._exposed.book,
            self._contacts,
            self._spawn,
            address_of=lambda caller: self._directory.address_of(caller),
            grants=self._inviting.issued,
            redeem=self._inviting.issued.redeem,
            traffic=self._traffic.control,
        )
        self._acceptor.circle = self._introductions
        self._acceptor.refusal = self._headroom.refusal
        stack.callback(self._acceptor.close)
        self._records = Records(
            self._secret_key,
            lambda: self._config,
            self._contacts,
            self._exposed,
            self._introductions,
            AboutUs(
                bound=lambda: self._endpoint.addresses,
                addresses=self._own_addresses,
                relays=self._own_relays,
                lends=lambda: self._lending.url if self._lending is not None else None,
                topics=lambda: self._topics.announced,
            ),
            News(
                learned=self._record_learned,
                heard=lambda packet: self._topics.heard(packet),
                own_zone_changed=lambda: self._directory.own_services_changed(),
            ),
            self._spawn,
            time_now,
        )
        await self._records.start(stack, home, self._state)
        self._lending = await self._start_lending(stack)
        self._vouchers = await asyncio.to_thread(
            HeldVouchers,
            home,
            self._secret_key.endpoint_id,
            redeem=self._redeem,
            connected=self._connected_beacons,
            clock=time_now,
        )
        self._joined_topics = await asyncio.to_thread(JoinedTopics, home)
        self._lenders = Lenders(self._lent_by, self._set_beacons)
        await self._start_tunnels(stack)
        if self._lending is not None:
            self._endpoint.set_own_relay(self._lending.url, self._lending.local_origin)
        self._lenders.contacts_changed(contact.endpoint_id for contact in self._contacts.book)
        self._topics.start()
        own_id = self._secret_key.endpoint_id
        self._own = own_id, OwnServices(lambda: self._exposed.book, DirectDialer(), own_id)
        self._dialer = OverlayDialer(
            self._endpoint.open_stream,
            self._id_of,
            own=self._own,
            alias_of=lambda name: self._directory.alias_of(name),
            before=self._inviting.held.before,
            lane_to=lambda user, who, label: self._doors.profiles.lane_to(user, who, label),
            traffic=self._traffic.control,
            service_at=lambda *place: self._remote_services.name_at(*place),
        )
        stack.callback(self._dialer.close)
        self._doors = LocalDoors(
            lambda: self._config,
            self._home,
            self._contacts,
            own_id,
            self._dialer,
            self._id_of,
            lambda: self._directory,
            self._headroom.refusal,
            self._spawn,
        )
        stack.push_async_callback(self._doors.close)
        await self._start_names(stack)
        self.facade = Facade(self._parts())
        await self._doors.start(stack, self.facade)
        await self._meter.start()
        self._headroom.start()
        await self._start_control(stack)
        await self._records.join_local_network(stack)
        self._spawn(self._records.publisher.run(), "publish our record")
        self._inviting.start()
        self._introductions.start()
        _logger.info("up", extra={"endpoint": self._secret_key.endpoint_id.short})

    def heed_signals(self) -> None:
        """Stop and reload when the system says so; for who has the process for itself."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stopped.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self._reload_on_signal(), "reload"))

    def tell(
        self, on_ready: Callable[[Facade, IPv4Network | None], Coroutine[Any, Any, None]]
    ) -> asyncio.Task[None]:
        """Let the one who started us look at what there is, until we end."""
        loopback = self._config.loopback
        return self._spawn(
            on_ready(self.facade, loopback.network if loopback.enabled else None), "first screen"
        )

    # --- starting ---------------------------------------------------------------------------------------

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return self._supervisor.spawn(coroutine, name=name)

    def _id_of(self, petname: str) -> EndpointId | None:
        """Whose name this is here: a contact's, else our own nickname's."""
        known = self._contacts.id_of(petname)
        if known is None and petname.lower() == self._nickname():
            return self._secret_key.endpoint_id
        return known

    def _nickname(self) -> str:
        return self._config.gateway.nickname_for(socket.gethostname())

    def _make_topics(self) -> Topics:
        local = self._records.local_network
        settings = self._config.lend
        topics = Topics(
            self._joined_topics,
            self._endpoint,
            self._records.client,
            heard=local.source.heard if local is not None else tuple,
            lends_to_all=settings.enabled and settings.to == "all",
            finds_relays=self._finds_relays,
            relays_found=lambda relays: self._lenders.strangers_found(relays),
            on_change=self._records.changed,
            spawn=self._spawn,
        )
        if self._records.dht.source is not None:
            clock = asyncio.get_running_loop().time
            topics.add_source(DhtTopics(self._records.dht.source, self._public_port, clock))
        self._acceptor.greet = topics.discovery.greeter.answer
        return topics

    def _public_port(self, topic: bytes) -> int | None:
        """The port by which strangers reach us for a topic: the relay that we lend, else our tunnels; None if they are not to."""
        if self._config.tunnels.path_policy == "relay-only":
            return None
        if topic == LEND:
            return self._lending.url.port if self._lending is not None else None
        return self._endpoint.public_port()

    def _finds_relays(self) -> bool:
        """Whether a relay that a stranger lends is better than none."""
        return (
            self._config.topics.find_relays
            and not self._config.beacons.urls
            and not self._lenders.relays
            and self._lending is None
        )

    async def _make_introductions(self) -> Introductions:
        return await asyncio.to_thread(
            Introductions,
            self._home,
            self._config.social,
            ask=lambda *words: self._dialer.ask_circle(*words),
            introducers=lambda: introducers(self._exposed.book, self._contacts),
            connected=lambda: self._endpoint.connected(),
            is_contact=lambda endpoint_id: self._contacts.is_contact(endpoint_id),
            own_packet=lambda: self._records.public_packet(),
            on_change=self._circle_changed,
            spawn=self._spawn,
            clock=time_now,
            chance=random.random,
        )

    def _circle_changed(self) -> None:
        """A contact introduces others than before."""
        self._acceptor.recheck()

    async def _start_lending(self, stack: contextlib.AsyncExitStack) -> Lending | None:
        """Before the tunnels, so that they end first: peers are told goodbye by way of our own relay, too."""
        settings = self._config.lend
        if not settings.enabled:
            return None
        lending = Lending(
            settings,
            self._secret_key,
            is_contact=self._contacts.is_contact,
            addresses=self._config.tunnels.addresses,
        )
        await lending.start()
        stack.push_async_callback(lending.close)
        return lending

    def _set_beacons(self) -> None:
        """Be at home at a configured beacon, or at what contacts lend."""
        self._endpoint.set_beacons(self._config.beacons.urls, self._lenders.relays, self._lenders.strangers)

    def _lent_by(self, endpoint_id: EndpointId) -> BeaconUrl | None:
        """The relay that an endpoint lends. Of ten thousand contacts few do, and not every record is read for it."""
        if not self._records.client.is_ready(endpoint_id) and not may_lend(
            self._records.kept.payload(endpoint_id)
        ):
            given = self._contacts.ticket_of(endpoint_id)
            if given is None or not may_lend(given.packet.packet):
                return None
        return self._records.client.lent_by(endpoint_id)

    def _record_learned(self, endpoint_id: EndpointId) -> None:
        self._lenders.learned(endpoint_id)
        self._endpoint.addresses_changed(endpoint_id)

    def _own_relays(self) -> tuple[BeaconUrl, ...]:
        """Where peers find us, our home first."""
        return self._endpoint.own_relays()

    def _home_changed(self) -> None:
        """We are at home, or peers are to find us at another beacon: vouchers may be wanted there."""
        self._records.changed()
        self._topics.moved()
        self._spawn(self._offer_vouchers(), "hand in vouchers")

    async def _offer_vouchers(self) -> None:
        for beacon in self._connected_beacons()[:1]:
            await self._vouchers.offer(beacon)

    def _connected_beacons(self) -> tuple[BeaconUrl, ...]:
        """Those that can be asked now, our home first."""
        relays = sorted(self._endpoint.relays(), key=lambda relay: not relay.is_home)
        return tuple(relay.url for relay in relays if relay.state is RelayState.CONNECTED)

    async def _redeem(self, voucher: str, beacon: BeaconUrl) -> str:
        return await self._endpoint.redeem(voucher, beacon)

    async def _admit(self, wanted: str, endpoint_id: EndpointId, packet: SignedPacket | None) -> str:
        return await self.facade.admit(wanted, endpoint_id, packet)

    def _about_us(self) -> tuple[str, bytes]:
        return self.facade.about_us()

    async def _show_invite(self, issuer: EndpointId, message: bytes) -> bytes:
        return await self._dialer.redeem(issuer, message)

    def _invite_redeemed(self, issuer: EndpointId) -> None:
        self._remote_services.refresh(issuer)

    def _shrink(self) -> None:
        """Memory is short."""
        self._records.client.shrink()

    def _path_with(self, endpoint_id: EndpointId) -> str | None:
        """The kind of path that data takes to an endpoint, for accounts."""
        return self.facade.path_with(endpoint_id)

    def _path_policy(self, endpoint_id: EndpointId) -> PathPolicy:
        return self._contacts.path_policy(endpoint_id, self._config.tunnels.path_policy)

    async def _start_tunnels(self, stack: contextlib.AsyncExitStack) -> None:
        """Bind the UDP sockets; a port that was free to choose is kept for the next start."""
        settings, home = self._config.tunnels, self._home
        kept = 0 if settings.port else await asyncio.to_thread(home.load_state, _PORT_STATE, int, int)
        crossings = await asyncio.to_thread(KeptHistory, home, self._spawn)
        stack.push_async_callback(crossings.close)

        def make(port: int) -> Endpoint:
            endpoint = Endpoint(
                self._secret_key,
                EndpointSettings(
                    engine=settings.quic_engine,
                    bind=settings.bind,
                    port=port,
                    idle_timeout=settings.idle_timeout,
                    keepalive=settings.keepalive,
                    connect_timeout=settings.connect_timeout,
                    addresses=settings.addresses,
                    beacons=self._config.beacons.urls,
                    beacon_proxy=self._config.beacons.proxy or None,
                    version=package.__version__,
                    port_mapping=settings.port_mapping == "auto",
                    history=crossings.history,
                    pwnat_targets=_pwnat_targets(settings),
                ),
                find_addresses=lambda endpoint_id: self._topics.addresses_of(endpoint_id),
                accept_stream=self._acceptor.accept,
                spawn=self._spawn,
                policy_of=self._path_policy,
                is_known=self._contacts.is_contact,
                home_changed=self._home_changed,
                opened=self._introductions.opened,
            )
            endpoint.start()
            return endpoint

        try:
            endpoint = make(settings.port or kept)
        except tunnel_errors.ConfigurationError:
            if settings.port or not kept:
                raise
            endpoint = make(0)  # the port of last time is taken; any other will do
        self._endpoint = endpoint
        self._topics = self._make_topics()
        stack.push_async_callback(endpoint.close)
        for advice in endpoint.advice():
            _logger.info("%s", advice)
        port = endpoint.addresses[0].port
        if not settings.port and port != kept:
            await asyncio.to_thread(home.save_state, _PORT_STATE, port)

    async def _start_names(self, stack: contextlib.AsyncExitStack) -> None:
        self._remote_services = await asyncio.to_thread(
            RemoteServices, self._state, self._dialer.list_services, self._services_learned
        )
        stack.push_async_callback(self._remote_services.close)
        self._directory = await asyncio.to_thread(
            Directory,
            self._state,
            self._own,
            self._id_of,
            self._contacts,
            self._remote_services,
            self._doors.dialer,
            self._config.loopback.network if self._config.loopback.enabled else None,
            zones=self._records.zones,
            look_again=self._records.client.look_again,
            refusal=self._headroom.refusal,
            offers_https=self._doors.offers_https,
        )
        stack.push_async_callback(self._directory.close)
        await self._directory.start()

    def _services_learned(self, endpoint_id: EndpointId) -> None:
        self._directory.services_changed(endpoint_id)

    async def _start_control(self, stack: contextlib.AsyncExitStack) -> None:
        path = await asyncio.to_thread(self._home.control_socket)
        programs = ProgramDesk(
            self._dialer, self._dialer, self.facade, self._spawn, refusal=self._headroom.refusal
        )
        stack.callback(programs.close)
        control = ControlServer(self.facade, path=path, log_file=self._home.log_file, programs=programs)
        await control.start()
        stack.push_async_callback(control.close)

    # --- what the facade asks ---------------------------------------------------------------------------

    def _parts(self) -> Parts:
        return Parts(
            home=self._home,
            secret_key=self._secret_key,
            config=self._config,
            nickname=self._nickname(),
            contacts=self._contacts,
            id_of=self._id_of,
            exposed=self._exposed,
            remote_services=self._remote_services,
            endpoint=self._endpoint,
            records=self._records.client,
            dialer=self._dialer,
            directory=self._directory,
            access_changed=self._access_changed,
            own_addresses=self._own_addresses,
            listeners=lambda: (*self._doors.reports(), self._tunnels_report()),
            reload=self._reload,
            stop=self.stopped.set,
            started=asyncio.get_running_loop().time(),
            own_relays=self._own_relays,
            reach=self._endpoint,
            vouchers=self._vouchers,
            lending=self._lending,
            inviting=self._inviting,
            local_network=self._records.local_network,
            dht=self._records.dht,
            publisher=self._records.publisher,
            published_record=self._records.published,
            topics=self._topics,
            introductions=self._introductions,
            own_zone=self._records.own_zone,
            meter=self._meter,
            limits=self._limits,
            headroom=self._headroom,
            counts=lambda: Counts(self._doors.proxy_status(), self._acceptor.status),
            metrics_url=self._doors.metrics_url,
            flows_with=lambda who: self._acceptor.flows.count(who) + self._dialer.flows_with(who),
        )

    def _access_changed(self) -> None:
        """Services or contacts changed: what is not allowed any more ends now."""
        self._acceptor.services = self._exposed.book
        self._acceptor.recheck()
        self._records.changed()
        self._records.kept.contacts_changed()
        self._lenders.contacts_changed(contact.endpoint_id for contact in self._contacts.book)
        if self._lending is not None:
            self._lending.recheck()
        self._introductions.contacts_changed()
        self._traffic.control.refresh()
        self._directory.own_services_changed()

    def _own_addresses(self) -> tuple[Address, ...]:
        found, defaults = interface_addresses()
        return advertised(
            self._endpoint.addresses, reachable_ips(found, defaults), self._config.tunnels.addresses
        )

    def _tunnels_report(self) -> ListenerReport:
        return ListenerReport(name="tunnels", addresses=tuple(map(str, self._endpoint.addresses)))

    # --- reload -----------------------------------------------------------------------------------------

    async def _reload_on_signal(self) -> None:
        try:
            report = await self._reload()
        except GatewayError as error:
            _logger.error("reload: %s", error)  # noqa: TRY400 - the person's mistake, not a crash
            return
        _logger.info("reloaded; applied: %s", ", ".join(report.applied) or "nothing")
        if report.restart:
            _logger.warning("reloaded; %s: in force after the next start", ", ".join(report.restart))

    async def _reload(self) -> ReloadReport:
        """Read the configuration again; what cannot be applied leaves everything as it was."""
        async with self._reloading:
            new = await asyncio.to_thread(
                load, self._home.config_file, environ=os.environ, overrides=self._overrides
            )
            changed = changes(self._config, new)
            self._exposed.configure(new.services)
            try:
                self._contacts.configure(new.contacts)
            except GatewayError:
                self._exposed.configure(self._config.services)
                raise
            self._config = new
            parts = self.facade.parts
            parts.config, parts.nickname = new, self._nickname()
            if "gateway.log_level" in changed and self._log is not None:
                self._log.set_level(new.gateway.log_level)
            if any(key.startswith(("proxy.", "profiles.")) for key in changed):
                self._doors.configure_proxy()
            if any(key.startswith(("contacts.", "tunnels.path_policy")) for key in changed):
                self.facade.apply_path_policies()
            if any(key.startswith("social.") for key in changed):
                self._introductions.configure(new.social)
            if any(key.startswith("beacons.") for key in changed):
                self._records.reload()
                self._set_beacons()
            if any(key.startswith(("contacts.", "services.")) for key in changed):
                self._access_changed()
            await self._doors.reload()
            if any(key.startswith(("limits.", "sharing.")) for key in changed):
                self._traffic.configure(new)
            if "topics.find_relays" in changed:
                self._topics.relays.wake()
            self._records.changed()
            return ReloadReport(
                applied=tuple(sorted(key for key in changed if not needs_restart(key))),
                restart=tuple(sorted(key for key in changes(self._started_with, new) if needs_restart(key))),
            )
