"""Where peers may be and where they are told that we are: what transports, beacons and peers tell, for all connections."""

from __future__ import annotations

import asyncio
import time
from hashlib import blake2b
from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.addresses import Address, RelayAddress
from tunnels.bucket import Bucket
from tunnels.calling import Calls
from tunnels.crossing.history import History
from tunnels.crossings import Crossings
from tunnels.destinations import Destinations
from tunnels.errors import Offline, ProtocolViolation, TunnelClosed
from tunnels.events import CloseCode, TunnelState
from tunnels.joined_transport import JoinedTransport, TransportOwner
from tunnels.paths.candidates import (
    Candidate,
    CandidateKind,
    PathPolicy,
    Tier,
    allowed,
    is_allowed,
    is_sane,
    narrower,
)
from tunnels.serverless import Serverless
from tunnels.turn_paths import TurnPaths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from tunnels.addresses import BeaconUrl, PathAddress, SocketAddress, TcpAddress
    from tunnels.dialer import FindAddresses, Spawn
    from tunnels.dialing import Remote
    from tunnels.driver import TunnelDriver
    from tunnels.identity import EndpointId, SecretKey


class Whereabouts(TransportOwner):
    """Knows who may know what, and passes news on to the connections that they concern."""

    def __init__(
        self,
        secret_key: SecretKey,
        drivers: dict[TunnelDriver, None],
        remotes: dict[EndpointId, Remote],
        *,
        receive: Callable[[bytes, int, PathAddress, float], None],
        find_addresses: FindAddresses,
        policy_of: Callable[[EndpointId], PathPolicy],
        is_known: Callable[[EndpointId], bool],
        home_changed: Callable[[], None],
        spawn: Spawn,
        configured: Iterable[Address] = (),
        proxy: str | None = None,
        version: str = "",
        port_mapping: bool = False,
        history: History | None = None,
        pwnat_targets: Sequence[IPv4Address | IPv6Address] = (),
    ) -> None:
        """`drivers` and `remotes` as they come and go; `receive` takes datagrams; the rest is as `Endpoint` has it."""
        self._drivers = drivers
        self._remotes = remotes
        self._receive = receive
        self._find_addresses = find_addresses
        self._is_known = is_known
        self._home_changed = home_changed
        self._spawn = spawn
        self._told_home: BeaconUrl | None = None
        self._told_relays: tuple[BeaconUrl, ...] | None = None
        self._strangers_pings = Bucket(limits.STRANGERS_PINGS_PER_SECOND)
        self._blind_pings = Destinations(
            limits.BLIND_PER_DESTINATION,
            limits.BLIND_PER_DESTINATION_BURST,
            limits.BLIND_DESTINATIONS,
            makes_room=True,
        )
        self._loop = asyncio.get_running_loop()
        self._searches: dict[EndpointId, asyncio.Task[tuple[PathAddress, ...]]] = {}
        self.policy_of = policy_of
        self.refused = 0
        """Messages that were nothing of ours, or from nobody we know."""
        self.transport = JoinedTransport(
            self,
            secret_key,
            configured=configured,
            proxy=proxy,
            version=version,
            spawn=spawn,
            port_mapping=port_mapping,
        )
        self.turn_paths = TurnPaths(drivers.keys(), self.transport.gatherer)
        self.crossings = Crossings(
            self.transport,
            history=History() if history is None else history,
            label_key=blake2b(secret_key.seed, digest_size=32, person=b"overlay networks").digest(),
            clock=time.time,  # noqa: TID251 - attestations bear the time of a beacon's clock
            spawn=spawn,
        )
        self.serverless = Serverless(
            secret_key.endpoint_id,
            pwnat_targets,
            bound=lambda: self.transport.addresses,
            candidates=lambda: self.transport.candidates,
            send=self.transport.send_one,
        )
        self._calls = Calls(
            secret_key,
            send_message=self.transport.relays.send_message,
            send=self.transport.send_one,
            clock=time.time,  # noqa: TID251 - a call is from one clock to another
        )

    def __repr__(self) -> str:
        return f"<Whereabouts at home at {self.transport.relays.home}>"

    # --- who may know and do what -----------------------------------------------------------------------

    def is_trusted(self, endpoint_id: EndpointId) -> bool:
        """Whether we go to the beacons that an endpoint names; a stranger must not send us anywhere it likes."""
        remote = self._remotes.get(endpoint_id)
        return (remote is not None and remote.was_dialled) or self._is_known(endpoint_id)

    def may_ask_at(self, address: Address, endpoint_id: EndpointId) -> bool:
        """Whether something may be sent to an address that somebody unknown told of."""
        candidate = Candidate(address, CandidateKind.CONFIGURED)
        return is_sane(address, with_loopback=_has_loopback(self.transport.candidates)) and bool(
            allowed(self.policy_of(endpoint_id), (candidate,))
        )

    def told_to(self, endpoint_id: EndpointId) -> tuple[Candidate, ...]:
        """Our candidates as an endpoint may know them: a stranger has no business with our local addresses."""
        own = self.transport.candidates
        if self.is_trusted(endpoint_id):
            return own
        return tuple(candidate for candidate in own if candidate.tier is not Tier.LAN)

    def opened(self, driver: TunnelDriver, endpoint_id: EndpointId) -> None:
        """A connection with this endpoint is open: it is told where we are."""
        now = time.monotonic()
        driver.paths.exchange.destinations = self._blind_pings
        if not self.is_trusted(endpoint_id):
            driver.paths.exchange.shared = self._strangers_pings
        self._apply(driver, self.policy_of(endpoint_id), now)
        driver.paths.set_own_candidates(self.told_to(endpoint_id), now)
        self.turn_paths.look_soon()
        if self.is_trusted(endpoint_id):  # nobody else makes us go to any length
            driver.paths.add_candidates(self.crossings.called_from(endpoint_id), now)
            self.crossings.opened(driver)

    def changed(self, driver: TunnelDriver) -> None:
        """The path of a connection, or what its peer tells, is another one."""
        self.turn_paths.look_soon()
        self.crossings.look(driver)

    def closed(self, driver: TunnelDriver) -> None:
        """A connection is over."""
        self.turn_paths.look_soon()
        self.crossings.closed(driver)

    def close(self) -> None:
        """Nothing more is done for any connection."""
        for search in self._searches.values():
            search.cancel()
        self.turn_paths.close()
        self.crossings.close()
        self.serverless.close()

    def set_policy(self, endpoint_id: EndpointId, policy: PathPolicy) -> None:
        """Use only such paths to the endpoint from now on."""
        for driver in self._drivers_of(endpoint_id):
            self._apply(driver, policy, time.monotonic())
            driver.schedule_flush()
            self.crossings.look(driver)
        self.turn_paths.look_soon()

    @staticmethod
    def _apply(driver: TunnelDriver, policy: PathPolicy, now: float) -> None:
        """The endpoint's policy, as far as a lane has none of its own; a lane that has no paths left ends."""
        both = policy if driver.policy is None else narrower(policy, driver.policy)
        if both is None:
            driver.close(CloseCode.DONE, TunnelClosed(f"no path is left to it that is {policy.value}"))
        else:
            driver.paths.set_policy(both, now)

    # --- where peers may be -----------------------------------------------------------------------------

    async def candidates_of(self, endpoint_id: EndpointId) -> Sequence[PathAddress]:
        """Where to dial: what is known, or, of somebody who told no relay, our own home."""
        search, home = self._search(endpoint_id), self.transport.relays.home
        await asyncio.wait((search,), timeout=None if home is None else limits.SEARCH_AHEAD)
        found: tuple[PathAddress, ...] = search.result() if search.done() else ()
        if home is not None and not any(isinstance(address, RelayAddress) for address in found):
            found = (*found, RelayAddress(home, endpoint_id))
        return tuple(dict.fromkeys(found))

    def _search(self, endpoint_id: EndpointId) -> asyncio.Task[tuple[PathAddress, ...]]:
        """The search for addresses that is under way, or a new one."""
        search = self._searches.get(endpoint_id)
        if search is None:
            search = self._searches[endpoint_id] = self._loop.create_task(self._find(endpoint_id))
            search.add_done_callback(lambda _: self._searched(endpoint_id))
        return search

    async def _find(self, endpoint_id: EndpointId) -> tuple[PathAddress, ...]:
        return tuple(await self._find_addresses(endpoint_id))

    def _searched(self, endpoint_id: EndpointId) -> None:
        """A dial that did not wait for the search goes on with what it found."""
        search = self._searches.pop(endpoint_id)
        if search.cancelled() or search.exception() is not None:
            return
        drivers = self._drivers_of(endpoint_id)
        if drivers:
            self._learned(
                endpoint_id, [Candidate(address, CandidateKind.CONFIGURED) for address in search.result()]
            )
        for driver in drivers:
            self._give_up_if_hopeless(driver)

    def call(self, endpoint_id: EndpointId, addresses: Iterable[PathAddress], policy: PathPolicy) -> None:
        """We dial it: have its relays tell it from where, so that its NAT lets us in, and we learn where it is.

        Where relays may carry the connection as well, this makes it direct two round trips earlier.
        """
        beacons = [address.beacon for address in addresses if isinstance(address, RelayAddress)]
        if beacons and is_allowed(policy, Tier.DIRECT):
            own = allowed(policy, self.transport.candidates)
            self._calls.call(endpoint_id, beacons, own, description=self.crossings.told_to(endpoint_id))

    def summon(
        self,
        endpoint_id: EndpointId,
        addresses: Iterable[PathAddress],
        driver: TunnelDriver,
        policy: PathPolicy,
    ) -> None:
        """The same without a beacon, if nothing else works and we may."""
        if is_allowed(policy, Tier.DIRECT):
            self.serverless.summon(endpoint_id, addresses, driver.settled.done)

    def addresses_changed(self, endpoint_id: EndpointId) -> None:
        """There is news of where the endpoint is: the next attempt need not wait, and one under way goes there, too."""
        remote = self._remotes.get(endpoint_id)
        if remote is not None:
            remote.backoff.reset()
            if remote.dial is not None:
                self._spawn(self._find_more(endpoint_id), f"addresses of {endpoint_id.short}")

    async def _find_more(self, endpoint_id: EndpointId) -> None:
        found = await self.candidates_of(endpoint_id)
        self._learned(endpoint_id, [Candidate(address, CandidateKind.CONFIGURED) for address in found])

    def _learned(self, endpoint_id: EndpointId, candidates: Sequence[Candidate]) -> None:
        """It may be there, too: handshakes that are under way go there at once."""
        for driver in self._drivers_of(endpoint_id):
            driver.try_also(candidates)

    def _drivers_of(self, endpoint_id: EndpointId) -> tuple[TunnelDriver, ...]:
        remote = self._remotes.get(endpoint_id)
        return tuple(remote.drivers) if remote is not None else ()

    # --- our beacons ------------------------------------------------------------------------------------

    def set_beacons(
        self,
        urls: tuple[BeaconUrl, ...],
        lent: tuple[BeaconUrl, ...] = (),
        strangers: tuple[BeaconUrl, ...] = (),
    ) -> None:
        """Be at home at the first of these that works, or else at one that a peer `lent` us, or else a stranger."""
        self.transport.set_beacons(urls, lent, strangers)
        self._tell_home()

    def set_own_relay(self, url: BeaconUrl, at: str) -> None:
        """We lend a relay that others know by `url`: be there, too, by its origin `at` on this machine."""
        self.transport.set_own_relay(url, at)
        self._tell_home()

    def _tell_home(self) -> None:
        home, relays = self.transport.relays.home, self.transport.own_relays()
        if self._told_relays is None:
            self._told_relays = relays  # what was configured is no news
        is_there = home is not None and home != self._told_home
        is_other = relays != self._told_relays
        self._told_home, self._told_relays = home, relays
        if is_there or is_other:
            for endpoint_id in tuple(self._remotes):  # our home may be theirs: see `candidates_of`
                self.addresses_changed(endpoint_id)
            self._home_changed()

    # --- TransportOwner ---------------------------------------------------------------------------------

    def burst_received(self, burst: bytes, segment: int, address: PathAddress, now: float) -> None:
        self._receive(burst, segment, address, now)

    def stun_received(self, datagram: bytes, address: SocketAddress, now: float) -> None:
        self.refused += not self.crossings.stun_received(datagram, address, now)

    def stun_received_by_own(self, datagram: bytes, address: Address, now: float) -> bool:
        """Whether a STUN message that came to the tunnels' own socket was for something of ours."""
        return self.transport.stun_received(datagram, address, now) or self.crossings.stun_received(
            datagram, address, now
        )

    def servers_changed(self) -> None:
        self.crossings.servers_changed()

    def message_received(self, sender: EndpointId, body: bytes, beacon: BeaconUrl) -> None:
        if not self.is_trusted(sender):  # strangers cannot make us send anything
            self.refused += 1
            return
        try:
            self._called(sender, body, beacon)
        except ProtocolViolation:
            self.refused += 1

    def _called(self, sender: EndpointId, body: bytes, beacon: BeaconUrl) -> None:
        own = allowed(self.policy_of(sender), self.transport.candidates)
        call, candidates = self._calls.received(sender, body, with_loopback=_has_loopback(own))
        if not is_allowed(self.policy_of(sender), Tier.DIRECT):
            return  # nobody is told where we are who may only reach us by others
        if call.is_answer:
            self._calls.answered(sender)
            self._learned(sender, candidates)
            self.crossings.called(sender, call.description, candidates)
        else:
            self._calls.open_towards(sender, candidates)
            self.crossings.called(sender, call.description, candidates)
            self._calls.call(
                sender, (beacon,), own, is_answer=True, description=self.crossings.told_to(sender)
            )

    def peer_absent(self, address: RelayAddress) -> None:
        for driver in self._drivers_of(address.endpoint_id):
            driver.paths.failed(address, time.monotonic())
            driver.schedule_flush()
            self._give_up_if_hopeless(driver)

    def is_path(self, address: TcpAddress) -> bool:
        return any(driver.paths.has(address) for driver in self._drivers)

    def path_ended(self, address: TcpAddress) -> None:
        for driver in tuple(self._drivers):
            if driver.paths.has(address):
                driver.paths.failed(address, time.monotonic())
                driver.schedule_flush()

    def beacon_changed(self, beacon: BeaconUrl, *, is_up: bool) -> None:
        for driver in tuple(self._drivers):
            driver.paths.beacon_changed(beacon, time.monotonic(), is_up=is_up)
            driver.schedule_flush()
            if not is_up:
                self._give_up_if_hopeless(driver)
        self._tell_home()

    def _give_up_if_hopeless(self, driver: TunnelDriver) -> None:
        """A handshake by relays only, at none of which the peer is, or which are not there, need not be waited for."""
        tunnel = driver.tunnel
        if tunnel.remote_id in self._searches:
            return  # there may be others
        if (
            tunnel.state is TunnelState.HANDSHAKE
            and not driver.paths.is_open  # it was there, and has proved it
            and tunnel.remote_id is not None
            and driver.paths.relays
            and driver.paths.is_hopeless(time.monotonic())
        ):
            relays = ", ".join(address.beacon.authority for address in driver.paths.relays)
            reason = f"{tunnel.remote_id.short} is not at {relays}; is its gateway running?"
            driver.close(CloseCode.DONE, Offline(reason))

    def candidates_changed(self) -> None:
        for driver in self._drivers:
            if driver.is_usable and driver.tunnel.remote_id is not None:
                driver.paths.set_own_candidates(self.told_to(driver.tunnel.remote_id), time.monotonic())
                driver.schedule_flush()
        self.turn_paths.look_soon()
        self.crossings.candidates_changed()

    def network_changed(self, why: str) -> None:
        for remote in self._remotes.values():
            remote.backoff.reset()
        for driver in self._drivers:
            driver.paths.network_changed(time.monotonic())
            driver.schedule_flush()
        self.crossings.network_changed()
        self.serverless.network_changed()


def _has_loopback(own: Iterable[Candidate]) -> bool:
    """Whether we are reached by loopback, so that others on this machine are, too."""
    return any(isinstance(one.address, Address) and one.address.ip.is_loopback for one in own)
