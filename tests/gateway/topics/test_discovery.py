"""Rounds at sources that work, fail and lie, and handshakes with those they tell of."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.stream_header import Answer, RequestParser, Status
from gateway.topics import discovery as module
from gateway.topics.base import Candidate
from gateway.topics.discovery import TopicDiscovery
from gateway.topics.greeting import Greeter
from gateway.topics.limits import TOPIC_CHECKS_AT_ONCE, TOPIC_CHECKS_BURST, TOPIC_PLACES
from gateway.topics.manifest import Manifest
from resolver.errors import RecordExpired
from resolver.topics import LEND_TOPIC, topic_id, topic_key
from tests.lab.dialer import Tasks
from tests.lab.resolver_keys import key, record
from tests.lab.serving import until
from tests.lab.streams import start, tunnel_pair
from tests.lab.topic_sources import FakeTopics
from tunnels.addresses import Address, BeaconUrl, RelayAddress
from tunnels.errors import Unreachable
from tunnels.identity import EndpointId

ME, BOB, CAROL = (key(number).endpoint_id for number in range(1, 4))
CHAT, GAME, LEND = topic_id("chat"), topic_id("game"), topic_id(LEND_TOPIC)
PLACE = Address.parse("192.0.2.7:7777")
APP = Manifest(name="App")


class World:
    """Endpoints that are really asked, by streams between them."""

    def __init__(self) -> None:
        self.tasks = Tasks()
        self.others: dict[EndpointId, Greeter] = {}
        self.at: dict[Address, EndpointId] = {}
        self.dialled: list[EndpointId] = []
        self.learned: list = []
        self.streams: list = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.mine = TopicDiscovery(
            ME, identify=self._identify, open_stream=self._open, learn=self._learn, spawn=self.tasks.spawn
        )

    def add(self, endpoint_id: EndpointId, *topics: str, manifest: Manifest | None = None) -> None:
        greeter = Greeter(endpoint_id, self._open, lambda *_: None)
        greeter.keys = {topic_id(name): topic_key(name) for name in topics}
        if manifest is not None:
            greeter.manifests = dict.fromkeys(greeter.keys, manifest)
        self.others[endpoint_id] = greeter

    def run(self, *sources: FakeTopics) -> None:
        self.mine.set_sources(sources)
        self.tasks.spawn(self.mine.run(), "topics")

    def peers(self, name: str = "chat") -> set[EndpointId]:
        return {peer.endpoint_id for peer in self.mine.peers(name)}

    async def _identify(self, address):
        if address not in self.at:
            raise Unreachable("nobody there")
        return self.at[address]

    async def _open(self, endpoint_id, factory, *, is_stranger):
        assert is_stranger
        self.dialled.append(endpoint_id)
        await self.hold.wait()
        greeter = self.others.get(endpoint_id)
        if greeter is None:
            raise Unreachable("it is not there")
        near, far = await tunnel_pair(ME, endpoint_id)
        self.streams += [near, far]
        start(far, _Accepting(greeter))
        protocol = factory()
        start(near, protocol)
        return near, protocol

    def _learn(self, packet):
        self.learned.append(packet)
        if packet.endpoint_id == CAROL:
            raise RecordExpired("long ago")


class _Accepting(asyncio.Protocol):
    """Answers the header as an acceptor does, then hands over."""

    def __init__(self, greeter: Greeter) -> None:
        self._greeter = greeter

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        parser = RequestParser()
        assert parser.feed(data) is not None
        self._transport.write(Answer(Status.OK).encode())
        end = self._greeter.answer(ME, lambda: None)
        end.connection_made(self._transport)
        self._transport.set_protocol(end)
        end.data_received(parser.rest)


@pytest.fixture
async def world(monkeypatch):
    monkeypatch.setattr(module, "TOPIC_ROUND_GAP_SECONDS", 0.01)
    monkeypatch.setattr(module, "TOPIC_ROUND_ALONE_SECONDS", 0.05)
    monkeypatch.setattr(module, "TOPIC_ROUND_SECONDS", 0.05)
    made = World()
    yield made
    await made.tasks.close()
    for stream in made.streams:
        stream.abort()
    await asyncio.sleep(0.01)


async def test_who_is_told_of_and_proves_it_is_a_peer_with_its_manifest(world):
    fake = FakeTopics()
    fake.told = {CHAT: (Candidate(BOB), Candidate(CAROL))}
    world.add(BOB, "chat", manifest=APP)
    world.add(CAROL, "game")
    world.mine.set_topics({"chat": None})
    world.run(fake)
    await until(lambda: world.peers() == {BOB})
    assert world.mine.peers("chat")[0].manifest == APP
    await until(lambda: CAROL in world.dialled)
    await until(lambda: len(fake.asked) > 3)
    assert world.dialled.count(CAROL) == 1, "who is not in it is left alone"
    assert world.peers() == {BOB}
    assert fake.announced[0] == (CHAT,)


async def test_who_is_at_an_address_is_asked_first_who_it_is(world):
    fake = FakeTopics()
    nobody = Address.parse("192.0.2.8:1")
    fake.told = {CHAT: (Candidate(nobody, (nobody,)), Candidate(PLACE, (PLACE,)))}
    world.at[PLACE] = BOB
    world.add(BOB, "chat")
    world.mine.set_topics({"chat": None})
    world.run(fake)
    await until(lambda: world.peers() == {BOB})
    assert world.mine.places_of(BOB) == (PLACE,)
    assert world.mine.places_of(CAROL) == ()


async def test_a_source_that_fails_or_hangs_keeps_no_other_from_being_asked(world, monkeypatch):
    monkeypatch.setattr(module, "TOPIC_SOURCE_SECONDS", 0.05)
    works, fails, hangs = FakeTopics("works"), FakeTopics("fails"), FakeTopics("hangs")
    fails.fails, hangs.hangs = True, True
    works.told = {CHAT: (Candidate(BOB),)}
    world.add(BOB, "chat")
    world.mine.set_topics({"chat": None})
    world.run(fails, hangs, works)
    await until(lambda: world.peers() == {BOB})
    await until(lambda: set(world.mine.failures) == {"fails", "hangs"})
    assert world.mine.failures["fails"] == "fails is out of order"
    fails.fails = False
    await until(lambda: "fails" not in world.mine.failures)


async def test_without_topics_nobody_is_asked_and_what_was_said_is_taken_back(world):
    fake = FakeTopics()
    world.run(fake)
    await asyncio.sleep(0.1)
    assert (fake.announced, fake.asked) == ([], [])
    world.mine.set_topics({"chat": None})
    await until(lambda: (CHAT,) in fake.announced)
    world.mine.set_topics({})
    await until(lambda: fake.announced[-1] == ())


async def test_other_topics_are_announced_and_nobody_is_looked_for_in_them(world):
    fake = FakeTopics()
    world.mine.set_topics({"chat": None}, (LEND,))
    world.run(fake)
    await until(lambda: fake.asked)
    assert world.mine.announced == (LEND, CHAT)
    assert set(fake.asked) == {CHAT}


async def test_a_record_that_is_heard_makes_its_endpoint_a_candidate_at_once(world, monkeypatch):
    monkeypatch.setattr(module, "TOPIC_ROUND_ALONE_SECONDS", 1000.0)
    world.add(BOB, "chat")
    world.add(CAROL, "chat")
    world.mine.set_topics({"chat": None})
    for number in (2, 3):
        packet = replace(record(number=number), topics=(CHAT, GAME)).sign(key(number))
        world.mine.heard(packet)
    await until(lambda: world.peers() == {BOB, CAROL})
    assert {packet.endpoint_id for packet in world.learned} == {BOB, CAROL}, "one of the two had expired"


async def test_who_asks_us_is_a_peer(world):
    world.mine.set_topics({"chat": None})
    world.mine._met(BOB, {CHAT: APP})
    assert world.peers() == {BOB}


# --- attacks --------------------------------------------------------------------------------------------------


async def test_thousands_that_are_announced_and_are_not_there_cost_few_dials(world):
    fake = FakeTopics()
    made_up = [EndpointId(number.to_bytes(32)) for number in range(5000)]
    fake.told = {CHAT: tuple(map(Candidate, made_up))}
    honest = FakeTopics("another")
    honest.told = {CHAT: (Candidate(BOB),)}
    world.add(BOB, "chat")
    world.mine.set_topics({"chat": None})
    world.hold.clear()
    world.run(fake, honest)
    await until(lambda: len(world.dialled) >= TOPIC_CHECKS_AT_ONCE)
    await asyncio.sleep(0.2)
    assert len(world.dialled) == TOPIC_CHECKS_AT_ONCE
    world.hold.set()
    await until(lambda: world.peers() == {BOB})
    await asyncio.sleep(0.3)
    assert len(world.dialled) <= TOPIC_CHECKS_BURST + 1


async def test_what_is_remembered_of_places_is_bounded(world):
    beacon = BeaconUrl.parse("https://b.example")
    for number in range(TOPIC_PLACES + 50):
        endpoint_id = EndpointId(number.to_bytes(32))
        world.mine._remember(endpoint_id, Candidate(endpoint_id, (RelayAddress(beacon, endpoint_id),)))
    assert len(world.mine._places) == TOPIC_PLACES
    assert world.mine.places_of(EndpointId(bytes(32))) == ()


async def test_who_answers_with_garbage_is_no_peer(world):
    class Liar(Greeter):
        def answer(self, caller, on_end):
            end = super().answer(caller, on_end)
            end.data_received = lambda _: end.transport.write(b"\x00\x05hello")
            return end

    world.others[BOB] = Liar(BOB, world._open, lambda *_: None)
    fake = FakeTopics()
    fake.told = {CHAT: (Candidate(BOB),)}
    world.mine.set_topics({"chat": None})
    world.run(fake)
    await until(lambda: world.dialled and world.mine.swarm.statistics == (0, 0, 1))
    assert world.peers() == set()
