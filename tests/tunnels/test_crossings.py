"""The shell of crossings, on a transport that keeps what it is told to send: what a peer, or a server, can make it do."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import count
from math import inf
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.lab.endpoints import key_of, until
from tunnels import crossings
from tunnels import limits as tunnel_limits
from tunnels.addresses import Address, BeaconUrl, RelayAddress, SocketAddress
from tunnels.crossing import description as descriptions
from tunnels.crossing import limits
from tunnels.crossing.course import Cramped, Doubt, Flags
from tunnels.crossing.description import Description, NetworkClass
from tunnels.crossing.history import History
from tunnels.crossing.registry import STRATEGIES
from tunnels.crossing.strategy import Ready
from tunnels.crossing.typical import typical
from tunnels.crossings import Crossings
from tunnels.identity import EndpointId
from tunnels.nat import limits as nat_limits
from tunnels.nat import stun
from tunnels.nat.attested import Attester
from tunnels.nat.behavior import Behavior
from tunnels.nat.reflector import Reflector, Site, Sites, _Sources
from tunnels.nat.report import FamilyReport, NetworkReport
from tunnels.paths.candidates import Candidate, CandidateKind
from tunnels.paths.checks import Cross, Offer, Sealer
from tunnels.paths.path_set import PathSet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from ipaddress import IPv4Address

HOME_KEY = key_of("beacon")
RELAY = BeaconUrl.parse("https://eu1.example")
SERVER = Address.parse("192.0.2.1:3478")
OURS = Address.parse("203.0.113.8:41641")
PEER = Address.parse("198.51.100.7:41641")
VICTIM = Address.parse("198.51.100.66:5000")
HOST, REFLEXIVE = CandidateKind.HOST, CandidateKind.SERVER_REFLEXIVE
SEQUENTIAL, RESTRICTED = typical(NetworkClass.SEQUENTIAL), typical(NetworkClass.PORT_RESTRICTED)

NOBODYS = (
    "192.168.1.20",
    "10.1.2.3",
    "172.16.0.9",
    "127.64.3.1",
    "127.0.0.1",
    "224.0.0.251",
    "0.0.0.1",
    "255.255.255.255",
    "169.254.169.254",
    "240.1.1.1",
)
"""Private networks, which are other people's or our own; our overlay's addresses; and what is nobody's."""


class Clock:
    """Of the shell's `time.monotonic` and the loop's timers both."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._order = count()
        self._timers: list[tuple[float, int, _Timer]] = []

    def monotonic(self) -> float:
        return self.now

    def call_later(self, wait: float, call: Any, *arguments: Any) -> _Timer:
        timer = _Timer(call, arguments)
        self._timers.append((self.now + wait, next(self._order), timer))
        return timer

    @property
    def pending(self) -> int:
        return sum(not timer.is_cancelled for *_, timer in self._timers)

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self._timers and (first := min(self._timers))[0] <= until:
            self._timers.remove(first)
            self.now = max(self.now, first[0])
            if not first[2].is_cancelled:
                first[2].call(*first[2].arguments)
        self.now = until


@dataclass(order=False, eq=False)
class _Timer:
    call: Any
    arguments: tuple[Any, ...]
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Extras:
    """As `ExtraSockets`, without any."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.open_now: dict[int, int] = {}
        self.most = 0
        self._last = 0

    def open(self, _: str) -> int | None:
        if len(self.open_now) >= tunnel_limits.EXTRA_SOCKETS:
            return None
        self._last += 1
        self.open_now[self._last] = 10_000 + self._last % 50_000
        self.most = max(self.most, len(self.open_now))
        return self._last

    def port_of(self, number: int) -> int:
        return self.open_now.get(number, 0)

    def send_one(self, number: int, datagram: bytes, to: Address, ttl: int | None = None) -> None:
        assert number in self.open_now
        self._world.sent.append(Sent(number, datagram, to, ttl))

    def close(self, number: int) -> None:
        self.open_now.pop(number, None)


@dataclass(frozen=True)
class Sent:
    socket: int
    datagram: bytes
    to: Address
    ttl: int | None

    @property
    def is_stun(self) -> bool:
        return self.datagram[4:8] == bytes.fromhex("2112a442")


