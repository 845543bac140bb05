"""Crossing NATs for all connections: runs each one's course up the ladder, sends for it, keeps the sockets. ⚡"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from math import inf
from random import SystemRandom
from typing import TYPE_CHECKING

from tunnels import limits as tunnel_limits
from tunnels.addresses import Address, SocketAddress
from tunnels.bucket import Bucket
from tunnels.crossing import description as descriptions
from tunnels.crossing import limits
from tunnels.crossing.budget import Budget
from tunnels.crossing.course import Attest, Course, Cramped, Do, Doubt, Release, Tell, View
from tunnels.crossing.description import Description, Pair
from tunnels.crossing.strategy import OWN, Ask, AskTcp, ConnectTcp, Cost, Shot
from tunnels.errors import ProtocolViolation, TunnelError, Unreachable
from tunnels.nat import attested, stun
from tunnels.nat import limits as nat_limits
from tunnels.own_network import OwnNetwork
from tunnels.paths.candidates import CandidateKind, Tier, is_allowed, is_private, is_sane
from tunnels.paths.path import PathState
from tunnels.transports.tcp_paths import TcpPort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from ipaddress import IPv4Address, IPv6Address

    from tunnels.addresses import PathAddress
    from tunnels.crossing.history import History
    from tunnels.dialer import Spawn
    from tunnels.driver import TunnelDriver
    from tunnels.identity import EndpointId
    from tunnels.joined_transport import JoinedTransport
    from tunnels.paths.candidates import Candidate
    from tunnels.paths.checks import Cross


@dataclass(slots=True, eq=False)
class _Connection:
    """One connection's course, its timer, and the sockets of its attempts."""

    driver: TunnelDriver
    course: Course
    challenge: bytes
    timer: asyncio.TimerHandle | None = None
    looked_at: float = -inf
    """When the course was last told how things stand."""
    sockets: dict[tuple[int, int], int] = field(default_factory=dict)
    """By attempt, and number within it."""
    kept: dict[int, float] = field(default_factory=dict)
    """Of attempts that are over: a path goes by them, or may yet; and when that is looked at."""
    keeper: asyncio.TimerHandle | None = None
    words: Bucket = field(default_factory=lambda: Bucket(limits.CROSS_WORDS))
    """How many messages of the peer's are read."""
    ports: dict[tuple[int, int], TcpPort] = field(default_factory=dict)
    """TCP ports, by attempt and number within it."""


@dataclass(frozen=True, slots=True)
class _Question:
    """To a STUN server, for an attempt; or for an attestation if there is a challenge."""

    connection: _Connection
    server: Address
    attempt: int = 0
    socket: int = OWN
    challenge: bytes = b""
    proof: bytes = b""
    """That we receive what is sent to us, which the server gave us with an answer that attested nothing."""


@dataclass(slots=True, eq=False)
class _Farewell:
    """Sockets and ports by which the peer of a connection that is over is told so yet."""

    sockets: set[int]
    ports: tuple[TcpPort, ...]
    timer: asyncio.TimerHandle | None = None


@dataclass(frozen=True, slots=True)
class _Called:
    """What an endpoint said in a call."""

    description: Description
    candidates: tuple[Candidate, ...]
    at: float


