"""Our own endpoint: bind, connect, accept, close. The shell that joins sockets, connections and remotes.

`connect` gives a tunnel to an endpoint id, dialling at most once at a time; `open_stream` opens a stream on it as
an asyncio transport. Streams that peers open are handed to `accept_stream`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.addresses import Address, RelayAddress
from tunnels.credit import WindowBudget
from tunnels.crossing.history import History
from tunnels.dialer import Dialer
from tunnels.dialing import Remote
from tunnels.driver import TunnelDriver, TunnelOwner
from tunnels.errors import TunnelClosed, TunnelLost, Unreachable
from tunnels.events import CloseCode, TunnelEvents
from tunnels.identity import SecretKey
from tunnels.incoming import IncomingConnections
from tunnels.lanes import Lanes
from tunnels.nat.dialback import Verdict
from tunnels.paths.candidates import Candidate, CandidateKind, PathPolicy, Tier
from tunnels.paths.path_set import PathSet
from tunnels.paths.reports import all_moved
from tunnels.quic.certificates import make_certificate
from tunnels.quic.engines import make_factory, warm_up
from tunnels.reception import Reception
from tunnels.remote import Connection
from tunnels.status import PathsReport, TunnelStatus
from tunnels.transports.udp import buffer_advice
from tunnels.tunnel import Tunnel
from tunnels.whereabouts import Whereabouts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from tunnels.addresses import BeaconUrl, PathAddress
    from tunnels.crossing.description import Pair
    from tunnels.dialer import FindAddresses, Spawn
    from tunnels.dialing import Lane
    from tunnels.errors import TunnelError
    from tunnels.identity import EndpointId
    from tunnels.mapped_port import MappingStatus
    from tunnels.nat.report import NetworkReport
    from tunnels.paths.checks import Cross
    from tunnels.paths.reports import Moved
    from tunnels.quic.engine import Engine, EngineName
    from tunnels.quic.packets import Initial
    from tunnels.streams import TunnelTransport
    from tunnels.transports.relayed import RelayStatus, RelayTransport


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """What may be set of an endpoint."""

    engine: EngineName = "qh3"
    bind: tuple[str, ...] = ("0.0.0.0", "::")  # noqa: S104 - strangers are refused above, by identity
    port: int = 0
    idle_timeout: float = limits.IDLE_TIMEOUT
    keepalive: float = limits.KEEPALIVE
    connect_timeout: float = limits.CONNECT_TIMEOUT
    addresses: tuple[Address, ...] = ()
    """Public addresses besides those of our interfaces, as of a forwarded port."""
    beacons: tuple[BeaconUrl, ...] = ()
    """Where we are at home, the first that works."""
    beacon_proxy: str | None = None
    """An HTTP proxy on the way to beacons."""
    version: str = ""
    port_mapping: bool = False
    """Whether our router is asked to send a port of its own on to us."""
    pwnat_targets: tuple[IPv4Address | IPv6Address, ...] = ()
    """Where `tunnels.serverless` sends its echoes, one address for each IP version; none if it is off."""
    history: History = field(default_factory=History)
    """What made direct paths between which networks; whoever gives it keeps it."""


class Endpoint(TunnelOwner):
    """Everything tunnels does for one identity on the running event loop."""

    def __init__(
        self,
        secret_key: SecretKey,
        settings: EndpointSettings,
        *,
        find_addresses: FindAddresses,
        accept_stream: Callable[[TunnelTransport], asyncio.Protocol],
        spawn: Spawn,
        policy_of: Callable[[EndpointId], PathPolicy] = lambda _: PathPolicy.AUTO,
        is_known: Callable[[EndpointId], bool] = lambda _: False,
        home_changed: Callable[[], None] = lambda: None,
        opened: Callable[[EndpointId], None] = lambda _: None,
    ) -> None:
        """`find_addresses` is asked when an endpoint is dialled; `spawn` runs a task and reports its crash.

        `policy_of` tells which paths may be used to an endpoint, `is_known` whose beacons may be connected to when it
        was not dialled from here; `home_changed` is called when peers are to find us at another beacon, and when we are
        at home again, `opened` when a connection with an endpoint is up.
        """
        self.endpoint_id = secret_key.endpoint_id
        self._secret_key = secret_key
        self._settings = settings
        self._accept_stream = accept_stream
        self._opened_with = opened
        self._loop = asyncio.get_running_loop()
        self._factory = make_factory(settings.engine)
        self._certificate = make_certificate(secret_key)
        self._incarnation = secrets.token_bytes(8)
        self._drivers: dict[TunnelDriver, None] = {}
        self._remotes: dict[EndpointId, Remote] = {}
        self.reception = Reception(self._first_packet)
        self._whereabouts = Whereabouts(
            secret_key,
            self._drivers,
            self._remotes,
            receive=self.reception.burst,
            find_addresses=find_addresses,
            policy_of=policy_of,
            is_known=is_known,
            home_changed=home_changed,
            spawn=spawn,
            configured=settings.addresses,
            proxy=settings.beacon_proxy,
            version=settings.version,
            port_mapping=settings.port_mapping,
            history=settings.history,
            pwnat_targets=settings.pwnat_targets,
        )
        self._transport = self._whereabouts.transport
        self.reception.stun = self._whereabouts.stun_received_by_own
        self.incoming = IncomingConnections(
            self._drivers, accept=self._accept, dispose=self._dispose, send=self.send
        )
        self._dialer = Dialer(
            find_addresses=self._whereabouts.candidates_of,
            begin=self._begin,
            spawn=spawn,
            connect_timeout=settings.connect_timeout,
            problem=self._transport.beacon_problem,
        )
        self._lanes = Lanes(policy_of)
        self._budget = WindowBudget()
        self._opened = 0
        self._moved_before: dict[Tier, Moved] = {}  # with endpoints that are forgotten
        self._closing = False

    def __repr__(self) -> str:
        return f"<Endpoint {self.endpoint_id.short} on {', '.join(map(str, self.addresses))}, {len(self._drivers)} tunnels>"

    def start(self) -> None:
        """Bind the sockets; ConfigurationError says what is in the way."""
        self._transport.start(self._settings.bind, self._settings.port)
        self._whereabouts.serverless.start()
        warm_up(self._settings.engine)
        self._whereabouts.set_beacons(self._settings.beacons)

    async def close(self) -> None:
        """Close every connection, tell the peers, release the sockets."""
        self._closing = True
        tasks = [task for remote in self._remotes.values() for task in (remote.dial, remote.redial) if task]
        tasks += self._lanes.dials()
        for task in tasks:
            task.cancel()
        for driver in list(self._drivers):
            driver.close(CloseCode.DONE, TunnelClosed("the gateway was shut down"))
        if tasks:
            await asyncio.wait(tasks)
        await asyncio.sleep(0)  # streams learn of it by callbacks of the next turn
        for driver in list(self._drivers):
            self._dispose(driver)
        self._whereabouts.close()
        await self._transport.close()

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where our sockets are bound."""
        return self._transport.addresses

    def advice(self) -> tuple[str, ...]:
        """What would make this machine's tunnels faster, each in a line with the remedy; often nothing."""
        advice = buffer_advice(*self._transport.buffer_bytes)
        return () if advice is None else (advice,)

    @property
    def pwnat(self) -> str:
        """ "on", "off", or why it is not on though it should be."""
        return self._whereabouts.serverless.state

    def warnings(self) -> tuple[str, ...]:
        """What was asked for and is not there, each in a line with the remedy."""
        missing = self._whereabouts.serverless.missing
        return () if missing is None else (missing,)

    # --- using it ---------------------------------------------------------------------------------------

    async def connect(
        self, endpoint_id: EndpointId, *, is_stranger: bool = False, lane: Lane | None = None
    ) -> TunnelDriver:
        """A tunnel to the endpoint, there already or dialled now; TunnelError says why there is none.

        `is_stranger`: nobody here chose it. It is told none of our addresses before it has proved itself, none of our
        local ones at all, and we go to no beacon that it names. `lane`: not the main connection, but that one beside it.
        """
        if endpoint_id == self.endpoint_id:
            raise Unreachable("this is our own endpoint; its services are reached without a tunnel")
        if self._closing:
            raise TunnelClosed("the gateway is shut down")
        remote = self._remote(endpoint_id)
        remote.was_dialled |= not is_stranger
        if lane is not None and (lane.name or lane.policy is not self._whereabouts.policy_of(endpoint_id)):
            remote = self._lanes.get(endpoint_id, lane)
        return await self._dialer.connect(remote)

    async def open_stream(
        self,
        endpoint_id: EndpointId,
        protocol_factory: Callable[[], asyncio.Protocol],
        *,
        is_stranger: bool = False,
        lane: Lane | None = None,
    ) -> tuple[TunnelTransport, asyncio.Protocol]:
        """A stream to the endpoint with a protocol of the caller's, as `loop.create_connection` would give.

        `is_stranger` and `lane` as in `connect`.
        """
        driver = await self.connect(endpoint_id, is_stranger=is_stranger, lane=lane)
        if not driver.is_usable:  # it closed between the turns of the loop
            driver = await self.connect(endpoint_id, is_stranger=is_stranger, lane=lane)
        transport = driver.open_transport()
        try:
            protocol = protocol_factory()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
        except BaseException:  # it is the caller's; the stream must not stay behind
            transport.abort()
            raise
        return transport, protocol

    async def identify(self, address: Address, timeout: float = limits.IDENTIFY) -> EndpointId:
        """Whose gateway answers at an address; it proves its id by a handshake, and learns nothing of us but our address.

        Unreachable if none does, or if nothing may be sent there: `policy_of` decides, as for any endpoint.
        """
        nobody = SecretKey(
            secrets.token_bytes(32)
        ).endpoint_id  # whoever answers is somebody else, and we go away
        if not self._whereabouts.may_ask_at(address, nobody):
            raise Unreachable(f"{address} is not to be connected to from here")
        engine = self._factory.client(self._certificate, self._settings.idle_timeout)
        candidate = Candidate(address, CandidateKind.CONFIGURED)
        paths = PathSet([candidate], now=time.monotonic(), chance=secrets.token_bytes)
        driver = self._new_driver(engine, paths, nobody, timeout)
        driver.schedule_flush()
        try:
            await asyncio.shield(driver.settled)
        finally:
            driver.close(CloseCode.DONE, TunnelClosed("it was only asked who it is"))
        if driver.tunnel.answered_by is None:
            raise Unreachable(f"no gateway answered at {address}")
        return driver.tunnel.answered_by

    def may_ask_at(self, address: Address) -> bool:
        """Whether something may be sent to an address that somebody unknown told of."""
        return self._whereabouts.may_ask_at(address, self.endpoint_id)

    def public_port(self) -> int | None:
        """The port by which strangers reach us over IPv4 though we never sent them anything: our router's, if it was seen
        to work, or our own on a public address; None if we know of none."""
        mapping = self.mapping()
        if mapping is not None and mapping.verdict is Verdict.VERIFIED and mapping.external is not None:
            return mapping.external.port
        for candidate in self._transport.candidates:
            address = candidate.address
            if (
                isinstance(address, Address)
                and address.ip.version == 4
                and candidate.kind in (CandidateKind.HOST, CandidateKind.CONFIGURED)
                and candidate.tier is Tier.DIRECT
            ):
                return address.port
        return None

    async def join_topics(self, topics: Sequence[bytes], beacon: BeaconUrl) -> int:
        """Say at a connected beacon which topics we are in, and no others; how many it keeps. Unreachable if it keeps none."""
        return await self._transport.relays.join_topics(topics, beacon)

    async def who_is_in(self, topic: bytes, beacon: BeaconUrl) -> tuple[EndpointId, ...]:
        """Some of those who say at a connected beacon that they are in a topic; Unreachable."""
        return await self._transport.relays.who_is_in(topic, beacon)

    async def ping(self, endpoint_id: EndpointId) -> tuple[float, PathAddress | None]:
        """Round-trip seconds of one ping, dialling first if need be, and the path it took."""
        driver = await self.connect(endpoint_id)
        try:
            seconds = await driver.ping()
        except TunnelClosed:  # it was dead, which nobody knew before this ping
            driver = await self.connect(endpoint_id)
            seconds = await driver.ping()
        return seconds, driver.paths.confirmed

    def addresses_changed(self, endpoint_id: EndpointId) -> None:
        """There is news of where the endpoint is: the next attempt need not wait."""
        self._whereabouts.addresses_changed(endpoint_id)

    def disconnect(self, endpoint_id: EndpointId, reason: str) -> None:
        """Close every connection with the endpoint."""
        remote = self._remotes.get(endpoint_id)
        for driver in list(remote.drivers) if remote else ():
            driver.close(CloseCode.DONE, TunnelClosed(reason))

    def paths(self, endpoint_id: EndpointId) -> PathsReport | None:
        """The paths of the connection with an endpoint; None if there is none."""
        remote = self._remotes.get(endpoint_id)
        driver = remote.current if remote is not None else None
        if driver is None:
            return None
        paths = driver.paths
        return PathsReport(paths.report(time.monotonic()), paths.own_candidates, paths.trace.entries)

    def set_policy(self, endpoint_id: EndpointId, policy: PathPolicy) -> None:
        """Use only such paths to the endpoint from now on; `policy_of` says the same to later connections."""
        self._whereabouts.set_policy(endpoint_id, policy)

    def set_beacons(
        self,
        urls: tuple[BeaconUrl, ...],
        lent: tuple[BeaconUrl, ...] = (),
        strangers: tuple[BeaconUrl, ...] = (),
    ) -> None:
        """Be at home at the first of these that works, or else at one that a peer `lent` us, or else a stranger."""
        self._whereabouts.set_beacons(urls, lent, strangers)

    def set_own_relay(self, url: BeaconUrl, at: str) -> None:
        """We lend a relay that others know by `url`: be there, too, by its origin `at` on this machine."""
        self._whereabouts.set_own_relay(url, at)

    def mapping(self, version: int = 4) -> MappingStatus | None:
        """Our port at the router, or our pinhole in its firewall for IP version 6; None if that is not wanted."""
        return self._transport.mapping(version)

    def relays(self) -> tuple[RelayStatus, ...]:
        """Our beacons in their order, then those of peers that we are connected to."""
        return self._transport.status()

    def own_relays(self) -> tuple[BeaconUrl, ...]:
        """Our beacons, our home first: what our record tells."""
        return self._transport.own_relays()

    def pair_with(self, endpoint_id: EndpointId) -> Pair | None:
        """Our network and that of an endpoint, as it told of it; None if it did not."""
        return self._whereabouts.crossings.pair_with(endpoint_id)

    @property
    def history(self) -> History:
        """What made direct paths between which networks."""
        return self._settings.history

    async def network_report(self, max_age: float = limits.NETCHECK_KEPT) -> NetworkReport:
        """How this network lets us be reached, measured if what is known is older than so many seconds.

        Unreachable if there is no STUN server to be asked, or the network does not stay the same for a second.
        """
        return await self._transport.network_check.report(max_age)

    async def network_report_with_lifetime(self) -> NetworkReport:
        """The same, and how long a NAT's mappings live, which takes minutes to find out."""
        return await self._transport.network_check.report_with_lifetime()

    async def redeem(self, voucher: str, beacon: BeaconUrl) -> str:
        """Hand a voucher in at a beacon; its receipt, as text. Unreachable, with the beacon's reason."""
        return (await self._transport.relays.redeem(voucher, beacon)).receipt

    @property
    def meeting_places(self) -> RelayTransport:
        """Our beacons, for those who meet there by a spoken code."""
        return self._transport.relays

    def status(self) -> tuple[TunnelStatus, ...]:
        """Every connection with a known peer."""
        now = time.monotonic()
        return tuple(
            TunnelStatus(
                endpoint_id=remote.endpoint_id,
                state=driver.tunnel.state,
                is_client=driver.tunnel.is_client,
                is_current=driver is remote.current,
                address=driver.paths.confirmed,
                rtt=driver.tunnel.rtt,
                streams=driver.tunnel.stream_count,
                bytes_received=driver.tunnel.bytes_received,
                bytes_sent=driver.tunnel.bytes_sent,
                age=None if driver.tunnel.opened_at is None else now - driver.tunnel.opened_at,
                is_side=driver.is_side,
                lane=self._lanes.lane_of(driver),
                trying=self._whereabouts.crossings.trying(driver),
            )
            for remote in self._remotes.values()
            for driver in remote.drivers
        )

    def moved_with(self, endpoint_id: EndpointId) -> dict[Tier, Moved]:
        """What went to and from an endpoint since we started, by kind of path."""
        remote = self._remotes.get(endpoint_id)
        return {} if remote is None else remote.moved()

    def moved(self) -> dict[Tier, Moved]:
        """The same with everybody, those included that are not connected any more."""
        return all_moved([self._moved_before, *(remote.moved() for remote in self._remotes.values())])

    # --- dialling ---------------------------------------------------------------------------------------

    def _remote(self, endpoint_id: EndpointId) -> Remote:
        remote = self._remotes.pop(endpoint_id, None)
        if remote is None:
            remote = Remote(endpoint_id)
            if len(self._remotes) >= limits.MAX_REMOTES:
                idle = next((known for known, other in self._remotes.items() if other.is_idle), None)
                if idle is not None:
                    forgotten = self._remotes.pop(idle)
                    self._moved_before = all_moved([self._moved_before, forgotten.moved_before])
        self._remotes[endpoint_id] = remote  # the last in the dict is the latest touched
        return remote

    def _begin(self, remote: Remote, addresses: tuple[PathAddress, ...], timeout: float) -> TunnelDriver:
        engine = self._factory.client(self._certificate, self._settings.idle_timeout)
        candidates = [Candidate(address, CandidateKind.CONFIGURED) for address in addresses]
        policy = remote.policy or self._whereabouts.policy_of(remote.endpoint_id)
        paths = PathSet(candidates, now=time.monotonic(), chance=secrets.token_bytes, policy=policy)
        driver = self._new_driver(engine, paths, remote.endpoint_id, timeout, is_side=remote.lane is not None)
        remote.drivers.append(driver)
        if remote.lane is not None:
            driver.policy = remote.lane.policy
            self._lanes.begun(driver, remote)
            self._remote(remote.endpoint_id).drivers.append(driver)
        if self._whereabouts.is_trusted(remote.endpoint_id):
            self._whereabouts.call(remote.endpoint_id, addresses, policy)
            self._whereabouts.summon(remote.endpoint_id, addresses, driver, policy)
        driver.schedule_flush()
        return driver

    def _new_driver(
        self,
        engine: Engine,
        paths: PathSet,
        dialled: EndpointId | None,
        handshake_timeout: float,
        *,
        is_side: bool = False,
    ) -> TunnelDriver:
        def make_tunnel(events: TunnelEvents) -> Tunnel:
            return Tunnel(
                engine,
                self._secret_key,
                events,
                incarnation=self._incarnation,
                dialled=dialled,
                now=time.monotonic(),
                keepalive=self._settings.keepalive,
                handshake_timeout=handshake_timeout,
                budget=self._budget,
                is_side=is_side,
            )

        driver = TunnelDriver(self, paths, make_tunnel)
        self._drivers[driver] = None
        self._transport.gatherer.set_active(True)
        for connection_id in engine.connection_ids:
            self.add_connection_id(connection_id, driver)
        return driver

    # --- datagrams in -----------------------------------------------------------------------------------

    def _first_packet(self, datagram: bytes, address: PathAddress, now: float) -> None:
        if self._closing or not self.incoming.first_packet(datagram, address, now):
            self.reception.unknown += 1

    def _accept(self, initial: Initial, address: PathAddress, original: bytes | None) -> TunnelDriver:
        """A server for the client whose first packet this is; `original`: the id it first chose, if it came back."""
        engine = self._factory.server(
            self._certificate,
            self._settings.idle_timeout,
            original_destination_connection_id=original or initial.destination_connection_id,
            retry_source_connection_id=None if original is None else initial.destination_connection_id,
        )
        paths = PathSet((), now=time.monotonic(), chance=secrets.token_bytes, confirmed=address)
        driver = self._new_driver(engine, paths, None, limits.HANDSHAKE_TIMEOUT)
        self.add_connection_id(initial.destination_connection_id, driver)
        return driver

    # --- TunnelOwner ------------------------------------------------------------------------------------

    def send(self, datagrams: list[bytes], address: PathAddress, *, urgent: bool = False) -> bool:
        may_connect = not isinstance(address, RelayAddress) or self._whereabouts.is_trusted(
            address.endpoint_id
        )
        return self._transport.send(datagrams, address, urgent=urgent, may_connect=may_connect)

    def add_connection_id(self, connection_id: bytes, driver: TunnelDriver) -> None:
        self.reception.add(connection_id, driver)

    def remove_connection_id(self, connection_id: bytes) -> None:
        self.reception.remove(connection_id)

    def server_proved(self, driver: TunnelDriver) -> None:
        if driver.tunnel.remote_id is not None:  # its NAT is crossed while it gets to know us
            self._whereabouts.opened(driver, driver.tunnel.remote_id)

    def tunnel_opened(self, driver: TunnelDriver) -> None:
        tunnel = driver.tunnel
        assert tunnel.remote_id is not None  # noqa: S101 - an open tunnel knows its peer
        self.incoming.over(driver)
        remote = self._remote(tunnel.remote_id)
        if driver not in remote.drivers:
            remote.drivers.append(driver)
        client = self.endpoint_id if tunnel.is_client else tunnel.remote_id
        self._opened += 1
        driver.connection = Connection(client, tunnel.incarnation, self._opened)
        self._whereabouts.opened(driver, tunnel.remote_id)
        if driver.is_side:
            remote.close_earlier_runs(driver)
            self._lanes.opened(driver, time.monotonic())
        else:
            remote.opened(driver, time.monotonic())
        sides = [other for other in remote.drivers if other.is_side]
        others = [other for other in remote.drivers if not other.is_side and other is not remote.current]
        surplus = others[: max(0, len(others) + 1 - limits.MAX_TUNNELS_PER_ENDPOINT)]
        for old in [*surplus, *sides[: max(0, len(sides) - limits.MAX_SIDES_PER_ENDPOINT)]]:
            old.close(CloseCode.BUSY, TunnelClosed("too many connections with one endpoint"))
        self._opened_with(tunnel.remote_id)

    def connected(self) -> tuple[EndpointId, ...]:
        """The endpoints that a connection is up with."""
        return tuple(who for who, remote in self._remotes.items() if remote.current is not None)

    def tunnel_closed(self, driver: TunnelDriver, error: TunnelError) -> None:
        remote = self._remotes.get(driver.tunnel.remote_id) if driver.tunnel.remote_id else None
        if remote is not None:
            remote.closed(driver)
            is_main = not driver.is_side
            if isinstance(error, TunnelLost) and is_main and remote.current is None and _is_wanted(driver):
                self._redial(remote)
        self._lanes.closed(driver)
        driver.dispose_later(lambda: self._dispose(driver))
        self._whereabouts.closed(driver)

    def tunnel_suspect(self, driver: TunnelDriver) -> None:
        remote = self._remotes.get(driver.tunnel.remote_id) if driver.tunnel.remote_id else None
        if remote is not None and remote.current is driver and _is_wanted(driver):
            self._redial(remote)

    def tunnel_recovered(self, driver: TunnelDriver) -> None:
        remote = self._remotes.get(driver.tunnel.remote_id) if driver.tunnel.remote_id else None
        if remote is not None:
            remote.recovered(driver)
        self._lanes.recovered(driver)

    def path_changed(self, driver: TunnelDriver) -> None:
        self._whereabouts.changed(driver)

    def path_doubted(self, driver: TunnelDriver) -> None:
        self._transport.refresh()

    def peer_offered(self, driver: TunnelDriver) -> None:
        self._whereabouts.changed(driver)

    def peer_crossed(self, driver: TunnelDriver, cross: Cross) -> None:
        self._whereabouts.crossings.told(driver, cross)

    def _redial(self, remote: Remote) -> None:
        if not self._closing:
            self._dialer.redial(remote)

    def _dispose(self, driver: TunnelDriver) -> None:
        driver.dispose()
        self.incoming.over(driver)  # until now: one that fails at once takes up memory just as long
        self._drivers.pop(driver, None)
        if not self._drivers and not self._closing:
            self._transport.gatherer.set_active(False)
        for connection_id in tuple(driver.connection_ids):
            self.remove_connection_id(connection_id)

    def stream_opened(self, transport: TunnelTransport) -> None:
        transport.start(lambda: self._accept_stream(transport))


def _is_wanted(driver: TunnelDriver) -> bool:
    """Whether it is for this side to dial again: it opened streams, or it dialled what the peer's streams went on."""
    return driver.used_from_here or (driver.had_streams and driver.tunnel.is_client)
