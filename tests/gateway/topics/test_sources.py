"""Beacons, the local network and the DHT as topic sources; the fake is held to the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.topics.base import Candidate
from gateway.topics.sources import BeaconTopics, DhtTopics, LanTopics, topics_of
from resolver.errors import DiscoveryError
from resolver.signed_packets import SignedPacket
from resolver.topics import topic_id
from tests.lab.resolver_keys import key, record
from tests.lab.topic_sources import FakeTopics
from tunnels.addresses import Address, BeaconUrl, RelayAddress
from tunnels.errors import Unreachable
from tunnels.limits import RELAY_TOPICS
from tunnels.relay.frames import Welcome
from tunnels.relay.status import RelayState, RelayStatus

ME, BOB, CAROL = (key(number).endpoint_id for number in range(1, 4))
CHAT, GAME = topic_id("chat"), topic_id("game")
HOME = BeaconUrl.parse("https://home.example")
OTHER = BeaconUrl.parse("https://other.example")
OWN = BeaconUrl("https", "192.0.2.1", 7443, ME)


class Beacons:
    """Our connections to beacons."""

    def __init__(self) -> None:
        self.statuses = [self.status(HOME, is_home=True), self.status(OTHER), self.status(OWN)]
        self.joined: list = []
        self.members: dict = {}
        self.broken: set = set()

    def status(self, url: BeaconUrl, *, is_home: bool = False, topics: int = RELAY_TOPICS, up: bool = True):
        return RelayStatus(
            url,
            RelayState.CONNECTED if up else RelayState.CONNECTING,
            is_home=is_home,
            connected_seconds=1.0,
            welcome=Welcome(signature=bytes(64), observed="", topics=topics) if up else None,
            beacon_id=None,
            bytes_sent=0,
            bytes_received=0,
            error="",
        )

    def relays(self):
        return tuple(self.statuses)

    async def join_topics(self, topics, beacon):
        self._check(beacon)
        self.joined.append((beacon, tuple(topics)))
        return len(topics)

    async def who_is_in(self, topic, beacon):
        self._check(beacon)
        return self.members.get((beacon, topic), ())

    def _check(self, beacon):
        if beacon in self.broken:
            raise Unreachable(f"{beacon.authority} is away")


async def test_our_home_and_our_own_relay_are_told_and_no_other_beacon():
    beacons = Beacons()
    source = BeaconTopics(beacons, ME)
    await source.announce((CHAT,))
    assert beacons.joined == [(HOME, (CHAT,)), (OWN, (CHAT,))]


async def test_nothing_is_said_where_nothing_was_and_what_was_is_taken_back_once():
    beacons = Beacons()
    source = BeaconTopics(beacons, ME)
    await source.announce(())
    assert beacons.joined == []
    await source.announce((CHAT,))
    beacons.joined.clear()
    await source.announce(())
    await source.announce(())
    assert beacons.joined == [(HOME, ()), (OWN, ())]


async def test_beacons_tell_of_others_and_where_they_are():
    beacons = Beacons()
    beacons.members = {(HOME, CHAT): (BOB, ME), (OWN, CHAT): (CAROL, BOB)}
    found = await BeaconTopics(beacons, ME).find(CHAT)
    assert found == (
        Candidate(BOB, (RelayAddress(HOME, BOB), RelayAddress(OWN, BOB))),
        Candidate(CAROL, (RelayAddress(OWN, CAROL),)),
    )
    assert await BeaconTopics(beacons, ME).find(GAME) == ()


async def test_beacons_that_know_of_no_topics_or_are_not_there_hear_nothing():
    beacons = Beacons()
    beacons.statuses = [beacons.status(HOME, is_home=True, topics=0), beacons.status(OWN, up=False)]
    source = BeaconTopics(beacons, ME)
    await source.announce((CHAT,))
    assert await source.find(CHAT) == ()
    assert beacons.joined == []


async def test_one_beacon_that_fails_is_no_failure_and_all_are():
    beacons = Beacons()
    source = BeaconTopics(beacons, ME)
    beacons.broken = {HOME}
    beacons.members = {(OWN, CHAT): (BOB,)}
    await source.announce((CHAT,))
    assert [each.key for each in await source.find(CHAT)] == [BOB]
    beacons.broken = {HOME, OWN}
    with pytest.raises(DiscoveryError, match="is away"):
        await source.announce((CHAT,))
    with pytest.raises(DiscoveryError, match="is away"):
        await source.find(CHAT)


async def test_the_local_network_tells_of_those_whose_records_name_the_topic():
    packets = [
        replace(record(number=number), topics=topics).sign(key(number))
        for number, topics in ((1, (CHAT,)), (2, (CHAT, GAME)), (3, (GAME,)), (4, ()))
    ]
    broken = SignedPacket.sign(key(5), 5, b"no DNS packet at all")
    source = LanTopics(lambda: (*packets, broken), ME)
    await source.announce((CHAT,))
    assert await source.find(CHAT) == (Candidate(BOB, (), packets[1]),)
    assert [each.key for each in await source.find(GAME)] == [BOB, CAROL]
    assert topics_of(broken) == ()


class Dht:
    def __init__(self) -> None:
        self.announced: list = []
        self.peers: dict = {}
        self.searches = 0

    def announce(self, topic, port):
        self.announced.append((topic, port))

    async def find_peers(self, topic):
        self.searches += 1
        return self.peers.get(topic, ())


async def test_the_dht_is_told_our_port_where_we_are_reached_and_tells_addresses():
    dht = Dht()
    ports = {CHAT: 7777}
    source = DhtTopics(dht, ports.get, lambda: 0.0)
    await source.announce((CHAT, GAME))
    assert dht.announced == [(CHAT, 7777)]
    place = Address.parse("192.0.2.5:1234")
    dht.peers = {CHAT: (place, place)}
    assert await source.find(CHAT) == (Candidate(place, (place,)),)


async def test_the_dht_is_neither_told_nor_asked_in_every_round():
    dht, ports, now = Dht(), {CHAT: 7777}, [0.0]
    source = DhtTopics(dht, ports.get, lambda: now[0])
    place = Address.parse("192.0.2.5:1234")
    for now[0] in range(0, 1000, 15):
        await source.announce((CHAT,))
        if now[0] == 60:
            dht.peers = {CHAT: (place,)}
        found = await source.find(CHAT)
    assert found == (Candidate(place, (place,)),)
    assert len(dht.announced) == 6, "after 30, 60, 120, 240 and 480 seconds"
    assert 8 <= dht.searches <= 12
    ports[CHAT] = 8888
    await source.announce((CHAT,))
    assert dht.announced[-1] == (CHAT, 8888), "another port is told at once"
    await source.announce(())
    await source.announce((CHAT,))
    assert len(dht.announced) == 8, "what is joined again is told again"


async def test_the_fake_does_what_a_source_does():
    fake = FakeTopics()
    await fake.announce((CHAT,))
    fake.told = {CHAT: (Candidate(BOB),)}
    assert await fake.find(CHAT) == (Candidate(BOB),)
    assert (fake.announced, fake.asked) == ([(CHAT,)], [CHAT])
    fake.fails = True
    with pytest.raises(DiscoveryError):
        await fake.find(CHAT)