class World:
    """Our gateway, as far as crossings see it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.sent: list[Sent] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.extras = Extras(self)
        self.report: NetworkReport | None = None
        self.measured = 0
        self.transport: Any = SimpleNamespace(
            extra_sockets=self.extras,
            send_one=lambda datagram, to, ttl=None: self.sent.append(Sent(0, datagram, to, ttl)),
            gatherer=SimpleNamespace(servers=(SERVER,)),
            network_check=SimpleNamespace(report=self._measure, flows=0, flows_at=-inf),
            mapping=lambda _: None,
            home_id=HOME_KEY.endpoint_id,
            outside_home=None,
            addresses=(Address.parse("0.0.0.0:41641"),),
            tcp=None,
        )
        self.history = History()
        self.crossings = Crossings(
            self.transport,
            history=self.history,
            label_key=bytes(32),
            clock=lambda: 1_800_000_000 + clock.now,
            spawn=self._spawn,
        )
        self.crossings._loop = self.crossings._network._loop = clock  # type: ignore[assignment]
        sites = Sites((SERVER.ip, SERVER.ip + 1), (SERVER.port, SERVER.port + 1))
        self.reflector = Reflector(sites, bytes(32), Attester(HOME_KEY, lambda: 1_800_000_000 + clock.now))

    async def _measure(self, _max_age: float) -> NetworkReport:
        self.measured += 1
        assert self.report is not None
        return self.report

    def _spawn(self, coroutine: Any, name: str) -> asyncio.Task[None]:
        self.tasks.append(asyncio.get_running_loop().create_task(coroutine, name=name))
        return self.tasks[-1]

    async def is_in(self, network: Description) -> None:
        """Measure that this is where we are."""
        behavior = replace(network.behavior, external_ips=(OURS.ip,))
        ipv4 = FamilyReport(has_address=True, asked=(SERVER,), answered=(SERVER,), behavior=behavior)
        self.report = NetworkReport(
            ipv4, FamilyReport(has_address=False), measured_at=self.clock.now, seconds=1.0
        )
        self.crossings.servers_changed()
        await asyncio.gather(*self.tasks)

    def answer(self, sent: Sent, seen: Address = OURS, server: Address = SERVER) -> bool:
        """What our STUN server says to a question."""
        self.reflector._sources = _Sources()  # it is patient
        answer = self.reflector.receive(sent.datagram, seen, Site(0, 0), self.clock.now)
        assert answer is not None
        source = server if sent.socket == 0 else SocketAddress(sent.socket, server)
        return self.crossings.stun_received(answer.datagram, source, self.clock.now)

    def to(self, *ips: Address) -> list[Sent]:
        wanted = {address.ip for address in ips}
        return [each for each in self.sent if each.to.ip in wanted]

    def to_others(self, *known: Address) -> Counter[IPv4Address]:
        """Datagrams by ip, without those to our own server and to these."""
        friends = {SERVER.ip, *(one.ip for one in known)}
        return Counter(each.to.ip for each in self.sent if each.to.ip not in friends)


@dataclass(eq=False)
class Mallory:
    """A connection of ours with a peer that says what it likes."""

    world: World
    name: str = "mallory"
    is_client: bool = True
    """The peer is."""
    flushes: int = 0
    offers: int = 0
    told: list[Cross] = field(default_factory=list)

    def __post_init__(self) -> None:
        peer_id = key_of(self.name).endpoint_id
        way = RelayAddress(RELAY, peer_id)
        now = self.world.clock.now
        self.paths = PathSet([Candidate(way, CandidateKind.RELAY)], now=now, chance=os.urandom, confirmed=way)
        self.paths.exchange.peer_connection_id = b"mallory."
        self.paths.open(
            Sealer(b"binding", is_client=not self.is_client, peer_id=peer_id, chance=os.urandom), now
        )
        us = key_of("alice").endpoint_id
        self._sealer = Sealer(b"binding", is_client=self.is_client, peer_id=us, chance=os.urandom)
        self._way = way
        self.tunnel = SimpleNamespace(
            remote_id=peer_id, is_client=not self.is_client, rtt=0.1, unused_for=lambda _: 0.0
        )
        self.driver: Any = self
        self.world.crossings.opened(self.driver)

    def schedule_flush(self) -> None:
        """As a driver has it."""
        self.flushes += 1
        for datagram, _ in self.paths.checks_to_send():
            opened = self._sealer.open(datagram)
            if opened is not None and isinstance(opened[0], Cross):
                self.told.append(opened[0])

    def _check(self, check: Offer | Cross) -> None:
        datagram = self._sealer.seal(check, b"alice...")
        self.paths.check_received(datagram, self._way, self.world.clock.now)
        events = self.paths.take_events()
        for event in events:
            if type(event).__name__ == "Crossed":
                self.world.crossings.told(self.driver, event.cross)
            elif type(event).__name__ == "Offered":
                self.world.crossings.look(self.driver)
        self.schedule_flush()

    def describes(self, network: Description, *places: Address) -> None:
        candidates = tuple(Candidate(place, REFLEXIVE) for place in places)
        self._offer(descriptions.encode(network), candidates)

    def _offer(self, description: bytes, candidates: tuple[Candidate, ...]) -> None:
        self.offers += 1
        self._check(Offer(self.offers, is_answer=False, candidates=candidates, description=description))

    def says(self, attempt: int, strategy: int, ready: bytes = b"", **word: Any) -> None:
        """A message about an attempt."""
        fields = {
            "version": 1 if ready else 0,
            "heard": 0,
            "ready": ready,
            "attestation": b"",
            "wait": 0.0,
        } | word
        flags = fields.pop("flags", Flags.ASKS)
        self._check(Cross(attempt, strategy, flags, msgspec.msgpack.encode(list(fields.values()))))


@pytest.fixture
async def world(monkeypatch) -> AsyncIterator[World]:
    clock = Clock()
    monkeypatch.setattr(crossings, "time", clock)
    made = World(clock)
    yield made
    made.crossings.close()
    assert made.extras.open_now == {}
    assert clock.pending == 0


def away(base: Description, *ips: Address, **changes: Any) -> Description:
    """A peer's network, seen at these ips."""
    behavior = replace(base.behavior, external_ips=tuple(one.ip for one in ips))
    return replace(base, behavior=behavior, **changes)


