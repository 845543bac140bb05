"""Everything that carries datagrams of this endpoint, as one: its UDP sockets, its TURN allocation, its beacons' relays."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from tunnels import limits
from tunnels.addresses import Address, RelayAddress, TurnAddress
from tunnels.gathering import Gatherer
from tunnels.mapped_port import MappedPort
from tunnels.network_check import NetworkCheck
from tunnels.relay.status import home_of
from tunnels.transports.network import NetworkWatch
from tunnels.transports.relayed import RelayState, RelayTransport
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

    def message_received(self, sender: EndpointId, body: bytes, beacon: BeaconUrl) -> None:
        """A sealed message came by way of a beacon, which says who sent it."""
        raise NotImplementedError

    def peer_absent(self, address: RelayAddress) -> None:
        """The peer is not at that beacon."""
        raise NotImplementedError

    def beacon_changed(self, beacon: BeaconUrl, *, is_up: bool) -> None:
        """A beacon's relay can be used now, or cannot any more."""
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
        self._beacons: tuple[BeaconUrl, ...] = ()
        self._own_relay: BeaconUrl | None = None
        self._logged_home: BeaconUrl | None = None
        self._logged_errors: dict[BeaconUrl, str] = {}
        self.relays = RelayTransport(
            secret_key,
            on_datagrams=self._relayed,
            on_message=owner.message_received,
            on_absent=owner.peer_absent,
            on_state=self._relay_state,
            spawn=spawn,
            proxy=proxy,
            version=version,
        )
        self.gatherer = Gatherer(
            secret_key.endpoint_id,
            configured,
            bound=lambda: self._udp.addresses,
            send=self._udp.send,
            on_change=owner.candidates_changed,
        )
        self.network_check = NetworkCheck(self.gatherer)
        self._mapped: MappedPort | None = None
        if port_mapping:
            self._mapped = MappedPort(
                self.relays,
                bound=lambda: self._udp.addresses,
                tell=self.gatherer.set_mapped,
                spawn=spawn,
            )
        self._watch: NetworkWatch | None = None

    def start(self, hosts: Sequence[str], port: int) -> None:
        """Bind the sockets; ConfigurationError says what is in the way."""
        self._udp.bind(hosts, port)
        self.gatherer.start()
        if self._mapped is not None:
            self._mapped.start()
        self._watch = NetworkWatch(self._network_changed)

    def set_beacons(self, urls: tuple[BeaconUrl, ...], lent: tuple[BeaconUrl, ...] = ()) -> None:
        """Be at home at the first of these that works, or else at one that a peer `lent` us."""
        self._beacons = urls
        self.relays.set_beacons(urls, lent)
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
        if self._mapped is not None:
            await self._mapped.close()
        self.gatherer.close()
        await self.relays.close()
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

    @property
    def mapping(self) -> MappingStatus | None:
        """Our port at the router; None if that is not wanted."""
        return self._mapped.status if self._mapped is not None else None

    def refresh(self) -> None:
        """A path broke: our addresses may be others now."""
        self.gatherer.refresh()
        if self._mapped is not None:
            self._mapped.check()

    def stun_received(self, datagram: bytes, source: Address, now: float) -> bool:
        """Whether a STUN message was for something of ours."""
        if self.gatherer.stun_received(datagram, source, now):
            return True
        return self._mapped is not None and self._mapped.stun_received(datagram)

    def own_relays(self) -> tuple[BeaconUrl, ...]:
        """Where peers may find us: our home, the relay that we lend, our other beacons."""
        present = (self.relays.home, self._own_relay)
        return tuple(dict.fromkeys((*(url for url in present if url is not None), *self._beacons)))

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

        False if one is larger than the interface carries, or if the relay is not there.
        `may_connect`: whether a beacon to which we have no connection is worth one.
        """
        if isinstance(address, Address):
            return self._udp.send(datagrams, address)
        if isinstance(address, TurnAddress):
            return self.gatherer.turn_send(datagrams, address)
        return self.relays.send(datagrams, address, urgent, may_connect=may_connect)

    # --- in ---------------------------------------------------------------------------------------------

    def _udp_burst(self, burst: bytes, segment: int, source: Any) -> None:  # noqa: ANN401 - a sockaddr
        address = source_address(source)
        if address is None:
            return
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

    def _relayed(self, datagrams: list[bytes], address: RelayAddress, _urgent: bool) -> None:
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
        if self._mapped is not None:
            self._mapped.home_changed()

    def _network_changed(self, why: str) -> None:
        _logger.info("the network changed: %s", why)
        self.relays.network_changed()
        self.gatherer.network_changed()
        self.network_check.network_changed()
        if self._mapped is not None:
            self._mapped.network_changed()
        self._owner.network_changed(why)
