"""When our record is published, and what becomes of failures."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway import publishing
from gateway.limits import (
    PUBLISH_DEBOUNCE_SECONDS,
    PUBLISH_EVERY_SECONDS,
    PUBLISH_GAP_SECONDS,
    PUBLISH_RETRY_LONGEST,
    PUBLISH_RETRY_SECONDS,
)
from gateway.publishing import EVERY, GAPS, LIFETIMES, Publisher, PublishPlan
from resolver.discovery.base import Scope
from resolver.errors import DiscoveryError
from tests.lab.resolver_keys import NOW, key, record
from tests.lab.resolver_sources import FakeSource
from tunnels.addresses import BeaconUrl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.publishing import Made

HOME = BeaconUrl.parse("https://eu1.example")


def plan(chance: float = 0.0) -> PublishPlan:
    return PublishPlan(lambda: chance)


def test_changes_in_a_row_are_published_once_and_not_at_once_again() -> None:
    one = plan()
    assert one.due is None
    one.changed(0.0)
    one.changed(0.1)
    assert one.due == PUBLISH_DEBOUNCE_SECONDS
    one.published(1.0, complete=True)
    one.changed(1.1)
    assert one.due == 1.0 + PUBLISH_GAP_SECONDS


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_it_is_repeated_within_an_hour_and_not_by_everybody_at_once(chance: float) -> None:
    one = plan(chance)
    one.published(100.0, complete=True)
    assert one.due is not None
    assert 0.75 * PUBLISH_EVERY_SECONDS <= one.due - 100.0 < PUBLISH_EVERY_SECONDS
    assert one.due - 100.0 == PUBLISH_EVERY_SECONDS * (0.75 + 0.25 * chance)


def test_a_change_of_many_at_once_is_not_published_by_all_at_once() -> None:
    due = {}
    for chance in (0.0, 0.5, 0.999):
        one = plan(chance)
        one.changed(10.0)
        due[chance] = one.due
    assert due[0.0] < due[0.5] < due[0.999] < 10.0 + 2 * PUBLISH_DEBOUNCE_SECONDS


@pytest.mark.parametrize("scope", [Scope.PUBLIC, Scope.LOCAL])
@pytest.mark.parametrize("chance", [0.0, 0.999])
def test_a_record_is_renewed_before_it_expires_even_if_one_renewal_is_lost(
    scope: Scope, chance: float
) -> None:
    one = PublishPlan(lambda: chance, EVERY[scope])
    one.published(0.0, complete=True)
    assert one.due is not None
    assert 2 * one.due < LIFETIMES[scope]


def test_failures_are_repeated_at_growing_intervals_up_to_a_longest() -> None:
    one, pauses = plan(0.5), []
    for _ in range(40):
        one.published(0.0, complete=False)
        pauses.append(one.due)
    assert pauses[:3] == [PUBLISH_RETRY_SECONDS, 2 * PUBLISH_RETRY_SECONDS, 4 * PUBLISH_RETRY_SECONDS]
    assert pauses[-1] == PUBLISH_RETRY_LONGEST
    one.changed(0.0)
    one.published(0.0, complete=False)
    assert one.due == PUBLISH_RETRY_SECONDS, "a change begins anew"


def test_nothing_is_due_when_nothing_is_to_be_published() -> None:
    one = plan()
    one.changed(0.0)
    one.stop()
    assert one.due is None


class World:
    """A beacon, a pkarr relay and the local network, and what our records say."""

    def __init__(self) -> None:
        self.eu, self.us = FakeSource("https://eu1.example"), FakeSource("https://us1.example")
        self.lan = FakeSource("local network", scope=Scope.LOCAL)
        self.sources = [self.eu, self.us, self.lan]
        self.records: dict[Scope, Any] = {Scope.PUBLIC: record(addresses=()), Scope.LOCAL: record()}
        self.made = 0
        self.publisher = Publisher(self.make, lambda: self.sources, lambda: 0.0, lambda: NOW, seconds=0.05)

    def make(self, scope: Scope) -> Made | str:
        made = self.records[scope]
        if isinstance(made, str):
            return made
        self.made += 1
        now = replace(made, timestamp=made.timestamp + self.made)
        return now, now.sign(key(1))

    async def at(self, source: FakeSource, count: int) -> None:
        """Until so many records were put there."""
        async with asyncio.timeout(5):
            while len(source.published) < count:  # noqa: ASYNC110 - the fake has no event for it
                await asyncio.sleep(0.001)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(publishing, "PUBLISH_DEBOUNCE_SECONDS", 0.0)
    monkeypatch.setattr(publishing, "GAPS", dict.fromkeys(Scope, 0.0))
    monkeypatch.setattr(publishing, "PUBLISH_RETRY_SECONDS", 0.002)
    world = World()
    task = asyncio.get_running_loop().create_task(world.publisher.run())
    yield world
    task.cancel()
    await asyncio.wait((task,))


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0.001)


async def test_each_place_gets_the_record_of_its_scope_at_start(world: World) -> None:
    for source in world.sources:
        await world.at(source, 1)
    assert world.eu.published == world.us.published, "one packet for all of a scope"
    assert world.eu.published[0].packet != world.lan.published[0].packet
    world.publisher.changed()
    await settle()
    assert [len(source.published) for source in world.sources] == [1, 1, 1], "nothing is new"


async def test_a_change_is_told_only_where_it_concerns_somebody(world: World) -> None:
    await world.at(world.lan, 1)
    await settle()
    world.records[Scope.PUBLIC] = replace(world.records[Scope.PUBLIC], relays=(HOME,))
    world.publisher.changed()
    await world.at(world.eu, 2)
    await world.at(world.us, 2)
    assert world.us.published[1].timestamp > world.us.published[0].timestamp
    await settle()
    assert len(world.lan.published) == 1


async def test_a_place_that_fails_is_tried_again_alone_and_told_of_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.us.found = DiscoveryError("us1.example: it is busy")
    await world.at(world.eu, 1)
    await settle()
    assert world.publisher.failures == {"https://us1.example": "us1.example: it is busy"}
    world.us.found = None
    await world.at(world.us, 1)
    await settle()
    assert world.publisher.failures == {}
    assert len(world.eu.published) == 1, "the others are left in peace"
    assert caplog.text.count("not published at https://us1.example: us1.example: it is busy") == 1


async def test_a_place_that_does_not_answer_keeps_nobody_waiting(world: World) -> None:
    world.us.release.clear()
    await world.at(world.eu, 1)
    world.records[Scope.PUBLIC] = replace(world.records[Scope.PUBLIC], relays=(HOME,))
    world.publisher.changed()
    await world.at(world.eu, 2)
    while not world.publisher.failures:  # noqa: ASYNC110 - its time is the publisher's own
        await asyncio.sleep(0.001)
    assert world.publisher.failures == {"https://us1.example": "no answer within 0.05 s"}
    world.us.release.set()
    await world.at(world.us, 1)
    assert world.us.published[0].packet == world.eu.published[1].packet, "what it missed, it gets at once"


async def test_what_changes_while_it_is_being_put_somewhere_is_put_there_next(world: World) -> None:
    world.us.release.clear()
    await world.at(world.eu, 1)
    world.records[Scope.PUBLIC] = replace(world.records[Scope.PUBLIC], relays=(HOME,))
    world.publisher.changed()
    await asyncio.sleep(0.002)
    world.us.release.set()
    await world.at(world.us, 2)
    assert world.us.published[1].packet == world.eu.published[-1].packet


async def test_nothing_is_published_while_the_owner_does_not_want_it(world: World) -> None:
    await world.at(world.lan, 1)
    wanted, world.records[Scope.LOCAL] = world.records[Scope.LOCAL], "[publish] lan is empty"
    world.publisher.changed()
    await settle()
    (lan,) = (each for each in world.publisher.publications() if each.scope is Scope.LOCAL)
    assert (lan.next_in, lan.published_at) == (None, NOW)
    world.records[Scope.LOCAL] = wanted
    world.publisher.changed()
    await world.at(world.lan, 2)


async def test_places_come_and_go(world: World) -> None:
    await world.at(world.eu, 1)
    new = FakeSource("https://ap1.example")
    world.sources = [world.eu, new]
    world.publisher.changed()
    await world.at(new, 1)
    await settle()
    assert {each.place for each in world.publisher.publications()} == {
        "https://eu1.example",
        "https://ap1.example",
    }
    assert len(world.eu.published) == 1


async def test_it_is_told_what_is_where_and_until_when(world: World) -> None:
    world.us.found = OSError("no route")
    for source in (world.eu, world.lan):
        await world.at(source, 1)
    await settle()
    told = {each.place: each for each in world.publisher.publications()}
    eu, us, lan = (told[source.name] for source in world.sources)
    assert (eu.published_at, eu.expires, eu.problem) == (NOW, float(world.records[Scope.PUBLIC].expires), "")
    assert eu.next_in is not None
    assert PUBLISH_EVERY_SECONDS / 2 < eu.next_in <= PUBLISH_EVERY_SECONDS
    assert (us.published_at, us.expires, us.problem) == (None, None, "no route")
    assert lan.next_in is not None
    assert lan.next_in < LIFETIMES[Scope.LOCAL] / 2


async def test_what_is_renewed_is_published_again_in_its_scope_only(world: World) -> None:
    await settle()
    before = {source.name: len(source.published) for source in world.sources}
    world.publisher.renew(Scope.LOCAL)
    await settle()
    for source in world.sources:
        assert len(source.published) - before[source.name] == (source.scope is Scope.LOCAL)


def test_what_is_wrong_is_published_at_once_but_not_all_the_time() -> None:
    one = plan()
    one.at_once(7.0)
    assert one.due == 7.0
    one.changed(7.0)
    assert one.due == 7.0
    one.published(7.0, complete=True)
    one.at_once(7.1)
    assert one.due == 7.0 + PUBLISH_GAP_SECONDS


def test_on_the_local_network_changes_are_told_sooner() -> None:
    one = PublishPlan(lambda: 0.0, EVERY[Scope.LOCAL], GAPS[Scope.LOCAL])
    one.published(1.0, complete=True)
    one.changed(1.1)
    assert one.due == 1.1 + PUBLISH_DEBOUNCE_SECONDS