# --- as it should be ------------------------------------------------------------------------------------------


async def test_a_connection_is_told_what_our_network_is_like_and_what_to_have_attested(world):
    await world.is_in(SEQUENTIAL)
    peer, other = Mallory(world), Mallory(world, name="other")
    told, again = (descriptions.decode(one.paths._offers.description) for one in (peer, other))
    assert told.network_class is NetworkClass.SEQUENTIAL
    assert told.behavior.external_ips == (OURS.ip,)
    assert told.attester == SERVER
    assert len(told.challenge) == nat_limits.CHALLENGE_BYTES
    assert told.challenge != again.challenge, "nobody can use what another one was given"


async def test_an_attempt_opens_sockets_asks_where_they_are_seen_and_tells_the_peer(world):
    await world.is_in(SEQUENTIAL)
    peer = Mallory(world)
    peer.describes(away(RESTRICTED, PEER), PEER)
    peer.says(1, 10)
    assert world.crossings.trying(peer.driver) == "port prediction"
    questions = [sent for sent in world.sent if sent.is_stun]
    assert {sent.to for sent in questions} == {SERVER}
    assert len(world.to(PEER)) == limits.PREDICT_SOCKETS
    assert {sent.ttl for sent in world.to(PEER)} == {limits.OPENER_TTLS_SEEN[0]}
    for sent, port in zip(questions, (5000, 5009), strict=True):
        assert world.answer(sent, Address(OURS.ip, port))
    word = msgspec.msgpack.decode(peer.told[-1].payload)
    assert {place[1] for place in Ready.decode(word[2]).encode() and msgspec.msgpack.decode(word[2])[0]} == {
        *range(5001, 5009)
    }


async def test_sockets_are_closed_some_time_after_an_attempt_but_for_those_that_a_path_goes_by(world):
    await world.is_in(SEQUENTIAL)
    peer = Mallory(world)
    peer.describes(away(RESTRICTED, PEER), PEER)
    peer.says(1, 10)
    assert len(world.extras.open_now) == limits.PREDICT_SOCKETS + 2
    way = SocketAddress(3, PEER)
    ping = peer._sealer.seal(Offer(1, is_answer=False, candidates=()), b"alice...")
    peer.paths.check_received(ping, way, world.clock.now)
    assert peer.paths.has(way)
    peer.says(1, 10, flags=Flags.OVER)
    world.clock.run(limits.CROSS_LINGER - 0.1)
    assert len(world.extras.open_now) == limits.PREDICT_SOCKETS + 2
    world.clock.run(0.2)
    assert [*world.extras.open_now] == [3]
    world.clock.run(tunnel_limits.PATH_CONSENT + 2 * limits.CROSS_LOOK)
    assert world.extras.open_now == {}, "nothing was heard of it any more"


