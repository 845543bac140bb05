"""Everything that carries datagrams of this endpoint, as one: its UDP sockets, its TURN allocation, its beacons' relays."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from tunnels import limits
from tunnels.addresses import Address, RelayAddress, SocketAddress, TcpAddress, TurnAddress
from tunnels.demux import KINDS, DatagramKind
from tunnels.gathering import Gatherer
from tunnels.mapped_port import MappedPort
from tunnels.network_check import NetworkCheck
from tunnels.relay.status import home_of
from tunnels.transports.extra_sockets import ExtraSockets
from tunnels.transports.nat64 import Nat64Finder
from tunnels.transports.network import NetworkWatch
from tunnels.transports.portmapping import find_firewall, find_router
from tunnels.transports.relayed import RelayState, RelayTransport
from tunnels.transports.tcp_paths import TcpPaths
from tunnels.transports.udp import UdpTransport, source_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tunnels.addresses import BeaconUrl, PathAddress
    from tunnels.dialer import Spawn
    from tunnels.identity import EndpointId, SecretKey
    from tunnels.mapped_port import MappingStatus
    from tunnels.paths.candidates import Candidate
    from tunnels.transports.relayed import RelayStatus

_logger = logging.getLogger(__name__)


class TransportOwner:
    """What is told to the endpoint."""

    def burst_received(self, burst: bytes, segment: int, address: PathAddress, now: float) -> None:
        """Datagrams of `segment` bytes one behind the other, the last perhaps shorter."""
        raise NotImplementedError

    def stun_received(self, datagram: bytes, address: SocketAddress, now: float) -> None:
        """A STUN message came to one of the extra sockets."""
        raise NotImplementedError

    def servers_changed(self) -> None:
        """Other STUN servers, or the first ones, can be asked how the network behaves."""
        raise NotImplementedError

    def message_received(self, sender: EndpointId, body: bytes, beacon: BeaconUrl) -> None:
        """A sealed message came by way of a beacon, which says who sent it."""
        raise NotImplementedError

    def peer_absent(self, address: RelayAddress) -> None:
        """The peer is not at that beacon."""
        raise NotImplementedError

    def beacon_changed(self, beacon: BeaconUrl, *, is_up: bool) -> None:
        """A beacon's relay can be used now, or cannot any more."""
        raise NotImplementedError

    def is_path(self, address: TcpAddress) -> bool:
        """Whether a connection has such a path: an authentic check came from there."""
        raise NotImplementedError

    def path_ended(self, address: TcpAddress) -> None:
        """It is there no more."""
        raise NotImplementedError

    def candidates_changed(self) -> None:
        """We may be reached elsewhere now."""
        raise NotImplementedError

    def network_changed(self, why: str) -> None:
        """Addresses or routes of this machine are others, or it slept."""
        raise NotImplementedError


