"""Our own endpoint: bind, connect, accept, close. The shell that joins sockets, connections and remotes.

`connect` gives a tunnel to an endpoint id, dialling at most once at a time; `open_stream` opens a stream on it as
an asyncio transport. Streams that peers open are handed to `accept_stream`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Any

from tunnels import limits
from tunnels.credit import WindowBudget
from tunnels.demux import KINDS, DatagramKind
from tunnels.dialing import Remote
from tunnels.driver import TunnelDriver, TunnelOwner
from tunnels.errors import TunnelClosed, TunnelError, TunnelLost, Unreachable, WrongIdentity
from tunnels.events import CloseCode, TunnelEvents, TunnelState
from tunnels.handshakes import Admission, HandshakeTable
from tunnels.paths.fragments import whole
from tunnels.paths.path_set import PathSet
from tunnels.quic.certificates import make_certificate
from tunnels.quic.engines import make_factory, warm_up
from tunnels.quic.packets import RetryTokens, destination_connection_id, parse_initial
from tunnels.remote import Connection
from tunnels.transports.udp import UdpTransport, buffer_advice, source_address
from tunnels.tunnel import Tunnel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from tunnels.addresses import Address
    from tunnels.identity import EndpointId, SecretKey
    from tunnels.quic.engine import Engine, EngineName
    from tunnels.streams import TunnelTransport

    Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """What may be set of an endpoint."""

    engine: EngineName = "qh3"
    bind: tuple[str, ...] = ("0.0.0.0", "::")  # noqa: S104 - strangers are refused above, by identity
    port: int = 0
    idle_timeout: float = limits.IDLE_TIMEOUT
    keepalive: float = limits.KEEPALIVE
    connect_timeout: float = limits.CONNECT_TIMEOUT


@dataclass(frozen=True, slots=True)
class TunnelStatus:
    """One connection, for people."""

    endpoint_id: EndpointId
    state: TunnelState
    is_client: bool
    """Whether we dialled."""
    is_current: bool
    """Whether new streams go on it."""
    address: Address | None
    """The path in use."""
    rtt: float | None
    """Seconds."""
    streams: int
    bytes_received: int
    bytes_sent: int
    age: float | None
    """Seconds since it opened."""


@dataclass(slots=True)
class _Counters:
    """What the demultiplexer dropped, for status."""

    unknown: int = 0
    refused: int = 0
    by_admission: dict[Admission, int] = field(default_factory=dict)


class Endpoint(TunnelOwner):
    """Everything tunnels does for one identity on the running event loop."""

    def __init__(
        self,
        secret_key: SecretKey,
        settings: EndpointSettings,
        *,
        find_addresses: Callable[[EndpointId], Awaitable[Sequence[Address]]],
        accept_stream: Callable[[TunnelTransport], asyncio.Protocol],
        spawn: Spawn,
    ) -> None:
        """`find_addresses` is asked when an endpoint is dialled; `spawn` runs a task and reports its crash."""
        self.endpoint_id = secret_key.endpoint_id
        self._secret_key = secret_key
        self._settings = settings
        self._find_addresses = find_addresses
        self._accept_stream = accept_stream
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._factory = make_factory(settings.engine)
        self._certificate = make_certificate(secret_key)
        self._incarnation = secrets.token_bytes(8)
        self._tokens = RetryTokens(secrets.token_bytes(16))
        self._transport = UdpTransport(self._burst_received)
        self._by_connection_id: dict[bytes, TunnelDriver] = {}
        self._drivers: dict[TunnelDriver, None] = {}
        self._handshakes = HandshakeTable()
        self._unproven: dict[TunnelDriver, tuple[IPv4Address | IPv6Address, bool]] = {}
        self._remotes: dict[EndpointId, Remote] = {}
        self._budget = WindowBudget()
        self._opened = 0
        self._closing = False
        self.counters = _Counters()

    def __repr__(self) -> str:
        return f"<Endpoint {self.endpoint_id.short} on {', '.join(map(str, self.addresses))}, {len(self._drivers)} tunnels>"

    def start(self) -> None:
        """Bind the sockets; ConfigurationError says what is in the way."""
        self._transport.bind(self._settings.bind, self._settings.port)
        warm_up(self._settings.engine)

    async def close(self) -> None:
        """Close every connection, tell the peers, release the sockets."""
        self._closing = True
        tasks = [task for remote in self._remotes.values() for task in (remote.dial, remote.redial) if task]
        for task in tasks:
            task.cancel()
        for driver in list(self._drivers):
            driver.close(CloseCode.DONE, TunnelClosed("the gateway was shut down"))
        if tasks:
            await asyncio.wait(tasks)
        await asyncio.sleep(0)  # streams learn of it by callbacks of the next turn
        for driver in list(self._drivers):
            self._dispose(driver)
        self._transport.close()

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where our sockets are bound."""
        return self._transport.addresses

    def advice(self) -> tuple[str, ...]:
        """What would make this machine's tunnels faster, each in a line with the remedy; often nothing."""
        advice = buffer_advice(*self._transport.buffer_bytes)
        return () if advice is None else (advice,)

    # --- using it ---------------------------------------------------------------------------------------

    async def connect(self, endpoint_id: EndpointId) -> TunnelDriver:
        """A tunnel to the endpoint, there already or dialled now; TunnelError says why there is none."""
        if endpoint_id == self.endpoint_id:
            raise Unreachable("this is our own endpoint; its services are reached without a tunnel")
        if self._closing:
            raise TunnelClosed("the gateway is shut down")
        now = time.monotonic()
        remote = self._remote(endpoint_id)
        current = remote.working(now)
        if current is not None:
            return current
        if remote.dial is None:
            wait = remote.backoff.next_attempt - now
            if wait > 0 and remote.last_error is not None:
                raise type(remote.last_error)(f"{remote.last_error} (not tried again for {ceil(wait)} s)")
            remote.dial = self._spawn(self._dial(remote), f"dial {endpoint_id.short}")
            remote.dial.add_done_callback(lambda _: remote.dial_ended(time.monotonic()))
        return await remote.wait_opened()

    async def open_stream(
        self, endpoint_id: EndpointId, protocol_factory: Callable[[], asyncio.Protocol]
    ) -> tuple[TunnelTransport, asyncio.Protocol]:
        """A stream to the endpoint with a protocol of the caller's, as `loop.create_connection` would give."""
        driver = await self.connect(endpoint_id)
        if not driver.is_usable:  # it closed between the turns of the loop
            driver = await self.connect(endpoint_id)
        transport = driver.open_transport()
        try:
            protocol = protocol_factory()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
        except BaseException:  # it is the caller's; the stream must not stay behind
            transport.abort()
            raise
        return transport, protocol

    async def ping(self, endpoint_id: EndpointId) -> tuple[float, Address | None]:
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
        remote = self._remotes.get(endpoint_id)
        if remote is not None:
            remote.backoff.reset()

    def disconnect(self, endpoint_id: EndpointId, reason: str) -> None:
        """Close every connection with the endpoint."""
        remote = self._remotes.get(endpoint_id)
        for driver in list(remote.drivers) if remote else ():
            driver.close(CloseCode.DONE, TunnelClosed(reason))

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
            )
            for remote in self._remotes.values()
            for driver in remote.drivers
        )

    # --- dialling ---------------------------------------------------------------------------------------

    def _remote(self, endpoint_id: EndpointId) -> Remote:
        remote = self._remotes.pop(endpoint_id, None)
        if remote is None:
            remote = Remote(endpoint_id)
            if len(self._remotes) >= limits.MAX_REMOTES:
                idle = next((known for known, other in self._remotes.items() if other.is_idle), None)
                if idle is not None:
                    del self._remotes[idle]
        self._remotes[endpoint_id] = remote  # the last in the dict is the latest touched
        return remote

    async def _dial(self, remote: Remote) -> None:
        deadline = time.monotonic() + self._settings.connect_timeout
        error = await self._attempts(remote, deadline)
        if error is not None and remote.has_connection:
            # It fell silent, and cannot be dialled anew; it gets the rest of the time to come back.
            await asyncio.sleep(max(0.0, deadline - time.monotonic()))
        now = time.monotonic()
        if error is not None and remote.working(now) is None:
            remote.last_error = error
            remote.backoff.failed(now, _chance())

    async def _attempts(self, remote: Remote, deadline: float) -> TunnelError | None:
        """Begin handshakes until one is through or time is up; None, or why there is no connection."""
        name = remote.endpoint_id.short
        try:
            async with asyncio.timeout_at(deadline):
                found = await self._find_addresses(remote.endpoint_id)
        except TimeoutError:
            return Unreachable(f"looking for the addresses of {name} took too long; is this machine online?")
        candidates = tuple(dict.fromkeys(found))[: limits.MAX_CANDIDATES]
        if not candidates:
            return Unreachable(
                f"no address of {name} is known; ask its owner for a new ticket, then: overlay join TICKET"
            )
        error: TunnelError = _no_answer(name, candidates)
        pause = limits.DIAL_PAUSE
        left = candidates
        while (seconds := deadline - time.monotonic()) > 0.1:
            driver = self._begin(remote, left, min(seconds, limits.DIAL_ATTEMPT_TIMEOUT))
            outcome = await asyncio.shield(driver.settled)
            if outcome is None:
                return None
            # Whoever answers first at one address must not stand in the way of the endpoint itself at another.
            answered = driver.paths.confirmed
            left = tuple(address for address in left if address != answered)
            if isinstance(outcome, WrongIdentity):
                candidates = tuple(address for address in candidates if address != answered)
                if not candidates:
                    return outcome
                error = _no_answer(name, candidates)
            elif not isinstance(outcome, Unreachable):  # it answered, and not with a connection
                error = Unreachable(f"{name} did not accept the connection: {outcome}")
                await asyncio.sleep(min(pause, seconds))
                pause *= 2
            left = left or candidates
        return error

    def _begin(self, remote: Remote, addresses: tuple[Address, ...], timeout: float) -> TunnelDriver:
        engine = self._factory.client(self._certificate, self._settings.idle_timeout)
        driver = self._new_driver(engine, PathSet(addresses), remote.endpoint_id, timeout)
        remote.drivers.append(driver)
        driver.schedule_flush()
        return driver

    def _new_driver(
        self, engine: Engine, paths: PathSet, dialled: EndpointId | None, handshake_timeout: float
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
            )

        driver = TunnelDriver(self, paths, make_tunnel)
        self._drivers[driver] = None
        for connection_id in engine.connection_ids:
            self.add_connection_id(connection_id, driver)
        return driver

    def _start_redial(self, remote: Remote) -> None:
        if remote.redial is None and not self._closing:
            remote.redial = self._spawn(self._redial(remote), f"redial {remote.endpoint_id.short}")
            remote.redial.add_done_callback(lambda _: setattr(remote, "redial", None))

    async def _redial(self, remote: Remote) -> None:
        """A connection in use fell silent or was lost: try to have a fresh one before somebody asks."""
        for _ in range(limits.RECONNECT_ATTEMPTS):
            now = time.monotonic()
            await asyncio.sleep(
                max(0.0, remote.backoff.next_attempt - now) + _chance() * limits.REDIAL_JITTER
            )
            if remote.working(time.monotonic()) is not None:
                return
            try:
                await self.connect(remote.endpoint_id)
            except TunnelError:
                continue  # the next wait is longer; the error is in `last_error` for whoever asks
            return

    # --- datagrams in -----------------------------------------------------------------------------------

    def _burst_received(self, burst: bytes, segment: int, source: Any) -> None:  # noqa: ANN401 - a sockaddr
        """What one read of a socket gave: datagrams of `segment` bytes, the last perhaps shorter, from one source."""
        address = source_address(source)
        if address is None:
            return
        now = time.monotonic()
        start, end = 0, len(burst)
        packets: list[bytes] = []
        receiver: TunnelDriver | None = None
        receiver_id = b""
        while start < end:
            stop = start + segment
            kind = KINDS[burst[start]]
            if kind is DatagramKind.QUIC_LONG:
                self._long_header(burst[start:stop], address, now)
                start = stop
                continue
            connection_id = burst[start + 1 : start + 1 + limits.CONNECTION_ID_BYTES]
            if connection_id != receiver_id:
                if packets and receiver is not None:
                    self._deliver(receiver, packets, address, now)
                    packets = []
                receiver_id = connection_id
                receiver = self._by_connection_id.get(connection_id)
            if receiver is None:
                self.counters.unknown += 1
            elif kind is DatagramKind.QUIC_SHORT:
                packets.append(burst[start:stop])
            elif kind is DatagramKind.FRAGMENT:
                packet: bytes | None
                if (found := whole(burst, start, end, segment)) is not None:
                    packet, stop = found
                else:
                    packet = receiver.carrier.reassembler.add(burst[start:stop])
                if packet is not None:
                    packets.append(packet)
            elif kind is DatagramKind.PROBE:
                receiver.probe_received(burst[start:stop], address, now)
            elif kind is DatagramKind.PROBE_ANSWER:
                receiver.answer_received(burst[start:stop])
            else:
                self.counters.unknown += 1
            start = stop
        if packets and receiver is not None:
            self._deliver(receiver, packets, address, now)

    def _long_header(self, datagram: bytes, address: Address, now: float) -> None:
        """A packet of a handshake, for a connection there is or the first of one there may be."""
        connection_id = destination_connection_id(datagram)
        driver = self._by_connection_id.get(connection_id) if connection_id else None
        if driver is None:
            self._first_packet(datagram, address, now)
        else:
            self._deliver(driver, [datagram], address, now)

    def _deliver(self, driver: TunnelDriver, packets: list[bytes], address: Address, now: float) -> None:
        if driver.tunnel.state is TunnelState.HANDSHAKE and not driver.tunnel.is_client:
            driver.paths.add_candidate(address)  # a client tries several paths at once
        driver.receive(packets, address, now)

    def _first_packet(self, datagram: bytes, address: Address, now: float) -> None:
        initial = parse_initial(datagram)
        if initial is None or self._closing:
            self.counters.unknown += 1
            return
        original = self._tokens.original_id(initial, address, now)
        admission = self._handshakes.admit(address.ip, address_proved=original is not None)
        if admission is Admission.ACCEPT and original is None and len(self._drivers) >= limits.MAX_TUNNELS:
            admission = Admission.RETRY  # nobody is closed for a source that may be forged
        elif (
            admission is Admission.ACCEPT
            and len(self._drivers) >= limits.MAX_TUNNELS
            and not self._make_room(now)
        ):
            admission = Admission.DROP
        self.counters.by_admission[admission] = self.counters.by_admission.get(admission, 0) + 1
        if admission is Admission.DROP:
            return
        if admission is Admission.RETRY:
            new_id = secrets.token_bytes(limits.CONNECTION_ID_BYTES)
            retry = self._tokens.retry_packet(initial, address, new_id, secrets.token_bytes(12), now)
            self._transport.send([retry], address)
            return
        engine = self._factory.server(
            self._certificate,
            self._settings.idle_timeout,
            original_destination_connection_id=original or initial.destination_connection_id,
            retry_source_connection_id=None if original is None else initial.destination_connection_id,
        )
        driver = self._new_driver(
            engine, PathSet((address,), confirmed=address), None, limits.HANDSHAKE_TIMEOUT
        )
        self.add_connection_id(initial.destination_connection_id, driver)
        self._handshakes.begin(address.ip, address_proved=original is not None)
        self._unproven[driver] = (address.ip, original is not None)
        driver.receive([datagram], address, now)

    def _make_room(self, now: float) -> bool:
        """Let go of one connection: a closed one, one that never had a stream, or the one unused for longest.

        False if all are in use.
        """
        room = next((driver for driver in self._drivers if driver.tunnel.state is TunnelState.CLOSED), None)
        if room is None:
            unused = [
                driver for driver in self._drivers if driver.is_usable and not driver.tunnel.stream_count
            ]
            if not unused:
                return False
            room = max(unused, key=lambda driver: (not driver.had_streams, driver.tunnel.unused_for(now)))
            room.close(CloseCode.BUSY, TunnelClosed("made room for another connection"))
        self._dispose(room)
        return True

    # --- TunnelOwner ------------------------------------------------------------------------------------

    def send(self, datagrams: list[bytes], address: Address) -> bool:
        return self._transport.send(datagrams, address)

    def add_connection_id(self, connection_id: bytes, driver: TunnelDriver) -> None:
        self._by_connection_id[connection_id] = driver
        driver.connection_ids.add(connection_id)

    def remove_connection_id(self, connection_id: bytes) -> None:
        driver = self._by_connection_id.pop(connection_id, None)
        if driver is not None:
            driver.connection_ids.discard(connection_id)

    def tunnel_opened(self, driver: TunnelDriver) -> None:
        tunnel = driver.tunnel
        assert tunnel.remote_id is not None  # noqa: S101 - an open tunnel knows its peer
        self._handshake_over(driver)
        remote = self._remote(tunnel.remote_id)
        if driver not in remote.drivers:
            remote.drivers.append(driver)
        client = self.endpoint_id if tunnel.is_client else tunnel.remote_id
        self._opened += 1
        driver.connection = Connection(client, tunnel.incarnation, self._opened)
        remote.opened(driver, time.monotonic())
        surplus = len(remote.drivers) - limits.MAX_TUNNELS_PER_ENDPOINT
        for old in [other for other in remote.drivers if other is not remote.current][: max(0, surplus)]:
            old.close(CloseCode.BUSY, TunnelClosed("too many connections with one endpoint"))

    def tunnel_closed(self, driver: TunnelDriver, error: TunnelError) -> None:
        remote = self._remotes.get(driver.tunnel.remote_id) if driver.tunnel.remote_id else None
        if remote is not None:
            remote.closed(driver)
            if isinstance(error, TunnelLost) and remote.current is None and _is_wanted(driver):
                self._start_redial(remote)
        driver.dispose_later(lambda: self._dispose(driver))

    def tunnel_suspect(self, driver: TunnelDriver) -> None:
        remote = self._remotes.get(driver.tunnel.remote_id) if driver.tunnel.remote_id else None
        if remote is not None and remote.current is driver and _is_wanted(driver):
            self._start_redial(remote)

    def tunnel_recovered(self, driver: TunnelDriver) -> None:
        remote = self._remotes.get(driver.tunnel.remote_id) if driver.tunnel.remote_id else None
        if remote is not None:
            remote.recovered(driver)

    def _handshake_over(self, driver: TunnelDriver) -> None:
        unproven = self._unproven.pop(driver, None)
        if unproven is not None:
            ip, address_proved = unproven
            self._handshakes.end(ip, address_proved=address_proved)

    def _dispose(self, driver: TunnelDriver) -> None:
        driver.dispose()
        self._handshake_over(driver)  # until now: one that fails at once takes up memory just as long
        self._drivers.pop(driver, None)
        for connection_id in tuple(driver.connection_ids):
            self.remove_connection_id(connection_id)

    def stream_opened(self, transport: TunnelTransport) -> None:
        transport.start(lambda: self._accept_stream(transport))


def _is_wanted(driver: TunnelDriver) -> bool:
    """Whether it is for this side to dial again: it opened streams, or it dialled what the peer's streams went on."""
    return driver.used_from_here or (driver.had_streams and driver.tunnel.is_client)


def _no_answer(name: str, addresses: Sequence[Address]) -> Unreachable:
    tried = ", ".join(map(str, addresses))
    return Unreachable(f"{name} did not answer at {tried}; is its gateway running and reachable?")


def _chance() -> float:
    """Uniform in [0, 1)."""
    return secrets.randbelow(1 << 16) / (1 << 16)