async def test_what_another_server_says_is_no_answer_and_one_question_has_one(world):
    await world.is_in(SEQUENTIAL)
    peer = Mallory(world)
    peer.describes(away(RESTRICTED, PEER), PEER)
    peer.says(1, 10)
    question = next(sent for sent in world.sent if sent.is_stun)
    assert not world.answer(question, server=VICTIM)
    assert world.answer(question)
    assert not world.answer(question)
    assert not world.crossings.stun_received(bytes(20), SERVER, world.clock.now)


async def test_our_address_is_attested_for_the_peer_with_a_proof_if_the_server_wants_one(world):
    await world.is_in(RESTRICTED)
    peer = Mallory(world)
    world.reflector._attester._unproved._left = 0
    world.reflector._attester._unproved._at = float("inf")
    peer.describes(away(RESTRICTED, PEER, challenge=bytes(16), attester=SERVER), PEER)
    first = world.sent.pop()
    assert first.is_stun
    assert world.answer(first)
    second = world.sent.pop()
    assert world.answer(second)
    assert world.crossings._connections[peer.driver].course._own_proof.attestation


async def test_in_another_network_everything_is_measured_and_described_anew(world):
    await world.is_in(SEQUENTIAL)
    peer = Mallory(world)
    peer.describes(away(RESTRICTED, PEER), PEER)
    peer.says(1, 10)
    world.crossings.network_changed()
    assert world.crossings.trying(peer.driver) == ""
    unknown = descriptions.decode(peer.paths._offers.description)
    assert unknown.network_class is NetworkClass.UNKNOWN
    await asyncio.gather(*world.tasks)
    assert world.measured == 2
    assert descriptions.decode(peer.paths._offers.description).network_class is NetworkClass.SEQUENTIAL


def do(peer: Mallory, deed: Cramped | Doubt) -> None:
    """As if its course had found that."""
    peer.world.crossings._connections[peer.driver].course._deeds.append(deed)
    peer.world.crossings.look(peer.driver)


async def test_a_router_without_room_is_told_of_to_all_peers_and_forgotten_with_its_network(world):
    await world.is_in(SEQUENTIAL)
    peers = Mallory(world), Mallory(world, name="other")
    do(peers[0], Cramped())
    assert all(descriptions.decode(peer.paths._offers.description).is_small for peer in peers)
    world.crossings.network_changed()
    assert not world.crossings.own.is_small
    await asyncio.gather(*world.tasks)


async def test_a_network_that_is_doubted_is_measured_again_once_the_report_is_a_while_old(world):
    await world.is_in(SEQUENTIAL)
    peer = Mallory(world)
    for _ in range(5):
        do(peer, Doubt())
    world.clock.run(limits.NETWORK_CREDIBLE - 1)
    await asyncio.gather(*world.tasks)
    assert world.measured == 1
    world.clock.run(2)
    await asyncio.gather(*world.tasks)
    assert world.measured == 2


async def test_our_network_is_measured_again_only_where_our_router_has_room_for_it(world):
    await world.is_in(SEQUENTIAL)
    world.clock.run(limits.NETWORK_CREDIBLE)
    check = world.transport.network_check
    check.flows, check.flows_at = limits.CROSSING_BLIND, world.clock.now
    do(Mallory(world), Doubt())
    world.clock.run(limits.CROSSING_MAPPING_SECONDS - 1)
    await asyncio.gather(*world.tasks)
    assert world.measured == 1
    world.clock.run(2)
    await asyncio.gather(*world.tasks)
    assert world.measured == 2


async def test_measurements_do_not_pile_up_however_often_the_servers_change(world):
    await world.is_in(SEQUENTIAL)
    for _ in range(1000):
        world.crossings.servers_changed()
    assert len(world.tasks) == 2
    await until(lambda: not world.crossings._network._is_measuring)
    assert world.measured <= 3


