"""Facts about our own candidates: from where they come, who is told, and what follows from a change of the network."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest

from tests.lab.endpoints import key_of, until
from tests.lab.turn import MAPPED, PASSWORD, RELAYED, SERVER, USER, FakeTurn
from tunnels import gathering, limits
from tunnels.addresses import Address, BeaconUrl, RelayAddress, TurnAddress
from tunnels.gathering import Gatherer
from tunnels.nat import limits as nat_limits
from tunnels.nat import stun
from tunnels.nat.allocation import TurnPlace
from tunnels.nat.stun import Class, Method
from tunnels.paths.candidates import CandidateKind
from tunnels.relay.frames import TurnServer
from tunnels.transports.interfaces import InterfaceAddress

ME = key_of("me").endpoint_id
HOME, AWAY = Address.parse("192.168.1.5:41641"), Address.parse("10.0.0.7:41641")
FORWARDED = Address.parse("203.0.113.80:7777")
STUN = tuple(Address.parse(f"198.51.100.{number}:3478") for number in (7, 8))
PEER = Address.parse("192.0.2.1:7777")
EU, US = BeaconUrl.parse("https://eu.example"), BeaconUrl.parse("https://us.example")
CREDENTIALS = TurnServer(address=str(SERVER), username=USER, password=PASSWORD, seconds=600)
HOST, REFLEXIVE, TURN = CandidateKind.HOST, CandidateKind.SERVER_REFLEXIVE, CandidateKind.RELAYED


class World:
    """Servers that answer in the next turn of the event loop, and an interface whose address changes when told."""

    def __init__(self, *configured: Address, bound: str = "0.0.0.0:41641") -> None:
        self.loop = asyncio.get_running_loop()
        self.interface = HOME.ip
        self.seen = dict.fromkeys(STUN, MAPPED)
        self.turn = FakeTurn()
        self.sent: list[tuple[bytes, Address]] = []
        self.answers = 0
        """On their way."""
        self.told: list[dict] = []
        self.fits = True
        self.gatherer = Gatherer(
            ME,
            configured,
            bound=lambda: (Address.parse(bound),),
            send=self.send,
            on_change=lambda: self.told.append(self.candidates()),
        )

    def candidates(self) -> dict:
        found: dict[CandidateKind, list] = {}
        for candidate in self.gatherer.candidates:
            found.setdefault(candidate.kind, []).append(candidate.address)
        return found

    def send(self, datagrams: list[bytes], address: Address) -> bool:
        for datagram in datagrams:
            self.sent.append((datagram, address))
            if address == SERVER:
                answer = self.turn.receive(datagram)
            elif self.seen.get(address) is not None:
                request = stun.decode(datagram)
                said = {"XOR-MAPPED-ADDRESS": self.seen[address]}
                answer = stun.encode(Method.BINDING, Class.RESPONSE, request.transaction_id, said)
            else:
                answer = None
            if answer is not None:
                self.answers += 1
                self.loop.call_soon(self.answered, answer, address)
        return self.fits

    def answered(self, answer: bytes, address: Address) -> None:
        self.answers -= 1
        self.receive(answer, address)

    def receive(self, datagram: bytes, source: Address) -> object:
        """As the endpoint hands datagrams on."""
        if datagram and self.gatherer.is_turn(source, datagram):
            return self.gatherer.turn_received(datagram, source, self.loop.time())
        return self.gatherer.stun_received(datagram, source, self.loop.time())

    async def wait_for(self, kind: CandidateKind, *addresses: Address) -> None:
        await until(lambda: self.candidates().get(kind, []) == list(addresses))

    def asked(self, server: Address = STUN[0]) -> int:
        return sum(address == server for _, address in self.sent)


@pytest.fixture
async def world(monkeypatch):
    world = World()
    interfaces(world, monkeypatch)
    world.gatherer.start()
    yield world
    world.gatherer.close()


def interfaces(world: World, monkeypatch) -> None:
    monkeypatch.setattr(
        gathering,
        "interface_addresses",
        lambda: ([InterfaceAddress("eth0", world.interface)], frozenset({"eth0"})),
    )


async def with_turn(world: World) -> None:
    world.gatherer.set_servers((), CREDENTIALS)
    world.gatherer.want_turn([PEER.ip])
    await world.wait_for(TURN, RELAYED)


async def test_at_first_there_are_the_interfaces_and_what_was_configured(monkeypatch):
    world = World(FORWARDED)
    interfaces(world, monkeypatch)
    assert world.gatherer.candidates == ()
    world.gatherer.start()
    expected = {CandidateKind.CONFIGURED: [FORWARDED], HOST: [HOME]}
    assert world.told == [expected]
    assert world.gatherer.candidates[0].address == FORWARDED
    assert repr(world.gatherer).startswith("<Gatherer of 203.0.113.80:7777 (configured), 192.168.1.5:41641")
    world.gatherer.close()


async def test_a_socket_of_one_address_is_only_there(monkeypatch):
    world = World(bound="127.0.0.1:5")
    interfaces(world, monkeypatch)
    world.gatherer.start()
    assert world.candidates() == {HOST: [Address.parse("127.0.0.1:5")]}


async def test_the_relays_are_told_home_first_and_each_change_once(world):
    world.told.clear()
    for relays in ((EU, US), (EU, US), (US, EU)):
        world.gatherer.set_relays(relays)
    first, second = (told[CandidateKind.RELAY] for told in world.told)
    assert first == [RelayAddress(EU, ME), RelayAddress(US, ME)]
    assert second == first[::-1]


async def test_where_stun_servers_see_us_is_told_once_although_two_say_it(world):
    world.told.clear()
    world.gatherer.set_servers(map(str, STUN), None)
    await world.wait_for(REFLEXIVE, MAPPED)
    assert len(world.told) == 1
    world.gatherer.set_servers(map(str, STUN), None)
    assert len(world.told) == 1


async def test_servers_that_are_no_addresses_are_passed_over(world):
    world.gatherer.set_servers(["stun.example:3478", "", "1.2.3.4", str(STUN[0])], None)
    await world.wait_for(REFLEXIVE, MAPPED)
    assert {address for _, address in world.sent} == {STUN[0]}


@pytest.mark.parametrize("text", ["127.0.0.1:3478", "203.0.113.9:53", "224.0.0.1:3478"])
async def test_nobody_makes_us_ask_this_machine_or_other_services(world, text):
    offer = TurnServer(address=text, username=USER, password=PASSWORD, seconds=600)
    world.gatherer.set_servers([text], offer)
    world.gatherer.want_turn([PEER.ip])
    await asyncio.sleep(0.02)
    assert world.sent == []
    assert not world.gatherer.asks_turn(Address.parse(text))
    if text.startswith("127."):
        world.gatherer.set_servers([text], offer, with_loopback=True)
        assert {str(address) for _, address in world.sent} == {text}


async def test_a_peer_whose_address_is_called_a_turn_server_is_heard_all_the_same(world):
    world.turn.silent = True
    world.gatherer.set_servers((), CREDENTIALS)
    world.gatherer.want_turn([PEER.ip])
    assert world.gatherer.asks_turn(SERVER)
    assert not world.gatherer.is_turn(SERVER, b"\x41 a packet of QUIC")
    assert world.gatherer.is_turn(SERVER, b"\x01 STUN")


async def test_an_answer_of_somebody_else_is_none(world):
    world.seen.clear()
    world.gatherer.set_servers([str(STUN[0])], None)
    [(request, _)] = world.sent
    said = {"XOR-MAPPED-ADDRESS": MAPPED}
    answer = stun.encode(Method.BINDING, Class.RESPONSE, stun.decode(request).transaction_id, said)
    assert not world.receive(answer, STUN[1])
    assert not world.receive(b"\x01junk", STUN[0])
    assert world.receive(answer, STUN[0])
    assert world.candidates()[REFLEXIVE] == [MAPPED]


async def test_a_silent_server_is_asked_again_by_the_clock(world):
    world.seen.clear()
    world.gatherer.set_servers([str(STUN[0])], None)
    await until(lambda: world.asked() == nat_limits.STUN_SENDS)


async def test_addresses_are_kept_fresh_only_while_some_connection_needs_them(world, monkeypatch):
    monkeypatch.setattr(nat_limits, "STUN_EVERY", 0.02)
    monkeypatch.setattr(nat_limits, "STUN_JITTER", 0.0)
    world.gatherer.set_servers([str(STUN[0])], None)
    await world.wait_for(REFLEXIVE, MAPPED)
    assert world.gatherer._timer is None
    world.gatherer.set_active(True)
    await until(lambda: world.asked() > 3)
    world.gatherer.set_active(False)
    await until(lambda: world.gatherer._timer is None)


async def test_another_network_makes_everything_new(world):
    await with_turn(world)
    world.gatherer.set_servers(map(str, STUN), CREDENTIALS)
    await world.wait_for(REFLEXIVE, MAPPED)
    world.interface = AWAY.ip
    moved = Address.parse("203.0.113.200:9")
    world.seen = dict.fromkeys(STUN, moved)
    world.turn.relayed = elsewhere = Address.parse("198.51.100.1:50002")
    world.told.clear()
    world.gatherer.network_changed()
    assert world.told == [{HOST: [AWAY]}], "what was known is of another network"
    await world.wait_for(TURN, elsewhere)
    await world.wait_for(REFLEXIVE, moved)
    told = len(world.told)
    assert told <= 4
    world.gatherer.set_relays(())
    assert len(world.told) == told


async def test_a_broken_path_has_the_servers_asked_at_most_every_so_often(world, monkeypatch):
    # Nothing is lost here, and this is over before that.
    monkeypatch.setattr(nat_limits, "STUN_RESEND", 600.0)
    monkeypatch.setattr(nat_limits, "TURN_RESEND", 600.0)
    monkeypatch.setattr(limits, "REFRESH_EVERY", 600.0)
    await with_turn(world)
    world.gatherer.set_servers([str(STUN[0])], CREDENTIALS)
    await world.wait_for(REFLEXIVE, MAPPED)
    # The server is asked because of the new address, and would not be asked twice at once.
    await until(lambda: world.turn.count(Method.REFRESH) == 1 and not world.answers)
    asked = world.asked()
    for _ in range(100):
        world.gatherer.refresh()
        await asyncio.sleep(0)
    assert world.turn.count(Method.REFRESH) == 2
    assert world.asked() == asked + 1
    monkeypatch.setattr(limits, "REFRESH_EVERY", 0.0)
    world.gatherer.refresh()
    assert world.turn.count(Method.REFRESH) == 3
    assert world.asked() == asked + 2


async def test_seen_at_another_address_the_allocation_is_looked_after_as_well(world, monkeypatch):
    monkeypatch.setattr(nat_limits, "TURN_RETRY", 0.01)
    await with_turn(world)
    world.turn.forget()
    world.turn.relayed = again = Address.parse("198.51.100.1:50002")
    world.gatherer.set_servers([str(STUN[0])], CREDENTIALS)
    await world.wait_for(REFLEXIVE, MAPPED)
    await world.wait_for(TURN, again)


# --- TURN -------------------------------------------------------------------------------------------------------


async def test_an_allocation_is_there_only_when_wanted(world):
    world.gatherer.set_servers((), CREDENTIALS)
    await asyncio.sleep(0.02)
    assert world.sent == []
    assert world.gatherer.turn is None
    world.told.clear()
    world.gatherer.want_turn([PEER.ip])
    await world.wait_for(TURN, RELAYED)
    assert world.gatherer.turn == TurnPlace(SERVER, RELAYED)
    assert len(world.told) == 1
    await until(lambda: world.turn.count(Method.CREATE_PERMISSION) == 1)
    world.gatherer.want_turn([PEER.ip, ip_address("192.0.2.2")])
    await until(lambda: world.turn.count(Method.CREATE_PERMISSION) == 2)


async def test_released_it_is_given_back_after_a_while(world, monkeypatch):
    monkeypatch.setattr(nat_limits, "TURN_LINGER", 0.05)
    await with_turn(world)
    world.gatherer.release_turn()
    assert world.turn.allocated
    await until(lambda: not world.turn.allocated)
    assert TURN not in world.candidates()
    assert world.gatherer.turn is None


async def test_a_server_that_refuses_is_asked_again_by_the_clock(world, monkeypatch):
    monkeypatch.setattr(nat_limits, "TURN_RETRY", 0.02)
    world.turn.errors[Method.ALLOCATE] = 486
    world.gatherer.set_servers((), CREDENTIALS)
    world.gatherer.want_turn([PEER.ip])
    await until(lambda: world.turn.count(Method.ALLOCATE) > 2)
    del world.turn.errors[Method.ALLOCATE]
    await world.wait_for(TURN, RELAYED)


async def test_datagrams_go_out_and_in_by_it(world):
    await with_turn(world)
    to = TurnAddress(SERVER, PEER)
    assert world.gatherer.turn_send([b"one", b"two"], to)
    await until(lambda: world.turn.arrived)
    assert world.turn.arrived == [(PEER, b"one"), (PEER, b"two")]
    world.fits = False
    assert not world.gatherer.turn_send([b"too large"], to), "as the socket says"
    world.fits = True
    said = {"XOR-PEER-ADDRESS": PEER, "DATA": b"answer"}
    indication = stun.encode(Method.DATA, Class.INDICATION, bytes(12), said)
    assert world.receive(indication, SERVER) == (b"answer", to)
    assert world.receive(b"\x40\x00\x00\x06answer", SERVER) == (b"answer", to)
    assert world.receive(b"\x40\x00\x00\x07answer", SERVER) is None


async def test_without_it_datagrams_are_lost_and_nothing_is_said_of_their_size(world):
    assert world.gatherer.turn_send([b"hello"], TurnAddress(SERVER, PEER))
    assert world.sent == []
    await with_turn(world)
    sent = len(world.sent)
    assert world.gatherer.turn_send([b"hello"], TurnAddress(STUN[0], PEER))
    assert len(world.sent) == sent


async def test_a_turn_server_may_be_a_stun_server_too(world):
    await with_turn(world)
    world.gatherer.set_servers([str(SERVER)], CREDENTIALS)
    request = next(datagram for datagram, _ in world.sent[::-1] if datagram[:2] == b"\x00\x01")
    said = {"XOR-MAPPED-ADDRESS": MAPPED}
    answer = stun.encode(Method.BINDING, Class.RESPONSE, stun.decode(request).transaction_id, said)
    assert world.receive(answer, SERVER) is None
    assert world.candidates()[REFLEXIVE] == [MAPPED]
    assert world.gatherer.turn == TurnPlace(SERVER, RELAYED)


async def test_closing_gives_the_allocation_back_and_then_nothing_is_said_or_sent(world):
    await with_turn(world)
    world.told.clear()
    world.gatherer.close()
    assert not world.turn.allocated
    assert world.gatherer._timer is None
    sent = len(world.sent)
    world.gatherer.set_servers(map(str, STUN), CREDENTIALS)
    world.gatherer.set_relays((EU,))
    world.gatherer.network_changed()
    world.gatherer.want_turn([PEER.ip])
    world.gatherer.refresh()
    await asyncio.sleep(0.02)
    assert len(world.sent) == sent
    assert world.told == []


async def test_many_interfaces_leave_room_for_what_is_reached_from_elsewhere(world, monkeypatch):
    found = [
        InterfaceAddress(name, ip_address(f"{net}{number}"))
        for name, start in (("eth0", 1), ("eth1", 20), ("tun0", 40), ("docker0", 60))
        for net in ("192.168.1.", "fd00::")
        for number in range(start, start + 10)
    ]
    monkeypatch.setattr(gathering, "interface_addresses", lambda: (found, frozenset({"eth0"})))
    monkeypatch.setattr(
        world.gatherer, "_bound", lambda: (Address.parse("0.0.0.0:7"), Address.parse("[::]:7"))
    )
    await with_turn(world)
    world.gatherer.set_relays((EU,))
    world.gatherer.set_servers(map(str, STUN), CREDENTIALS)
    world.gatherer.network_changed()
    await world.wait_for(REFLEXIVE, MAPPED)
    await world.wait_for(TURN, RELAYED)
    assert len(world.gatherer.candidates) == limits.MAX_CANDIDATES
    kinds = [candidate.kind for candidate in world.gatherer.candidates]
    assert kinds == [HOST] * (limits.MAX_CANDIDATES - 3) + [REFLEXIVE, TURN, CandidateKind.RELAY]


async def test_candidates_are_bounded_and_the_relays_among_them(world):
    world.seen = {
        Address.parse(f"198.51.100.{n}:3478"): Address.parse(f"203.0.113.{n}:1") for n in range(1, 50)
    }
    world.gatherer.set_relays(tuple(BeaconUrl.parse(f"https://b{number}.example") for number in range(100)))
    world.gatherer.set_servers(map(str, world.seen), None)
    await until(lambda: REFLEXIVE in world.candidates())
    assert len(world.gatherer.candidates) <= limits.MAX_CANDIDATES
    assert len(world.candidates()[CandidateKind.RELAY]) <= limits.MAX_CANDIDATES_PER_SCOPE


async def test_it_tells_which_servers_see_us_where_and_what_addresses_we_have(world):
    world.gatherer.set_servers([*map(str, STUN), "127.0.0.1:3478"], None)
    await until(lambda: len(world.gatherer.sightings()) == 2)
    assert world.gatherer.servers == STUN
    assert world.gatherer.sightings() == dict.fromkeys(STUN, MAPPED)
    assert world.gatherer.local_ips == {HOME.ip}
    assert world.gatherer.has_address(4)
    assert not world.gatherer.has_address(6)


# --- a port at our router ---------------------------------------------------------------------------------------

AT_ROUTER = Address.parse("203.0.113.99:41641")


async def test_a_verified_mapping_is_told_before_all_but_what_a_person_configured():
    world = World(FORWARDED)
    world.gatherer.start()
    world.gatherer.set_mapped(AT_ROUTER, is_verified=True)
    kinds = [candidate.kind for candidate in world.gatherer.candidates]
    assert kinds[:2] == [CandidateKind.CONFIGURED, CandidateKind.MAPPED]
    world.gatherer.set_mapped(None, is_verified=False)
    assert CandidateKind.MAPPED not in world.candidates()
    world.gatherer.close()


async def test_a_mapping_that_nobody_verified_is_told_last_of_our_own_addresses():
    world = World()
    world.gatherer.start()
    world.gatherer.set_mapped(AT_ROUTER, is_verified=False)
    kinds = [candidate.kind for candidate in world.gatherer.candidates]
    assert kinds.index(CandidateKind.MAPPED) > kinds.index(CandidateKind.HOST)
    world.gatherer.close()


async def test_a_mapping_at_another_ip_than_stun_sees_is_told_only_if_it_was_verified():
    world = World()
    world.gatherer.start()
    world.gatherer.set_mapped(AT_ROUTER, is_verified=False)
    world.gatherer.set_servers(map(str, STUN), None)
    await world.wait_for(REFLEXIVE, MAPPED)
    assert CandidateKind.MAPPED not in world.candidates(), "another NAT stands before the router"
    world.gatherer.set_mapped(AT_ROUTER, is_verified=True)
    assert world.candidates()[CandidateKind.MAPPED] == [AT_ROUTER]
    world.gatherer.close()


async def test_a_pinhole_is_told_as_such_once_it_was_verified_and_as_our_own_address_until_then():
    world = World()
    world.gatherer.start()
    (host, *_) = world.candidates()[CandidateKind.HOST]
    world.gatherer.set_mapped(AT_ROUTER, is_verified=True)
    world.gatherer.set_mapped(host, is_verified=False, version=6)
    assert host in world.candidates()[CandidateKind.HOST]
    world.gatherer.set_mapped(host, is_verified=True, version=6)
    assert set(world.candidates()[CandidateKind.MAPPED]) == {host, AT_ROUTER}
    world.gatherer.set_mapped(None, is_verified=False, version=6)
    assert host in world.candidates()[CandidateKind.HOST]
    assert world.candidates()[CandidateKind.MAPPED] == [AT_ROUTER]
    world.gatherer.close()
