"""Relays that strangers lend: looked for while none else is there, a few of them, and none that is of no use."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.topics import relays as module
from gateway.topics.base import Candidate
from gateway.topics.limits import FOUND_RELAYS, FOUND_RELAYS_ASKED, FOUND_RELAYS_FAILED
from gateway.topics.relays import LEND, FoundRelays
from resolver.signed_packets import SignedPacket
from tests.lab.dialer import Tasks
from tests.lab.resolver_keys import key, record
from tests.lab.serving import until
from tests.lab.topic_sources import FakeTopics
from tunnels.addresses import Address, BeaconUrl
from tunnels.errors import Unreachable

if TYPE_CHECKING:
    from tunnels.identity import EndpointId

ME = key(1).endpoint_id
IDS = [key(number).endpoint_id for number in range(2, 60)]
URLS = {each: BeaconUrl("https", f"192.0.2.{number}", 7443, each) for number, each in enumerate(IDS)}


class World:
    def __init__(self) -> None:
        self.tasks = Tasks()
        self.wanted = True
        self.home: BeaconUrl | None = None
        self.failed: set[BeaconUrl] = set()
        self.changes: list = []
        self.asked: list = []
        self.at: dict[Address, EndpointId] = {}
        self.source = FakeTopics()
        self.relays = FoundRelays(
            ME,
            is_wanted=lambda: self.wanted,
            lent_by=self._lent_by,
            identify=self._identify,
            home=lambda: self.home,
            has_failed=lambda relay: relay in self.failed,
            on_change=self.changes.append,
        )
        self.relays.set_sources((self.source,))

    async def _lent_by(self, endpoint_id):
        self.asked.append(endpoint_id)
        return URLS.get(endpoint_id)

    async def _identify(self, address):
        self.asked.append(address)
        if address not in self.at:
            raise Unreachable("no relay answers")
        return self.at[address]

    def start(self) -> None:
        self.tasks.spawn(self.relays.run(), "relays")


@pytest.fixture
async def world(monkeypatch):
    for name in ("TOPIC_ROUND_GAP_SECONDS", "TOPIC_ROUND_ALONE_SECONDS", "FOUND_RELAYS_ROUND_SECONDS"):
        monkeypatch.setattr(module, name, 0.02)
    made = World()
    yield made
    await made.tasks.close()


def lending(number: int, lends: BeaconUrl | None) -> Candidate:
    packet = replace(record(number=number), lends=lends, topics=(LEND,)).sign(key(number))
    return Candidate(key(number).endpoint_id, (), packet)


async def test_what_a_record_an_id_or_an_address_leads_to_is_a_relay_with_its_id(world):
    url = BeaconUrl("https", "10.0.0.3", 7443, key(3).endpoint_id)
    place = Address.parse("[2001:db8::5]:7443")
    world.at[place] = IDS[5]
    world.source.told = {
        LEND: (
            lending(3, url),
            lending(4, None),
            Candidate(IDS[7]),
            Candidate(place, (place,)),
            Candidate(ME),
        )
    }
    world.start()
    await until(lambda: len(world.relays.relays) == 3)
    assert set(world.relays.relays) == {
        url,
        URLS[IDS[7]],
        BeaconUrl("https", "[2001:db8::5]", 7443, IDS[5]),
    }
    assert ME not in world.asked


async def test_nobody_is_asked_while_none_is_wanted_or_we_are_at_home(world):
    world.source.told = {LEND: (Candidate(IDS[0]),)}
    world.home = URLS[IDS[9]]
    world.start()
    await asyncio.sleep(0.1)
    assert world.source.asked == []
    world.home = None
    await until(lambda: world.relays.relays == (URLS[IDS[0]],))
    world.wanted = False
    await until(lambda: world.relays.relays == ())
    assert world.changes == [(URLS[IDS[0]],), ()]


async def test_a_crowd_of_lenders_is_asked_by_the_handful_and_few_are_taken(world):
    world.source.told = {LEND: tuple(map(Candidate, IDS))}
    await world.relays._round()
    assert len(world.asked) == FOUND_RELAYS_ASKED
    assert len(world.relays.relays) == FOUND_RELAYS
    asked = list(world.asked)
    await world.relays._round()
    assert world.asked == asked, "there are enough"


async def test_those_that_do_not_let_us_in_make_way_for_others_and_are_not_tried_again(world):
    world.source.told = {LEND: tuple(map(Candidate, IDS[: 2 * FOUND_RELAYS]))}
    await world.relays._round()
    first = set(world.relays.relays)
    world.failed = set(first)
    await world.relays._round()
    second = set(world.relays.relays)
    assert len(second) == FOUND_RELAYS
    assert not first & second
    world.failed |= second
    await world.relays._round()
    assert world.relays.relays == ()


async def test_a_lender_that_is_heard_again_is_tried_again_and_nobody_else_is(world):
    lost = {URLS[IDS[0]], URLS[IDS[1]]}
    world.source.told = {LEND: (Candidate(IDS[0]), Candidate(IDS[1]))}
    world.start()
    await until(lambda: set(world.relays.relays) == lost)
    world.failed = set(lost)
    await until(lambda: world.relays.relays == ())
    world.failed = set()
    world.relays.heard(IDS[0])
    await until(lambda: world.relays.relays == (URLS[IDS[0]],))
    await world.relays._round()
    assert world.relays.relays == (URLS[IDS[0]],)


async def test_addresses_where_no_relay_is_are_not_asked_again(world):
    places = [Address.of("192.0.2.9", port) for port in range(1000, 1000 + FOUND_RELAYS_ASKED)]
    world.source.told = {LEND: tuple(Candidate(place, (place,)) for place in places)}
    await world.relays._round()
    await world.relays._round()
    assert sorted(world.asked, key=str) == sorted(places, key=str)


async def test_what_is_remembered_of_them_is_bounded(world):
    for port in range(1, FOUND_RELAYS_FAILED + 100):
        world.relays._give_up(Address.of("192.0.2.9", port))
    assert len(world.relays._useless) == FOUND_RELAYS_FAILED


async def test_a_source_that_fails_and_a_record_that_is_none_do_no_harm(world):
    world.source.fails = True
    await world.relays._round()
    world.source.fails = False
    broken = SignedPacket.sign(key(5), 5, b"no DNS packet at all")
    world.source.told = {LEND: (Candidate(key(5).endpoint_id, (), broken), Candidate(IDS[0]))}
    await world.relays._round()
    assert world.relays.relays == (URLS[IDS[0]],)