async def test_closing_a_connection_leaves_nothing_of_it(world):
    await world.is_in(SEQUENTIAL)
    peer, other = Mallory(world), Mallory(world, name="other")
    for one in (peer, other):
        one.describes(away(RESTRICTED, PEER), PEER)
        one.says(1, 10)
    world.crossings.closed(peer.driver)
    world.crossings.closed(peer.driver)
    assert len(world.extras.open_now) == limits.PREDICT_SOCKETS + 2
    assert {asked.connection.driver for asked in world.crossings._questions.values()} == {other.driver}


async def test_a_socket_by_which_the_peer_is_told_of_the_end_stays_a_little_longer(world, monkeypatch):
    await world.is_in(SEQUENTIAL)
    peer = Mallory(world)
    peer.describes(away(RESTRICTED, PEER), PEER)
    peer.says(1, 10)
    used = next(iter(world.extras.open_now))
    monkeypatch.setattr(peer.driver.paths, "destinations", lambda _now: (SocketAddress(used, PEER),))
    world.crossings.closed(peer.driver)
    assert set(world.extras.open_now) == {used}
    world.clock.run(tunnel_limits.CLOSE_LINGER + 0.1)
    assert not world.extras.open_now


# --- bounds -----------------------------------------------------------------------------------------------------


async def test_no_more_questions_are_kept_than_the_bound(world, monkeypatch):
    monkeypatch.setattr(limits, "CROSS_ASKED", 10)
    await world.is_in(SEQUENTIAL)
    for number in range(12):
        peer = Mallory(world, name=f"peer {number}")
        peer.describes(away(RESTRICTED, PEER), PEER)
        peer.says(1, 10)
    assert len(world.crossings._questions) == 10


async def test_of_no_more_callers_is_known_what_they_said_than_the_bound(world):
    told = descriptions.encode(SEQUENTIAL)
    ids = [EndpointId(number.to_bytes(32)) for number in range(tunnel_limits.MAX_CALLERS + 100)]
    for one in ids:
        world.crossings.called(one, told, (Candidate(VICTIM, HOST),))
    assert len(world.crossings._called) == tunnel_limits.MAX_CALLERS
    assert world.crossings.pair_with(ids[0]) is None
    assert world.crossings.pair_with(ids[-1]).theirs.network_class is NetworkClass.SEQUENTIAL
    assert world.crossings.called_from(ids[-1]) == (Candidate(VICTIM, HOST),)
    world.clock.run(tunnel_limits.CALL_FRESH)
    assert world.crossings.called_from(ids[-1]) == ()


async def test_an_attempt_does_with_the_sockets_that_there_are(world, monkeypatch):
    monkeypatch.setattr(tunnel_limits, "EXTRA_SOCKETS", 4)
    await world.is_in(SEQUENTIAL)
    peer = Mallory(world)
    peer.describes(away(RESTRICTED, PEER), PEER)
    peer.says(1, 10)
    assert len(world.extras.open_now) == 4


# --- peers that lie -----------------------------------------------------------------------------------------------


async def test_attestations_are_asked_for_at_a_place_of_the_peers_choice_a_few_times_only(world):
    """Each new description names another challenge and another victim, or the same one again."""
    await world.is_in(RESTRICTED)
    peer = Mallory(world)
    for number in range(2000):
        victim = Address(VICTIM.ip + number % 5, VICTIM.port)
        peer.describes(away(RESTRICTED, PEER, challenge=number.to_bytes(16), attester=victim))
        world.clock.run(0.01)
    assert sum(world.to_others(PEER).values()) <= limits.CROSS_ATTESTS * limits.SAMPLING_SENDS
    world.sent.clear()
    for number in range(3600):
        peer.describes(away(RESTRICTED, PEER, challenge=(number + 9999).to_bytes(16), attester=VICTIM))
        world.clock.run(1.0)
    assert len(world.to(VICTIM)) <= 61 * limits.SAMPLING_SENDS


async def test_many_peers_that_name_one_attester_make_it_a_few_questions(world):
    await world.is_in(RESTRICTED)
    for number in range(300):
        peer = Mallory(world, name=f"mallory {number}")
        for again in range(10):
            challenge = (number * 10 + again).to_bytes(16)
            peer.describes(away(RESTRICTED, PEER, challenge=challenge, attester=VICTIM))
    world.clock.run(1)
    assert len(world.to(VICTIM)) <= limits.CROSSING_UNPROVEN_BURST + 1