class Crossings:
    """Told of connections as they come, change and go."""

    def __init__(
        self,
        transport: JoinedTransport,
        *,
        history: History,
        label_key: bytes,
        clock: Callable[[], float],
        spawn: Spawn,
    ) -> None:
        """`label_key` makes our labels of networks ours; `clock` gives seconds since 1970; `spawn` runs a task."""
        self._transport = transport
        self._history = history
        self._clock = clock
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._budget = Budget(self._measured)
        self._random = SystemRandom()
        self._connections: dict[TunnelDriver, _Connection] = {}
        self._questions: dict[bytes, _Question] = {}
        self._challenges = os.urandom(32)
        self._called: dict[EndpointId, _Called] = {}
        """What endpoints said of their networks, and where they are, before there was a connection."""
        self._network = OwnNetwork(transport, label_key=label_key, spawn=spawn, on_change=self._describe_all)
        self._closed = False
        self._farewells: set[_Farewell] = set()

    def __repr__(self) -> str:
        return f"<Crossings of {len(self._connections)} connections>"

    def close(self) -> None:
        """No more attempts."""
        self._closed = True
        for driver in tuple(self._connections):
            self.closed(driver)
        for farewell in tuple(self._farewells):
            self._end_farewell(farewell)
        self._network.close()

    # --- connections ------------------------------------------------------------------------------------

    def opened(self, driver: TunnelDriver) -> None:
        """The peer of a connection is authenticated."""
        remote_id = driver.tunnel.remote_id
        if remote_id is None or driver in self._connections or self._closed:
            return
        challenge = self._challenge(remote_id)
        course = Course(
            is_client=driver.tunnel.is_client,
            budget=self._budget,
            history=self._history,
            random=self._random,
            prove=lambda attestation, ip: self._proves(attestation, ip, challenge),
            note=driver.paths.trace.add,
            local_port=lambda attempt, socket: self._local_port(connection, attempt, socket),
        )
        connection = self._connections[driver] = _Connection(driver, course, challenge)
        self._describe(connection)
        self.look(driver)

    def closed(self, driver: TunnelDriver) -> None:
        """A connection is over. The peer is told so yet, perhaps by a socket or port of ours: these stay a little longer."""
        connection = self._connections.pop(driver, None)
        if connection is None:
            return
        if connection.timer is not None:
            connection.timer.cancel()
        if connection.keeper is not None:
            connection.keeper.cancel()
        now = time.monotonic()
        connection.course.close(now)
        self._questions = {
            key: asked for key, asked in self._questions.items() if asked.connection is not connection
        }
        destinations = driver.paths.destinations(now)
        used = {address.socket for address in destinations if isinstance(address, SocketAddress)}
        numbers = {*connection.sockets.values(), *connection.kept}
        self._close_sockets(numbers - used)
        farewell = _Farewell(numbers & used, tuple(connection.ports.values()))
        if farewell.sockets or farewell.ports:
            self._farewells.add(farewell)
            farewell.timer = self._loop.call_later(tunnel_limits.CLOSE_LINGER, self._end_farewell, farewell)

    def _end_farewell(self, farewell: _Farewell) -> None:
        self._farewells.discard(farewell)
        if farewell.timer is not None:
            farewell.timer.cancel()
        self._close_sockets(farewell.sockets)
        for port in farewell.ports:
            port.close()

    def _close_sockets(self, numbers: set[int]) -> None:
        for number in numbers:
            self._transport.extra_sockets.close(number)

    def look(self, driver: TunnelDriver) -> None:
        """Its path, or what its peer tells, changed."""
        connection = self._connections.get(driver)
        if connection is not None:
            now = time.monotonic()
            self._look(connection, now)
            self._progress(connection, now)
            self._compare(driver, now)

    def _look(self, connection: _Connection, now: float) -> None:
        connection.looked_at = now
        view = self._view(connection, now)
        connection.driver.paths.peer_ports_vary(vary=view.pair.lets_guess_only)
        connection.course.look(view, now)

    def _compare(self, driver: TunnelDriver, now: float) -> None:
        """Where the peer sees us with what was measured."""
        observed = (
            path.observed
            for path in driver.paths.report(now)
            if path.observed is not None and isinstance(path.address, Address)
        )
        if self._network.is_seen_elsewhere(observed):
            why = "the peer sees us where no server does"
            driver.paths.trace.add(now, "our network is measured again", why)
            self._doubt(now)

    def _doubt(self, now: float) -> None:
        """Have our network measured anew, once our router has room for that."""
        self._network.doubt(now, rest=self._budget.wait(Cost(blind=limits.NETWORK_FLOWS), now))

    def told(self, driver: TunnelDriver, cross: Cross) -> None:
        """The peer says how an attempt stands at its end."""
        connection = self._connections.get(driver)
        now = time.monotonic()
        if connection is None or not connection.words.take(now):
            return
        self._look(connection, now)
        try:
            connection.course.told(cross, now)
        except ProtocolViolation as error:
            driver.paths.trace.add(now, "passed over", str(error))
        self._progress(connection, now)

    def trying(self, driver: TunnelDriver) -> str:
        """The strategy that is tried for a connection now; empty if none is."""
        connection = self._connections.get(driver)
        return "" if connection is None else connection.course.trying

    def pair_with(self, endpoint_id: EndpointId) -> Pair | None:
        """Our network and that of an endpoint, as it told of it; None if it did not."""
        now = time.monotonic()
        for connection in self._connections.values():
            if connection.driver.tunnel.remote_id == endpoint_id and connection.driver.paths.peer_description:
                return self._view(connection, now).pair
        called = self._called.get(endpoint_id)
        return None if called is None else Pair(self.own, called.description)

    # --- before there is a connection ---------------------------------------------------------------

    def told_to(self, endpoint_id: EndpointId) -> bytes:
        """What that endpoint is told of our network; empty if nothing is known of it."""
        if not self._network.servers:
            return b""
        return descriptions.encode(self._network.describe(self._challenge(endpoint_id)))

    def called(self, endpoint_id: EndpointId, description: bytes, candidates: tuple[Candidate, ...]) -> None:
        """An endpoint that calls, or was called, says what its network is like, and where it is."""
        known = descriptions.decode(description) if description else None
        self._called.pop(endpoint_id, None)
        if known is not None:
            self._called[endpoint_id] = _Called(known, candidates, time.monotonic())
            if len(self._called) > tunnel_limits.MAX_CALLERS:
                del self._called[next(iter(self._called))]

    def called_from(self, endpoint_id: EndpointId) -> tuple[Candidate, ...]:
        """Where an endpoint said just now that it is; nothing if it did not call, or long ago."""
        known = self._known_by_call(endpoint_id)
        return () if known is None else known.candidates

    def _known_by_call(self, endpoint_id: EndpointId | None) -> _Called | None:
        known = self._called.get(endpoint_id) if endpoint_id is not None else None
        return known if known is not None and time.monotonic() - known.at < tunnel_limits.CALL_FRESH else None

    def _challenge(self, endpoint_id: EndpointId) -> bytes:
        """One for each endpoint, that nobody else can know."""
        size = nat_limits.CHALLENGE_BYTES
        return blake2b(str(endpoint_id).encode(), key=self._challenges, digest_size=size).digest()

    # --- our network ------------------------------------------------------------------------------------

    def _measured(self) -> tuple[float, int]:
        """When our network was measured last, and the mappings that this made."""
        check = self._transport.network_check
        return check.flows_at, check.flows

    @property
    def own(self) -> Description:
        """Our network, as far as it is known."""
        return self._network.describe()

    def servers_changed(self) -> None:
        """There are STUN servers to ask now, or other ones."""
        self._network.measure_soon()

    def network_changed(self) -> None:
        """We are elsewhere: what was known of our network is of another one."""
        self._network.changed()
        now = time.monotonic()
        self._describe_all()
        for connection in tuple(self._connections.values()):
            connection.course.network_changed(now)
            self._progress(connection, now)

    def candidates_changed(self) -> None:
        """We may be reached elsewhere, by a mapped port perhaps."""
        self._describe_all()

    def _describe_all(self) -> None:
        for connection in tuple(self._connections.values()):
            self._describe(connection)
            self.look(connection.driver)

    def _describe(self, connection: _Connection) -> None:
        """Tell the peer of our network, and what it is to have attested."""
        remote_id = connection.driver.tunnel.remote_id
        if remote_id is not None and (told := self.told_to(remote_id)):
            connection.driver.paths.describe(told, time.monotonic())
            connection.driver.schedule_flush()

    # --- one connection ---------------------------------------------------------------------------------

    def _view(self, connection: _Connection, now: float) -> View:
        paths = connection.driver.paths
        theirs = descriptions.decode(paths.peer_description) if paths.peer_description else None
        told = paths.peer_candidates
        if theirs is None and (called := self._known_by_call(connection.driver.tunnel.remote_id)) is not None:
            theirs, told = called.description, told or called.candidates
        pair = Pair(self._network.describe(connection.challenge), theirs or Description())
        is_direct = paths.is_direct(now)
        return View(
            pair=pair,
            is_direct=(is_direct and not paths.is_by_tcp) or not is_allowed(paths.policy, Tier.DIRECT),
            is_by_tcp=is_direct and paths.is_by_tcp,
            is_active=paths.is_active(now)
            or connection.driver.tunnel.unused_for(now) < tunnel_limits.ACTIVE_FOR,
            targets=tuple(_targets(told)),
            servers=self._network.servers,
            round_trip=connection.driver.tunnel.rtt or limits.CROSS_UNKNOWN_ROUND_TRIP,
        )

    def _progress(self, connection: _Connection, now: float) -> None:
        """Do what is to be done, and wait for what is next."""
        driver, course = connection.driver, connection.course
        is_cramped = False
        for deed in course.take():
            match deed:
                case Tell():
                    driver.paths.tell(deed.cross, now)
                    driver.schedule_flush()
                case Do():
                    self._do(connection, deed)
                case Attest():
                    self._ask(_Question(connection, deed.server, challenge=deed.challenge))
                case Release():
                    self._release(connection, deed.attempt)
                case Cramped():
                    is_cramped = True
                case Doubt():
                    self._doubt(now)
        if connection.timer is not None:
            connection.timer.cancel()
            connection.timer = None
        if course.due < inf and not self._closed and driver in self._connections:
            wait = max(course.due - now, tunnel_limits.TIMER_RESOLUTION)
            connection.timer = self._loop.call_later(wait, self._timer_fired, connection)
        if is_cramped:
            self._network.cramped()

    def _timer_fired(self, connection: _Connection) -> None:
        connection.timer = None
        now = time.monotonic()
        if (
            now - connection.looked_at >= limits.CROSS_LOOK_AGAIN
        ):  # what happens is told; this is for what time changes
            self._look(connection, now)
        connection.course.handle_timer(now)
        self._progress(connection, now)

    def _do(self, connection: _Connection, deed: Do) -> None:
        action = deed.action
        if isinstance(action, AskTcp):
            self._ask_tcp(connection, deed.attempt, action.socket)
            return
        if isinstance(action, ConnectTcp):
            port = connection.ports.get((deed.attempt, action.socket))
            if port is not None:
                port.connect(action.to, connection.driver.paths.exchange.knock)
            return
        number = self._socket(connection, deed.attempt, action.socket)
        if number is None:
            return
        match action:
            case Shot():
                to: PathAddress = action.to if number == OWN else SocketAddress(number, action.to)
                knock = connection.driver.paths.exchange.knock(to, time.monotonic())
                if knock:
                    self._send(number, knock, action.to, action.ttl)
            case Ask():
                self._ask(_Question(connection, action.server, deed.attempt, action.socket), number)

    def _send(self, number: int, datagram: bytes, to: Address, ttl: int | None = None) -> None:
        if number == OWN:
            self._transport.send_one(datagram, to, ttl)
        else:
            self._transport.extra_sockets.send_one(number, datagram, to, ttl)

    def _socket(self, connection: _Connection, attempt: int, socket: int) -> int | None:
        """Its number among all; None if there can be no more."""
        if socket == OWN:
            return OWN
        number = connection.sockets.get((attempt, socket))
        if number is None:
            host = self._host()
            number = None if host is None else self._transport.extra_sockets.open(host)
            if number is not None:
                connection.sockets[(attempt, socket)] = number
        return number

    def _host(self) -> str | None:
        """Where our sockets are bound."""
        return next((str(one.ip) for one in self._transport.addresses if one.ip.version == 4), None)

    def _local_port(self, connection: _Connection, attempt: int, socket: int) -> int:
        if socket == OWN:
            return next((one.port for one in self._transport.addresses if one.ip.version == 4), 0)
        number = self._socket(connection, attempt, socket)
        return 0 if number is None else self._transport.extra_sockets.port_of(number)

    def _ask_tcp(self, connection: _Connection, attempt: int, socket: int) -> None:
        """Bind a TCP port for the attempt, and have our beacon tell where it is seen."""
        key = (attempt, socket)
        if key not in connection.ports and (host := self._host()) is not None:
            try:
                connection.ports[key] = TcpPort(self._transport.tcp, self._spawn, host=host)
            except Unreachable as error:
                connection.driver.paths.trace.add(time.monotonic(), "no TCP port", str(error))
        self._spawn(self._learn_tcp(connection, attempt, socket), "asking where a TCP port is seen")

    async def _learn_tcp(self, connection: _Connection, attempt: int, socket: int) -> None:
        port, home = connection.ports.get((attempt, socket)), self._transport.outside_home
        seen: Address | None = None
        if port is not None and home is not None:
            try:
                seen = await port.ask(home)
            except TunnelError as error:
                connection.driver.paths.trace.add(time.monotonic(), "a TCP port is seen nowhere", str(error))
        if connection.driver in self._connections:
            now = time.monotonic()
            connection.course.tcp_seen(attempt, socket, seen, 0 if port is None else port.number, now)
            self._progress(connection, now)

    def _release(self, connection: _Connection, attempt: int) -> None:
        for key in [key for key in connection.ports if key[0] == attempt]:
            connection.ports.pop(key).close()
        over = [key for key in connection.sockets if key[0] == attempt]
        until = time.monotonic() + limits.CROSS_LINGER
        connection.kept |= {connection.sockets.pop(key): until for key in over}
        self._keep(connection)

    def _keep(self, connection: _Connection) -> None:
        """Look in time whether the sockets of attempts that are over are used."""
        if connection.keeper is not None:
            connection.keeper.cancel()
            connection.keeper = None
        if connection.kept and connection.driver in self._connections:
            wait = max(min(connection.kept.values()) - time.monotonic(), tunnel_limits.TIMER_RESOLUTION)
            connection.keeper = self._loop.call_later(wait, self._drop_unused, connection)

    def _drop_unused(self, connection: _Connection) -> None:
        """Close sockets of attempts that are over, but those that the best paths go by."""
        now = time.monotonic()
        paths = [
            path.address.socket
            for path in connection.driver.paths.report(now)
            if isinstance(path.address, SocketAddress)
            and (
                path.is_selected
                or path.state is PathState.USABLE
                or (path.heard_ago or 0.0) < tunnel_limits.PATH_CONSENT
            )
        ]
        used = set(list(dict.fromkeys(paths))[: limits.CROSS_KEPT])
        due = {number for number, until in connection.kept.items() if until <= now}
        for number in due & used:
            connection.kept[number] = now + limits.CROSS_LOOK
        for number in due - used:
            del connection.kept[number]
            self._transport.extra_sockets.close(number)
        connection.driver.paths.closed(due - used)
        self._keep(connection)

    # --- STUN -------------------------------------------------------------------------------------------

    def _ask(self, question: _Question, number: int = OWN) -> None:
        transaction_id = os.urandom(stun.TRANSACTION_ID_BYTES)
        if len(self._questions) >= limits.CROSS_ASKED:
            del self._questions[next(iter(self._questions))]
        self._questions[transaction_id] = question
        if not question.challenge:
            request = stun.encode(stun.Method.BINDING, stun.Class.REQUEST, transaction_id, {})
        elif question.proof:
            request = attested.request(question.challenge, transaction_id, question.proof)
        else:
            request = attested.request(question.challenge, transaction_id)
        self._send(number, request, question.server)

    def stun_received(self, datagram: bytes, source: Address | SocketAddress, now: float) -> bool:
        """Whether a STUN message was the answer to a question of ours."""
        server = source.peer if isinstance(source, SocketAddress) else source
        transaction_id = datagram[stun.HEADER_BYTES - stun.TRANSACTION_ID_BYTES : stun.HEADER_BYTES]
        question = self._questions.get(transaction_id)
        if question is None or question.server != server:
            return False
        reply = attested.reply(datagram, transaction_id)
        if reply is None:
            return False
        del self._questions[transaction_id]
        connection = question.connection
        if question.challenge:
            if reply.attestation is not None:
                connection.course.attested(reply.attestation.encode(), now)
            elif any(reply.proof) and not question.proof:  # once, or a server could have us ask for ever
                self._ask(replace(question, proof=reply.proof))
        elif reply.seen is not None and stun.is_plausible(reply.seen, server):
            connection.course.seen(question.attempt, question.socket, server, reply.seen, now)
        self._progress(connection, now)
        return True

    def _proves(self, attestation: bytes, ip: IPv4Address | IPv6Address, challenge: bytes) -> bool:
        home: EndpointId | None = self._transport.home_id
        try:
            known = attested.Attestation.decode(attestation)
        except ProtocolViolation:
            return False
        return home is not None and attested.proven_ip(known, ip, challenge, home, self._clock())


def _targets(told: Iterable[Candidate]) -> Iterator[Address]:
    """The peer's public IPv4 addresses, what servers see first."""
    for candidate in sorted(told, key=lambda one: one.kind is not CandidateKind.SERVER_REFLEXIVE):
        address = candidate.address
        if (
            isinstance(address, Address)
            and candidate.kind is not CandidateKind.RELAYED
            and address.ip.version == 4
            and not is_private(address)
            and is_sane(address, with_loopback=False)
        ):
            yield address
