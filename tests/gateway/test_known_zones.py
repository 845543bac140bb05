"""The zones of all endpoints, as far as they are known here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.known_zones import KnownZones
from resolver.record_cache import CachedRecord
from resolver.zone_entries import ZoneEntry, ZoneKind
from tests.lab.resolver_keys import NOW, key, record

if TYPE_CHECKING:
    from tunnels.identity import EndpointId

ME, ALICE = key(1).endpoint_id, key(2).endpoint_id


def entry(label: str) -> ZoneEntry:
    return ZoneEntry.parse(label, ZoneKind.TXT, ["x"], ALICE)


class World:
    """What is known of alice, and how often it was asked for."""

    def __init__(self, **more: int) -> None:
        self.cached: CachedRecord | None = None
        self.now = NOW
        self.asked = 0
        self.changed: list[EndpointId] = []
        self.zones = KnownZones((ME, lambda: (entry("mine"),)), self._record_of, lambda: self.now, **more)
        self.zones.on_change = self.changed.append

    def _record_of(self, endpoint_id: EndpointId) -> CachedRecord | None:
        self.asked += 1
        return self.cached if endpoint_id == ALICE else None

    def learn(self, *labels: str) -> None:
        said = replace(record(2, seconds=60), zone=tuple(map(entry, labels)))
        self.cached = CachedRecord(said.sign(key(2)), said, "test", self.now)
        self.zones.learned(ALICE)


def test_a_record_is_looked_at_once_until_the_next_one() -> None:
    world = World()
    assert world.zones.of(ME) == (entry("mine"),)
    assert world.zones.of(ALICE) == ()
    world.learn("a")
    assert world.changed == [ALICE]
    asked = world.asked
    assert world.zones.of(ALICE) == world.zones.of(ALICE) == (entry("a"),)
    assert world.asked == asked
    world.learn("a")
    assert world.changed == [ALICE], "the same zone is no news"
    world.learn("b")
    assert world.zones.of(ALICE) == (entry("b"),)
    assert world.changed == [ALICE, ALICE]


def test_a_zone_ends_with_its_record() -> None:
    world = World()
    world.learn("a")
    assert world.zones.of(ALICE) == (entry("a"),)
    world.now += 60
    world.cached = None
    assert world.zones.of(ALICE) == ()


def test_it_is_bounded() -> None:
    world = World(limit=4)
    for number in range(3, 20):
        world.zones.of(key(number).endpoint_id)
    assert repr(world.zones) == "<KnownZones of 1 endpoints>" or len(world.zones._known) <= 4