@pytest.mark.parametrize(
    "text", ["192.168.1.1:8080", "10.0.0.1:5000", "127.64.1.2:80", "169.254.169.254:80", "224.0.0.1:99"]
)
async def test_no_attestation_is_asked_for_where_a_peer_has_no_business(world, text):
    await world.is_in(RESTRICTED)
    peer = Mallory(world)
    peer.describes(away(RESTRICTED, PEER, challenge=bytes(16), attester=Address.parse(text)))
    world.clock.run(10)
    assert world.sent == []


async def test_an_attester_that_never_attests_is_asked_once_more_and_not_for_ever(world):
    await world.is_in(RESTRICTED)
    Mallory(world).describes(away(RESTRICTED, PEER, challenge=bytes(16), attester=SERVER))
    world.reflector._attester = None
    answered = 0
    while world.sent and answered < 100:
        world.answer(world.sent.pop(0))
        answered += 1
    assert answered == 2


@pytest.mark.parametrize("size", range(17))
async def test_a_challenge_of_any_length_does_no_harm(world, size):
    await world.is_in(RESTRICTED)
    Mallory(world).describes(away(RESTRICTED, PEER, challenge=bytes(size), attester=SERVER))
    assert len(world.sent) == (size == nat_limits.CHALLENGE_BYTES)


async def test_attempts_begun_all_the_time_send_a_victim_a_few_datagrams_and_open_few_sockets(world):
    """The peer says at once where it waits: at somebody else's, each time at another port."""
    await world.is_in(RESTRICTED)
    peer = Mallory(world)
    peer.describes(away(SEQUENTIAL, VICTIM), VICTIM)
    for number in range(1, 3000):
        ports = range(1024 + 32 * number % 60_000, 1056 + 32 * number % 60_000)
        peer.says(number, 10, Ready.at([Address(VICTIM.ip, port) for port in ports], is_open=True).encode())
        world.clock.run(0.01)
    most = limits.CROSSING_UNPROVEN_BURST + 31 * limits.CROSSING_UNPROVEN_PER_SECOND
    assert 0 < len(world.to(VICTIM)) <= most
    assert world.to_others(PEER).keys() == {VICTIM.ip}


async def test_an_hour_of_attempts_does_not_add_up(world):
    await world.is_in(RESTRICTED)
    peer = Mallory(world)
    peer.describes(away(SEQUENTIAL, VICTIM), VICTIM)
    for number in range(1, 3600):
        ports = [Address(VICTIM.ip, 1024 + port) for port in range(32)]
        peer.says(number, 10, Ready.at(ports, is_open=True).encode())
        world.clock.run(1.0)
    assert (
        len(world.to(VICTIM)) <= limits.CROSSING_UNPROVEN_BURST + 3600 * limits.CROSSING_UNPROVEN_PER_SECOND
    )


async def test_many_peers_together_send_one_victim_no_more(world):
    await world.is_in(RESTRICTED)
    peers = [Mallory(world, name=f"mallory {number}") for number in range(40)]
    for peer in peers:
        peer.describes(away(SEQUENTIAL, VICTIM), VICTIM)
    for number in range(1, 100):
        for peer in peers:
            ports = [Address(VICTIM.ip, 1024 + port) for port in range(32)]
            peer.says(number, 10, Ready.at(ports, is_open=True).encode())
        world.clock.run(0.1)
    most = limits.CROSSING_UNPROVEN_BURST + 11 * limits.CROSSING_UNPROVEN_PER_SECOND
    assert len(world.to(VICTIM)) <= most


async def test_one_attempt_goes_to_few_ips_however_many_are_named(world):
    await world.is_in(RESTRICTED)
    peer = Mallory(world)
    peer.describes(away(SEQUENTIAL, VICTIM), VICTIM)
    places = [Address(VICTIM.ip + number, 5000) for number in range(limits.READY_PLACES)]
    peer.says(1, 10, Ready.at(places, is_open=True).encode())
    world.clock.run(10)
    assert len(world.to_others(PEER)) == limits.CROSS_UNPROVEN_IPS


