"""When our record is published, and what becomes of failures."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway import publishing
from gateway.limits import (
    PUBLISH_DEBOUNCE_SECONDS,
    PUBLISH_EVERY_SECONDS,
    PUBLISH_GAP_SECONDS,
    PUBLISH_RETRY_LONGEST,
    PUBLISH_RETRY_SECONDS,
)
from gateway.publishing import Publisher, PublishPlan
from tests.lab.resolver_keys import key, record
from tunnels.addresses import BeaconUrl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resolver.records import EndpointRecord
    from resolver.signed_packets import SignedPacket

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


class Beacon:
    """What is published, and what the record says."""

    def __init__(self) -> None:
        self.record: EndpointRecord | None = record()
        self.made = 0
        self.published: asyncio.Queue[SignedPacket] = asyncio.Queue()
        self.failures: dict[str, str] = {}
        self.publisher = Publisher(self.make, self.publish, lambda: 0.0)

    def make(self) -> tuple[EndpointRecord, SignedPacket] | None:
        if self.record is None:
            return None
        self.made += 1
        now = replace(self.record, timestamp=self.record.timestamp + self.made)
        return now, now.sign(key(1))

    async def publish(self, packet: SignedPacket) -> dict[str, str]:
        self.published.put_nowait(packet)
        return self.failures


@pytest.fixture
async def beacon(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Beacon]:
    monkeypatch.setattr(publishing, "PUBLISH_DEBOUNCE_SECONDS", 0.0)
    monkeypatch.setattr(publishing, "PUBLISH_GAP_SECONDS", 0.0)
    beacon = Beacon()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(beacon.publisher.run())
        yield beacon
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_it_is_published_at_start_and_when_it_says_something_new(beacon: Beacon) -> None:
    first = await beacon.published.get()
    beacon.publisher.changed()
    await settle()
    assert beacon.published.empty(), "nothing is new"
    assert beacon.record is not None
    beacon.record = replace(beacon.record, relays=(HOME,))
    beacon.publisher.changed()
    second = await beacon.published.get()
    assert second.timestamp > first.timestamp


async def test_failures_are_told_once_and_tried_again(
    beacon: Beacon, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(publishing, "PUBLISH_RETRY_SECONDS", 0.0)
    beacon.failures = {"https://eu1.example": "no answer in time"}
    for _ in range(4):
        await beacon.published.get()
    beacon.failures = {}
    await beacon.published.get()
    await settle()
    assert beacon.publisher.failures == {}
    assert caplog.text.count("our record is not published at https://eu1.example: no answer in time") == 1


async def test_nothing_is_published_while_the_owner_does_not_want_it(beacon: Beacon) -> None:
    await beacon.published.get()
    wanted, beacon.record = beacon.record, None
    beacon.publisher.changed()
    await settle()
    assert beacon.published.empty()
    beacon.record = wanted
    beacon.publisher.changed()
    await beacon.published.get()
