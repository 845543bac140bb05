"""Accounts are on disk within seconds, go on after a restart, and tell the ledger what a month has used."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from gateway.home import Home
from gateway.supervision import Supervisor
from gateway.traffic.ledger import Ledger
from gateway.usage import meter as room
from gateway.usage.meter import Meter
from gateway.usage.tally import Octets, Row
from tests.lab.gateways import wait_until
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from pathlib import Path

BOB = EndpointId(b"b" * 32)
NOVEMBER, DECEMBER = 1_796_083_000.0, 1_796_083_200.0
WEB = Row(BOB, "web", "served", "LAN")


class World:
    """A home, a ledger that begins anew with each start, and a clock."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.now = NOVEMBER
        self.supervisor = Supervisor()

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return self.supervisor.spawn(coroutine, name=name)

    async def start(self) -> Meter:
        self.ledger = Ledger(lambda _: True)
        meter = await asyncio.to_thread(
            Meter,
            self.home,
            self.ledger,
            path_of=lambda _: "LAN",
            is_contact=lambda _: True,
            spawn=self.spawn,
            clock=lambda: self.now,
        )
        await meter.start()
        return meter

    def on_disk(self) -> int:
        """Octets that another process would read now."""
        with sqlite3.connect(self.home.usage_file) as connection:
            return connection.execute("SELECT coalesce(sum(sent), 0) FROM months").fetchone()[0]


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(room, "USAGE_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(room, "USAGE_SAVE_SECONDS", 0.01)
    home = Home(tmp_path)
    await asyncio.to_thread(home.create)
    world = World(home)
    yield world
    await world.supervisor.close()


async def test_what_moved_is_told_at_once_and_on_disk_a_moment_later(world: World) -> None:
    meter = await world.start()
    world.ledger.count(BOB, "web", "sent", 1000)
    account = await meter.account()
    assert account.rows == {WEB: Octets(1000, 0)}
    assert account.days == {("2026-11-30", "LAN"): Octets(1000, 0)}
    assert account.months == ("2026-11",)
    await asyncio.to_thread(wait_until, lambda: world.on_disk() == 1000)
    await meter.close()


async def test_a_restart_adds_to_what_was_there_and_the_ledger_hears_what_the_month_has_used(
    world: World,
) -> None:
    meter = await world.start()
    world.ledger.count(BOB, "web", "sent", 1000)
    await meter.close()
    meter = await world.start()
    assert world.ledger.month_of_endpoint(BOB) == 1000
    world.ledger.count(BOB, "web", "received", 7)
    await meter.close()
    meter = await world.start()
    assert (await meter.account()).rows == {WEB: Octets(1000, 7)}
    assert world.ledger.month_of_endpoint(BOB) == 1007
    await meter.close()


async def test_the_last_octets_before_the_end_are_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "USAGE_LOOK_SECONDS", 60.0)
    monkeypatch.setattr(room, "USAGE_SAVE_SECONDS", 60.0)
    meter = await world.start()
    world.ledger.count(BOB, "web", "sent", 5)
    await meter.close()
    await meter.close()
    assert await asyncio.to_thread(world.on_disk) == 5


async def test_a_new_month_begins_with_nothing_used_and_a_clock_that_is_set_back_goes_on_with_the_old_one(
    world: World,
) -> None:
    meter = await world.start()
    world.ledger.count(BOB, "web", "sent", 1000)
    world.now = DECEMBER
    await asyncio.to_thread(wait_until, lambda: meter.month == "2026-12")
    await asyncio.to_thread(wait_until, lambda: world.ledger.month_of_endpoint(BOB) == 0)
    world.ledger.count(BOB, "web", "sent", 1)
    assert (await meter.account()).rows == {WEB: Octets(1, 0)}
    assert (await meter.account("2026-11")).rows == {WEB: Octets(1000, 0)}
    assert (await meter.account()).months == ("2026-12", "2026-11")
    assert (await meter.account("2020-01")).rows == {}
    world.now = NOVEMBER
    await asyncio.to_thread(wait_until, lambda: world.ledger.month_of_endpoint(BOB) == 1000)
    await meter.close()


async def test_months_beyond_the_bound_are_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "USAGE_MONTHS", 2)
    for month in range(4):
        world.now = NOVEMBER + month * 31 * 86400
        meter = await world.start()
        world.ledger.count(BOB, "web", "sent", 1)
        await meter.close()
    meter = await world.start()
    account = await meter.account()
    assert account.months == ("2027-03", "2027-01")
    assert await asyncio.to_thread(world.on_disk) == 2
    await meter.close()


async def test_a_disk_that_takes_nothing_is_told_of_once_and_nothing_is_lost_when_it_does_again(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.late_saver.SAVE_RETRY_LONGEST_SECONDS", 0.02)
    meter = await world.start()
    with sqlite3.connect(world.home.usage_file) as other:
        other.execute(
            "CREATE TRIGGER full BEFORE INSERT ON months BEGIN SELECT RAISE(FAIL, 'disk is full'); END"
        )
    for octets in range(1, 11):
        world.ledger.count(BOB, "web", "sent", octets)
        await asyncio.sleep(0.02)
    await asyncio.to_thread(wait_until, lambda: meter.problem)
    assert "disk is full" in meter.problem
    assert caplog.text.count("disk is full") == 1
    assert (await meter.account()).rows == {WEB: Octets(55, 0)}
    with sqlite3.connect(world.home.usage_file) as other:
        other.execute("DROP TRIGGER full")
    await asyncio.to_thread(wait_until, lambda: world.on_disk() == 55)
    await asyncio.to_thread(wait_until, lambda: not meter.problem)
    await meter.close()


async def test_a_damaged_file_is_moved_aside(world: World, caplog: pytest.LogCaptureFixture) -> None:
    await asyncio.to_thread(world.home.usage_file.write_bytes, b"no database" * 1000)
    meter = await world.start()
    assert "accounts begin anew" in caplog.text
    assert world.home.usage_file.with_suffix(".damaged").exists()
    world.ledger.count(BOB, "web", "sent", 3)
    await meter.close()
    assert await asyncio.to_thread(world.on_disk) == 3