@pytest.mark.parametrize("ip", NOBODYS)
async def test_no_strategy_sends_to_networks_of_others_or_our_own(world, ip):
    place = Address.parse(f"{ip}:5000")
    for network, ours in ((SEQUENTIAL, RESTRICTED), (RESTRICTED, SEQUENTIAL)):
        await world.is_in(ours)
        peer = Mallory(world, name=str(network.network_class))
        peer.describes(away(network, place), place)
        for attempt, strategy in enumerate(STRATEGIES, 1):
            ready = Ready.at([place] * 8, round=1, is_open=True).encode()
            peer.says(attempt, strategy.code, ready)
            world.clock.run(limits.CROSS_ATTEMPT_EVERY + 1)
    assert not world.to_others()


@pytest.mark.parametrize(
    "ours", [NetworkClass.SEQUENTIAL, NetworkClass.PORT_RESTRICTED, NetworkClass.BLOCK, NetworkClass.RANDOM]
)
@pytest.mark.parametrize("theirs", [*NetworkClass])
async def test_every_strategy_with_every_network_keeps_to_the_bounds(world, ours, theirs):
    """Attempts of all kinds, one after the other and all at once, with messages that make sense and such that do not."""
    await world.is_in(typical(ours))
    peers = [Mallory(world, name=f"mallory {number}") for number in range(2)]
    readies = [
        Ready.at([Address(VICTIM.ip, port) for port in range(2000, 2032)], round=1, is_open=True).encode(),
        msgspec.msgpack.encode([1]),
        msgspec.msgpack.encode([[[VICTIM.ip.packed, 65000, 255, 255]] * 10]),
        msgspec.msgpack.encode([[[b"", 1, -255, 16]] * 10]),
        msgspec.msgpack.encode([[[bytes(7), 9]] * 32, 255, True]),
        b"\xff" * limits.READY_BYTES,
        b"",
    ]
    attempt = 0
    for peer in peers:
        peer.describes(away(typical(theirs), VICTIM), VICTIM)
    begun = world.clock.now
    for strategy in (*(each.code for each in STRATEGIES), 0, 255):
        for ready in readies:
            attempt += 1 + attempt * (attempt > 50)
            for version, peer in enumerate(peers):
                peer.says(min(attempt, 2**32 - 1), strategy, ready, version=version * 16, heard=32)
            world.clock.run(0.25)
    seconds = world.clock.now - begun
    most = limits.CROSSING_UNPROVEN_BURST + seconds * limits.CROSSING_UNPROVEN_PER_SECOND
    assert world.to_others().keys() <= {VICTIM.ip}
    assert len(world.to(VICTIM)) <= most
    assert world.extras.most <= tunnel_limits.EXTRA_SOCKETS
    world.clock.run(100)
    assert world.extras.open_now == {}


async def test_a_server_that_changes_its_mind_all_the_time_does_not_make_us_begin_all_the_time(world):
    """We dialled it: it refuses each attempt, and describes another network each time."""
    await world.is_in(SEQUENTIAL)
    peer = Mallory(world, is_client=False)
    for number in range(3000):
        label = number.to_bytes(limits.NETWORK_LABEL_BYTES)
        peer.describes(away(RESTRICTED, VICTIM, network=label), VICTIM)
        if peer.told:
            peer.says(peer.told[-1].attempt, peer.told[-1].strategy, flags=Flags.REFUSED)
        world.clock.run(0.02)
    begun = {cross.attempt for cross in peer.told}
    assert 0 < len(begun) <= limits.CROSS_ATTEMPTS + 60 / limits.CROSS_ATTEMPT_EVERY + 1
    assert len(world.to(VICTIM)) <= limits.CROSSING_UNPROVEN_BURST + 61 * limits.CROSSING_UNPROVEN_PER_SECOND


async def test_a_flood_of_messages_is_passed_over_and_beside_it_another_attempt_goes_on(world):
    await world.is_in(SEQUENTIAL)
    peer, honest = Mallory(world), Mallory(world, name="honest")
    for _ in range(10_000):
        peer.says(0, 10)
    for number in range(1, 500):
        peer.says(number, 10, attestation=os.urandom(72))
    assert len(peer.told) <= limits.CROSS_WORDS
    honest.describes(away(RESTRICTED, PEER), PEER)
    honest.says(1, 10)
    assert world.crossings.trying(honest.driver) == "port prediction"
    assert len(world.to(PEER)) == limits.PREDICT_SOCKETS


