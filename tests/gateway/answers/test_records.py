"""What is told of records: real ones, of a real client and a real publisher."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.answers import records
from gateway.answers.records import RecordAnswers
from gateway.config import Config
from gateway.config.settings import BeaconSettings
from gateway.control.records import ExplainRequest
from gateway.dialing import DialError
from gateway.publishing import Publisher
from resolver.client import ResolverClient
from resolver.contacts import AddressBook, Contact
from resolver.discovery.base import Scope
from resolver.errors import DiscoveryError
from resolver.names import Petname
from resolver.record_cache import KeptPacket, RecordCache
from tests.lab.resolver_keys import NOW, key, packet, record
from tests.lab.resolver_sources import FakeSource
from tunnels.addresses import Address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ALICE = key(1).endpoint_id
TYPED, TOLD, GIVEN = (f"192.0.2.{number}:7777" for number in (1, 2, 3))


class World:
    """Alice is a contact who gave us a ticket; a beacon and the local network know her too."""

    def __init__(self) -> None:
        self.beacon = FakeSource("https://eu1.example", packet(signed_at=NOW - 30, addresses=(TOLD,)))
        self.lan = FakeSource("local network", DiscoveryError("no network"), scope=Scope.LOCAL)
        self.book = AddressBook((Contact(Petname("alice"), ALICE, (Address.parse(TYPED),)),))
        ticket = KeptPacket(
            packet(signed_at=NOW - 600, addresses=(GIVEN, TOLD)), "ticket", NOW - 300, Scope.GIVEN
        )
        client = ResolverClient(
            (self.beacon, self.lan),
            RecordCache(),
            typed_addresses=lambda each: (Address.parse(TYPED),) if each == ALICE else (),
            clock=lambda: NOW,
            kept=lambda endpoint_id: (ticket,) if endpoint_id == ALICE else (),
        )
        self.made: dict[Scope, Any] = {
            Scope.PUBLIC: (record(), packet()),
            Scope.LOCAL: "[publish] lan is empty",
        }
        self.publisher = Publisher(self.made.__getitem__, lambda: (self.beacon,), lambda: 0.0, lambda: NOW)
        self.parts: Any = SimpleNamespace(
            contacts=SimpleNamespace(book=self.book),
            id_of=lambda petname: ALICE if petname == "alice" else None,
            records=client,
            config=Config(),
            publisher=self.publisher,
            published_record=self.made.__getitem__,
        )
        self.answers = RecordAnswers(self.parts)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(records, "time_now", lambda: NOW)
    world = World()
    yield world
    await world.parts.records.close()


async def test_each_source_and_record_is_explained_and_where_each_address_comes_from(world: World) -> None:
    report = await world.answers.explain(ExplainRequest(name="alice"))
    beacon, lan = report.sources
    assert (beacon.source, beacon.finding, beacon.age, beacon.in_use) == (
        "https://eu1.example",
        "found",
        30.0,
        True,
    )
    assert (lan.finding, lan.detail, lan.age, lan.in_use) == ("failed", "no network", None, False)
    public, given = report.records
    assert (public.scope, public.age, public.learned_ago, public.in_use) == ("public", 30.0, 0.0, True)
    assert (given.scope, given.source, given.age, given.learned_ago, given.in_use) == (
        "given",
        "ticket",
        600.0,
        300.0,
        False,
    )
    assert public.expires_in == 3570
    assert [(each.address, each.sources) for each in report.addresses] == [
        (TYPED, ("typed by hand",)),
        (TOLD, ("https://eu1.example", "ticket")),
        (GIVEN, ("ticket",)),
    ]
    assert (report.name, report.petname) == ("alice.overlay", "alice")


async def test_a_stranger_of_whom_nothing_is_known_is_explained_too(world: World) -> None:
    stranger = key(9).endpoint_id
    report = await world.answers.explain(ExplainRequest(name=str(stranger)))
    assert (report.petname, report.records, report.addresses) == ("", (), ())
    assert [each.finding for each in report.sources] == ["refused", "failed"]
    assert world.beacon.asked == [stranger]


async def test_a_name_that_nobody_has_is_an_error(world: World) -> None:
    with pytest.raises(DialError):
        await world.answers.explain(ExplainRequest(name="nobody"))


async def test_it_is_told_what_is_published_and_why_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.publishing.PUBLISH_DEBOUNCE_SECONDS", 0.0)
    public, local = await world.answers.published()
    assert "--beacon" in public.why_not
    assert (local.words, local.why_not) == (("relays", "services", "addresses"), "[publish] lan is empty")
    task = asyncio.get_running_loop().create_task(world.publisher.run())
    while not world.beacon.published:  # noqa: ASYNC110 - another program's
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    public, _ = await world.answers.published()
    task.cancel()
    await asyncio.wait((task,))
    (place,) = public.places
    assert (place.place, place.published_ago, place.problem) == ("https://eu1.example", 0.0, "")
    assert (place.good_for, public.why_not) == (3600.0, "")
    assert public.addresses == ("192.0.2.1:7777",)
    assert public.bytes == len(packet().packet)


async def test_beacons_that_are_not_published_at_are_the_reason(world: World) -> None:
    world.parts.config = Config(beacons=BeaconSettings(publish=False))
    public, _ = await world.answers.published()
    assert public.why_not == "[beacons] publish = false"