class JoinedTransport:
    """Sends to any kind of address, and tells its owner what comes from each."""

    def __init__(
        self,
        owner: TransportOwner,
        secret_key: SecretKey,
        *,
        configured: Iterable[Address],
        proxy: str | None,
        version: str,
        spawn: Spawn,
        port_mapping: bool = False,
    ) -> None:
        """`configured` are public addresses that a person named; `proxy` leads to beacons, if there is one.

        `port_mapping`: whether our router is asked to send a port of its own on to us.
        """
        self._owner = owner
        self._udp = UdpTransport(self._udp_burst)
        self.extra_sockets = ExtraSockets(self._extra_burst)
        self._told_servers: tuple[Address, ...] = ()
        self._beacons: tuple[BeaconUrl, ...] = ()
        self._own_relay: BeaconUrl | None = None
        self._logged_home: BeaconUrl | None = None
        self._logged_errors: dict[BeaconUrl, str] = {}
        self.relays = RelayTransport(
            secret_key,
            on_datagrams=self._came,
            on_message=owner.message_received,
            on_absent=owner.peer_absent,
            on_state=self._relay_state,
            spawn=spawn,
            proxy=proxy,
            version=version,
        )
        self.tcp = TcpPaths(on_datagrams=self._came, on_closed=owner.path_ended, is_path=owner.is_path)
        self.gatherer = Gatherer(
            secret_key.endpoint_id,
            configured,
            bound=lambda: self._udp.addresses,
            send=self._send_udp,
            on_change=owner.candidates_changed,
        )
        self.nat64 = Nat64Finder(
            is_needed=lambda: self.gatherer.has_address(6) and not self.gatherer.has_address(4),
            on_change=self._nat64_changed,
            spawn=spawn,
        )
        self.network_check = NetworkCheck(self.gatherer, mapping=self.mapping, nat64=lambda: self.nat64.nat64)
        self._mapped: dict[int, MappedPort] = {}
        finders = {4: find_router, 6: find_firewall} if port_mapping else {}
        for family, find in finders.items():
            self._mapped[family] = MappedPort(
                self.relays,
                bound=lambda: self._udp.addresses,
                tell=partial(self.gatherer.set_mapped, version=family),
                spawn=spawn,
                find=find,
            )
        self._watch: NetworkWatch | None = None

    def start(self, hosts: Sequence[str], port: int) -> None:
        """Bind the sockets; ConfigurationError says what is in the way."""
        self._udp.bind(hosts, port)
        self.gatherer.start()
        self.nat64.look()
        for mapped in self._mapped.values():
            mapped.start()
        self._watch = NetworkWatch(self._network_changed)

    def set_beacons(
        self,
        urls: tuple[BeaconUrl, ...],
        lent: tuple[BeaconUrl, ...] = (),
        strangers: tuple[BeaconUrl, ...] = (),
    ) -> None:
        """Be at home at the first of these that works, or else at one that a peer `lent` us, or else a stranger."""
        self._beacons = urls
        self.relays.set_beacons(urls, lent, strangers)
        self._tell_relays()

    def set_own_relay(self, url: BeaconUrl, at: str) -> None:
        """We lend a relay ourselves; see `RelayTransport.set_own`."""
        self._own_relay = url
        self.relays.set_own(url, at)
        self._tell_relays()

    async def close(self) -> None:
        """Release everything; nothing is told any more."""
        if self._watch is not None:
            self._watch.close()
        self.nat64.close()
        if self._mapped:
            await asyncio.gather(*(mapped.close() for mapped in self._mapped.values()))
        self.gatherer.close()
        self.tcp.close()
        await self.relays.close()
        self.extra_sockets.close_all()
        self._udp.close()

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where our sockets are bound."""
        return self._udp.addresses

    @property
    def buffer_bytes(self) -> tuple[int, int]:
        """What the kernel granted for receiving and for sending."""
        return self._udp.buffer_bytes

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Where we may be reached."""
        return self.gatherer.candidates

    def mapping(self, version: int) -> MappingStatus | None:
        """Our port at the router, or our pinhole in its firewall for IP version 6; None if that is not wanted."""
        mapped = self._mapped.get(version)
        return mapped.status if mapped is not None else None

    def refresh(self) -> None:
        """A path broke: our addresses may be others now."""
        self.gatherer.refresh()
        for mapped in self._mapped.values():
            mapped.check()

    def stun_received(self, datagram: bytes, source: Address, now: float) -> bool:
        """Whether a STUN message was for something of ours."""
        if self.gatherer.stun_received(datagram, source, now):
            return True
        return any(mapped.stun_received(datagram) for mapped in self._mapped.values())

    def own_relays(self) -> tuple[BeaconUrl, ...]:
        """Where peers may find us: our home, the relay that we lend, our other beacons."""
        present = (self.relays.home, self._own_relay)
        return tuple(dict.fromkeys((*(url for url in present if url is not None), *self._beacons)))

    @property
    def home_id(self) -> EndpointId | None:
        """The id of our home beacon, whose attestations we believe (`tunnels.nat.attested`); None while there is none."""
        return self.relays.home_id

    @property
    def outside_home(self) -> BeaconUrl | None:
        """Our home, if it is elsewhere: our own relay sees us from within."""
        home = self.relays.home
        return None if home == self._own_relay else home

    def beacon_problem(self) -> str:
        """Why we are at home nowhere, though beacons are configured; empty if there is no such problem."""
        if self.relays.home is not None or not self._beacons:
            return ""
        url = self._beacons[0]
        return f"our beacon {url.authority} is not connected: {self._error_of(url) or 'not yet'}"

    def status(self) -> tuple[RelayStatus, ...]:
        """Our beacons, and those of peers that we are connected to."""
        return self.relays.status()

    # --- out --------------------------------------------------------------------------------------------

    def send(
        self, datagrams: list[bytes], address: PathAddress, *, urgent: bool = False, may_connect: bool = True
    ) -> bool:
        """Put datagrams on the wire, or into bounded queues.

        False if one is larger than the interface carries, or if the relay, or the connection, is not there.
        `may_connect`: whether a beacon to which we have no connection is worth one.
        """
        if isinstance(address, Address):
            return self._send_udp(datagrams, address)
        if isinstance(address, SocketAddress):
            return self.extra_sockets.send(datagrams, address)
        if isinstance(address, TurnAddress):
            return self.gatherer.turn_send(datagrams, address)
        if isinstance(address, TcpAddress):
            return self.tcp.send(datagrams, address, urgent=urgent)
        return self.relays.send(datagrams, address, urgent, may_connect=may_connect)

    def _send_udp(self, datagrams: list[bytes], address: Address) -> bool:
        """By our own sockets, through a NAT64 if IPv4 is reached by one."""
        to = self.nat64.outward(address)
        return to is None or self._udp.send(datagrams, to)

    def send_one(self, datagram: bytes, address: Address, ttl: int | None = None) -> None:
        """Put one datagram on the wire from the tunnels' own socket, that may pass so many routers."""
        to = self.nat64.outward(address)
        if to is not None:
            self._udp.send_one(datagram, to, ttl)

    # --- in ---------------------------------------------------------------------------------------------

    def _extra_burst(self, burst: bytes, segment: int, address: SocketAddress) -> None:
        now = time.monotonic()
        if KINDS[burst[0]] is DatagramKind.STUN:
            self._owner.stun_received(burst[:segment], address, now)
        else:
            self._owner.burst_received(burst, segment, address, now)

    def _udp_burst(self, burst: bytes, segment: int, source: Any) -> None:  # noqa: ANN401 - a sockaddr
        address = source_address(source)
        if address is None:
            return
        address = self.nat64.inward(address)
        now = time.monotonic()
        if not self.gatherer.asks_turn(address):
            self._owner.burst_received(burst, segment, address, now)
            return
        for start in range(0, len(burst), segment):
            came = burst[start : start + segment]
            if not self.gatherer.is_turn(address, came):
                self._owner.burst_received(came, len(came), address, now)
            elif (found := self.gatherer.turn_received(came, address, now)) is not None:
                datagram, by_turn = found
                self._owner.burst_received(datagram, len(datagram), by_turn, now)

    def _came(
        self, datagrams: list[bytes], address: RelayAddress | TcpAddress, _urgent: bool = False
    ) -> None:
        now = time.monotonic()
        for datagram in datagrams:
            self._owner.burst_received(datagram, len(datagram), address, now)

    # --- news -------------------------------------------------------------------------------------------

    def _relay_state(self, url: BeaconUrl, state: RelayState) -> None:
        self._tell_relays()
        self._log_beacon(url)
        if state is not RelayState.CONNECTING:
            self._owner.beacon_changed(url, is_up=state is RelayState.CONNECTED)

    def _error_of(self, url: BeaconUrl) -> str:
        return next((status.error for status in self.relays.status() if status.url == url), "")

    def _log_beacon(self, url: BeaconUrl) -> None:
        """Tell a person who is at home where, and why not, each once."""
        home, error = self.relays.home, self._error_of(url)
        if home != self._logged_home:
            self._logged_home = home
            if home is None:
                _logger.warning("no beacon is connected; others find us by other ways only")
            else:
                _logger.info("at home at the beacon %s", home.authority)
        if error and self._logged_errors.get(url) != error and url in self._beacons:
            _logger.warning("beacon %s: %s", url.authority, error)
        self._logged_errors[url] = error
        if len(self._logged_errors) > limits.BEACONS_REMEMBERED:
            del self._logged_errors[next(iter(self._logged_errors))]

    def _tell_relays(self) -> None:
        home = home_of(self.relays.status())
        if home is not None and home.welcome is not None:
            self.gatherer.set_servers(home.welcome.stun, home.welcome.turn, with_loopback=home.url.is_local)
        self.gatherer.set_relays(self.own_relays())
        for mapped in self._mapped.values():
            mapped.home_changed()
        if self.gatherer.servers != self._told_servers:
            self._told_servers = self.gatherer.servers
            self._owner.servers_changed()

    def _nat64_changed(self) -> None:
        """IPv4 addresses are reached now, or are not any more; none of them was tried in the right way."""
        self.gatherer.network_changed()
        self._owner.network_changed("IPv4 is reached in another way")

    def _network_changed(self, why: str) -> None:
        _logger.info("the network changed: %s", why)
        self.relays.network_changed()
        self.gatherer.network_changed()
        self.nat64.look()
        self.network_check.network_changed()
        for mapped in self._mapped.values():
            mapped.network_changed()
        self._owner.network_changed(why)
