"""Facts about everything that carries datagrams, as one: real sockets, a small beacon, and a TURN server on loopback."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from tests.lab.beacons import LabBeacon
from tests.lab.dialer import Tasks
from tests.lab.endpoints import key_of, until
from tests.lab.turn import PASSWORD, RELAYED, USER, FakeTurn
from tunnels import joined_transport
from tunnels.addresses import Address, BeaconUrl, RelayAddress, TurnAddress
from tunnels.joined_transport import JoinedTransport, TransportOwner
from tunnels.nat import limits, stun
from tunnels.nat.allocation import TurnPlace
from tunnels.nat.stun import Class, Method
from tunnels.paths.candidates import CandidateKind
from tunnels.relay.frames import TurnServer

PEER = Address.parse("192.0.2.1:7777")


class TurnSocket(asyncio.DatagramProtocol):
    """`FakeTurn` on a real socket."""

    def __init__(self) -> None:
        self.turn = FakeTurn()
        self.client: tuple[str, int] | None = None

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.address = Address.of(*transport.get_extra_info("sockname"))

    def datagram_received(self, data, addr) -> None:
        self.client = addr
        answer = self.turn.receive(data)
        if answer is not None:
            self.transport.sendto(answer, addr)

    def say(self, peer: Address, datagram: bytes) -> None:
        """As the server does when a peer sends to our allocation."""
        said = {"XOR-PEER-ADDRESS": peer, "DATA": datagram}
        self.transport.sendto(stun.encode(Method.DATA, Class.INDICATION, bytes(12), said), self.client)

    @property
    def offer(self) -> TurnServer:
        return TurnServer(address=str(self.address), username=USER, password=PASSWORD, seconds=600)


class Owner(TransportOwner):
    """Keeps what it is told."""

    def __init__(self, name: str) -> None:
        self.key = key_of(name)
        self.id = self.key.endpoint_id
        self.tasks = Tasks()
        self.datagrams: list[tuple[bytes, object]] = []
        self.messages: list[tuple] = []
        self.absent: list[RelayAddress] = []
        self.beacons: list[tuple[BeaconUrl, bool]] = []
        self.candidates = 0
        self.networks: list[str] = []

    def burst_received(self, burst, segment, address, now) -> None:
        assert abs(now - asyncio.get_running_loop().time()) < 10
        for start in range(0, len(burst), segment):
            self.datagrams.append((bytes(burst[start : start + segment]), address))

    def message_received(self, sender, body, beacon) -> None:
        self.messages.append((sender, body, beacon))

    def peer_absent(self, address) -> None:
        self.absent.append(address)

    def beacon_changed(self, beacon, *, is_up) -> None:
        self.beacons.append((beacon, is_up))

    def candidates_changed(self) -> None:
        self.candidates += 1

    def network_changed(self, why) -> None:
        self.networks.append(why)


@asynccontextmanager
async def owner(name: str, *beacons: LabBeacon, configured: tuple[Address, ...] = ()):
    """Somebody with sockets on loopback who is at home at the first of these beacons."""
    here = Owner(name)
    here.transport = JoinedTransport(
        here, here.key, configured=configured, proxy=None, version="1", spawn=here.tasks.spawn
    )
    here.transport.start(("127.0.0.1",), 0)
    here.transport.set_beacons(tuple(beacon.url for beacon in beacons))
    try:
        if beacons:
            await until(lambda: here.transport.relays.home == beacons[0].url)
        yield here
    finally:
        await here.transport.close()
        await here.tasks.close()


@asynccontextmanager
async def turn_server():
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        TurnSocket, local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()


@pytest.fixture(autouse=True)
def plausible_here(monkeypatch):
    """The server is on this machine, and what it gives is not."""
    monkeypatch.setattr(stun, "is_plausible", lambda *_: True)


async def test_the_home_beacon_is_known_by_the_id_that_it_proved():
    async with owner("nobody") as nobody:
        assert nobody.transport.home_id is None
    async with LabBeacon() as beacon, owner("alice", beacon) as alice:
        assert beacon.url.beacon_id is None, "its URL does not tell"
        assert alice.transport.home_id == beacon.key.endpoint_id
        assert alice.transport.outside_home == beacon.url


async def test_our_own_relay_is_no_home_that_sees_us_from_outside():
    async with LabBeacon() as beacon, owner("alice") as alice:
        assert alice.transport.outside_home is None
        alice.transport.set_own_relay(beacon.url, beacon.url.origin)
        await until(lambda: alice.transport.relays.home == beacon.url)
        assert alice.transport.outside_home is None


async def test_datagrams_go_by_udp(monkeypatch):
    async with owner("alice") as alice, owner("bob") as bob:
        [there], [here] = bob.transport.addresses, alice.transport.addresses
        flight = [bytes([number]) * 1200 for number in range(10)] + [b"short"]
        assert alice.transport.send(flight, there)
        await until(lambda: len(bob.datagrams) == len(flight))
        assert bob.datagrams == [(datagram, here) for datagram in flight]
        assert not alice.transport.send([bytes(65_508)], there), "larger than any interface carries"
        assert min(alice.transport.buffer_bytes) > 0


async def test_datagrams_and_messages_go_by_a_relay_and_who_is_absent_is_told():
    async with LabBeacon() as beacon, owner("alice", beacon) as alice, owner("bob", beacon) as bob:
        to_bob = RelayAddress(beacon.url, bob.id)
        assert alice.transport.send([b"one", b"two"], to_bob)
        assert alice.transport.send([b"path"], to_bob, urgent=True)
        await until(lambda: len(bob.datagrams) == 3)
        assert sorted(bob.datagrams) == [
            (datagram, RelayAddress(beacon.url, alice.id)) for datagram in (b"one", b"path", b"two")
        ]
        assert alice.transport.relays.send_message(bob.id, b"sealed", beacon.url)
        await until(lambda: bob.messages)
        assert bob.messages == [(alice.id, b"sealed", beacon.url)]
        nobody = RelayAddress(beacon.url, key_of("nobody").endpoint_id)
        alice.transport.send([b"hello"], nobody)
        await until(lambda: alice.absent)
        assert alice.absent == [nobody]


async def test_a_beacon_that_is_not_connected_is_only_gone_to_if_that_is_allowed():
    async with LabBeacon(6) as own, LabBeacon(7) as theirs, owner("alice", own) as alice:
        to_bob = RelayAddress(theirs.url, key_of("bob").endpoint_id)
        assert not alice.transport.send([b"hello"], to_bob, may_connect=False)
        assert alice.transport.send([b"hello"], to_bob)
        await until(lambda: theirs.logins == [alice.id])


async def test_a_beacon_that_comes_and_goes_is_told_and_where_we_are_found_with_it():
    async with LabBeacon(1) as first, LabBeacon(2) as second, owner("alice", first, second) as alice:
        assert alice.transport.own_relays() == (first.url, second.url)
        assert [status.url for status in alice.transport.status()] == [first.url, second.url]
        assert (first.url, True) in alice.beacons
        relays = [one.address for one in alice.transport.candidates if one.kind is CandidateKind.RELAY]
        assert relays == [RelayAddress(url, alice.id) for url in (first.url, second.url)]
        told = alice.candidates
        await first.stop()
        await until(lambda: alice.transport.relays.home == second.url)
        assert (first.url, False) in alice.beacons
        assert alice.transport.own_relays() == (second.url, first.url)
        assert alice.candidates > told
        relays = [one.address for one in alice.transport.candidates if one.kind is CandidateKind.RELAY]
        assert relays == [RelayAddress(url, alice.id) for url in (second.url, first.url)]


async def test_datagrams_go_by_the_turn_server_that_the_home_beacon_names():
    async with (
        turn_server() as server,
        LabBeacon(turn=server.offer) as beacon,
        owner("alice", beacon) as alice,
    ):
        [here] = alice.transport.addresses
        alice.transport.gatherer.want_turn([PEER.ip])
        await until(lambda: alice.transport.gatherer.turn)
        assert alice.transport.gatherer.turn == TurnPlace(server.address, RELAYED)
        assert Address.of(*server.client) == here, "from the socket of all paths"
        by_turn = TurnAddress(server.address, PEER)
        assert alice.transport.send([b"one", b"two"], by_turn)
        await until(lambda: len(server.turn.arrived) == 2)
        assert server.turn.arrived == [(PEER, b"one"), (PEER, b"two")]
        assert alice.transport.send([bytes(1200)] * 5, by_turn)
        await until(lambda: len(server.turn.arrived) == 7)
        assert not alice.transport.send([bytes(65_505)], by_turn), "too large with the head of a channel"
        server.say(PEER, b"answer")
        await until(lambda: alice.datagrams)
        for size in (3, 1400):
            server.transport.sendto(b"\x40\x00" + size.to_bytes(2) + bytes(size), server.client)
        await until(lambda: len(alice.datagrams) == 3)
        assert alice.datagrams == [(datagram, by_turn) for datagram in (b"answer", bytes(3), bytes(1400))]
        server.transport.sendto(b"\x4f\xff\x00\x01x", server.client)
        server.transport.sendto(b"junk", server.client)
        server.say(Address.parse("203.0.113.66:1"), b"of a stranger")
        server.say(PEER, b"last")
        await until(lambda: len(alice.datagrams) == 4)
        assert alice.datagrams[-1] == (b"last", by_turn)


async def test_many_datagrams_in_one_read_by_turn_are_told_apart():
    async with (
        turn_server() as server,
        LabBeacon(turn=server.offer) as beacon,
        owner("alice", beacon) as alice,
    ):
        alice.transport.gatherer.want_turn([PEER.ip])
        await until(lambda: alice.transport.gatherer.turn)
        alice.transport.send([b"hello"], TurnAddress(server.address, PEER))
        await until(lambda: server.turn.arrived)
        await asyncio.sleep(0.05)  # the answer to the request for a channel is read
        heads = [b"\x40\x00\x00\x04" + f"{number:04}".encode() for number in range(50)]
        alice.transport._udp_burst(b"".join(heads), 8, server.address.sockaddr)
        assert [datagram for datagram, _ in alice.datagrams] == [
            f"{number:04}".encode() for number in range(50)
        ]


async def test_without_an_allocation_datagrams_by_turn_are_lost():
    async with owner("alice") as alice:
        assert alice.transport.send([b"hello"], TurnAddress(Address.parse("127.0.0.1:9"), PEER))


async def test_configured_addresses_are_candidates():
    async with owner("alice", configured=(PEER,)) as alice:
        assert [one.address for one in alice.transport.candidates] == [PEER, *alice.transport.addresses]


async def test_a_change_of_the_network_is_told_and_everybody_hears_of_it(monkeypatch):
    watches = []

    class Watch:
        def __init__(self, on_change) -> None:
            self.on_change = on_change
            self.closed = False
            watches.append(self)

        def close(self) -> None:
            self.closed = True

    monkeypatch.setattr(joined_transport, "NetworkWatch", Watch)
    monkeypatch.setattr(limits, "TURN_RETRY", 0.01)
    async with (
        turn_server() as server,
        LabBeacon(turn=server.offer) as beacon,
        owner("alice", beacon) as alice,
    ):
        alice.transport.gatherer.want_turn([PEER.ip])
        await until(lambda: alice.transport.gatherer.turn)
        watches[0].on_change("+10.0.0.7 (wlan0)")
        assert alice.networks == ["+10.0.0.7 (wlan0)"]
        assert alice.transport.gatherer.turn is None
        await until(lambda: alice.transport.gatherer.turn)
        assert server.turn.count(Method.ALLOCATE) == 2
    assert watches[0].closed


async def test_closed_it_tells_nothing_and_the_allocation_is_given_back():
    async with turn_server() as server, LabBeacon(turn=server.offer) as beacon:
        async with owner("alice", beacon) as alice:
            alice.transport.gatherer.want_turn([PEER.ip])
            await until(lambda: alice.transport.gatherer.turn)
            told = (alice.candidates, len(alice.beacons))
        await until(lambda: not server.turn.allocated)
        assert (alice.candidates, len(alice.beacons)) == told