async def test_attestations_that_are_none_are_not_looked_at_without_end(world):
    await world.is_in(RESTRICTED)
    peer = Mallory(world)
    peer.describes(away(SEQUENTIAL, VICTIM), VICTIM)
    looked: list[bytes] = []
    course = world.crossings._connections[peer.driver].course
    course._peer_proof._proves = lambda attestation, _: bool(looked.append(attestation))
    for _ in range(1000):
        peer.says(0, 10, attestation=os.urandom(72))
        world.clock.run(0.01)
    assert 0 < len(set(looked)) <= limits.CROSS_PROOFS + 10 * limits.CROSS_PROOFS_PER_SECOND + 1


async def test_sockets_that_a_peer_keeps_busy_are_few(world):
    await world.is_in(SEQUENTIAL)
    peer = Mallory(world)
    peer.describes(away(RESTRICTED, PEER), PEER)
    for attempt in range(1, 6):
        peer.says(attempt, 10)
        for number in tuple(world.extras.open_now):
            ping = peer._sealer.seal(Offer(1, is_answer=False, candidates=()), b"alice...")
            peer.paths.check_received(ping, SocketAddress(number, PEER), world.clock.now)
        peer.says(attempt, 10, flags=Flags.OVER)
    world.clock.run(limits.CROSS_LINGER + 0.1)
    assert len(world.extras.open_now) == limits.CROSS_KEPT
    assert world.clock.pending <= 2, "no timer for each attempt there ever was"


async def test_the_history_of_others_is_not_driven_out_by_one_peer(world):
    await world.is_in(SEQUENTIAL)
    peer = Mallory(world, is_client=False)
    for number in range(60):
        peer.describes(away(RESTRICTED, VICTIM, network=number.to_bytes(8)), VICTIM)
        world.clock.run(10)
    assert 0 < len(world.history) <= limits.CROSS_NETWORKS


# --- servers that lie ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seen", [VICTIM, Address.parse("10.0.0.1:7"), Address.parse("127.64.0.1:53")])
async def test_where_a_server_says_that_we_are_nothing_is_sent(world, seen):
    await world.is_in(SEQUENTIAL)
    peer = Mallory(world)
    peer.describes(away(RESTRICTED, PEER), PEER)
    peer.says(1, 10)
    for number in range(200):
        for sent in [sent for sent in world.sent if sent.is_stun][-4:]:
            world.answer(sent, Address(seen.ip + number % 3, seen.port + number))
        world.clock.run(0.1)
    assert not world.to_others(PEER)


async def test_a_server_that_never_answers_is_asked_a_few_times(world):
    await world.is_in(SEQUENTIAL)
    peer = Mallory(world)
    peer.describes(away(RESTRICTED, PEER), PEER)
    peer.says(1, 10)
    world.clock.run(100)
    questions = [sent for sent in world.sent if sent.is_stun]
    assert len(questions) <= 2 * limits.SAMPLING_SENDS
    assert world.crossings.trying(peer.driver) == ""


async def test_answers_by_the_hundred_thousand_that_nobody_asked_for_change_nothing(world):
    await world.is_in(SEQUENTIAL)
    Mallory(world)
    for number in range(100_000):
        answer = (
            b"\x01\x01\x00\x00"
            + stun.encode(stun.Method.BINDING, stun.Class.RESPONSE, number.to_bytes(12), {})[4:]
            if number < 10
            else bytes(8) + number.to_bytes(12)
        )
        assert not world.crossings.stun_received(answer, SERVER, world.clock.now)
    assert world.sent == []
    assert len(world.crossings._questions) == 0


async def test_questions_to_a_server_count_as_what_an_attempt_sends(world):
    """So a beacon that names a victim as its server, and a peer, cannot have it asked without end."""
    await world.is_in(SEQUENTIAL)
    peer = Mallory(world)
    peer.describes(away(RESTRICTED, PEER), PEER)
    begun = world.clock.now
    for number in range(1, 2000):
        peer.says(number, 10)
        world.clock.run(0.05)
    attempts = limits.CROSS_ATTEMPTS + (world.clock.now - begun) / limits.CROSS_ATTEMPT_EVERY
    questions = [sent for sent in world.sent if sent.is_stun]
    assert 0 < len(questions) <= 2 * limits.SAMPLING_SENDS * (attempts + 1)


def test_what_a_description_says_that_is_no_behaviour_is_unknown():
    assert descriptions.decode(b"\xff") is None
    assert descriptions.decode(descriptions.encode(Description())).behavior == Behavior()
