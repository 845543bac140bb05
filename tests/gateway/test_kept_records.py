"""Records survive a restart: those of contacts at hand, those of strangers on disk, as many as there is room for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway import kept_records
from gateway.home import Home
from gateway.kept_records import KeptRecords
from gateway.kept_state import KeptState
from gateway.supervision import Supervisor
from resolver.discovery.base import Scope
from resolver.limits import CACHED_RECORDS, CONTACTS
from resolver.record_cache import CachedRecord, KeptPacket
from resolver.records import EndpointRecord
from tests.lab.resolver_keys import NOW, key, packet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from pathlib import Path

    from resolver.signed_packets import SignedPacket
    from tunnels.identity import EndpointId

ALICE, BOB = key(1).endpoint_id, key(2).endpoint_id
OLD, NEW = packet(signed_at=NOW), packet(signed_at=NOW + 1)


def cached(packet: SignedPacket, scope: Scope = Scope.PUBLIC) -> CachedRecord:
    return CachedRecord(packet, EndpointRecord.from_packet(packet), "https://eu1.example", NOW + 2, scope)


class World:
    """A home, who is a contact, and the records as they are now."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.supervisor = Supervisor()
        self.contacts: set[EndpointId] = {ALICE}
        self.now = NOW

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return self.supervisor.spawn(coroutine, name=name)

    async def open(self, limit: int = 100) -> KeptRecords:
        self.state = await asyncio.to_thread(KeptState, self.home, self.spawn)
        self.records = await asyncio.to_thread(
            lambda: KeptRecords(self.state, lambda each: each in self.contacts, lambda: self.now, limit=limit)
        )
        return self.records

    async def close(self) -> None:
        await self.records.close()
        await self.state.close()

    async def reopen(self) -> KeptRecords:
        await self.close()
        return await self.open()

    async def count(self) -> int:
        """Strangers on disk."""
        await self.records.close()
        (rows,) = await self.state.database.run(
            lambda connection: connection.execute("SELECT count(*) FROM stranger_records").fetchone()
        )
        return rows


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    home = Home(tmp_path)
    await asyncio.to_thread(home.create)
    world = World(home)
    await world.open()
    yield world
    await world.close()
    await world.supervisor.close()


def test_there_is_room_for_ten_thousand_contacts_and_a_hundred_thousand_others() -> None:
    assert CONTACTS >= 10_000
    assert CACHED_RECORDS >= 100_000


async def test_the_newest_record_of_a_contact_is_there_after_a_restart_with_where_it_came_from(
    world: World,
) -> None:
    for one in (OLD, NEW, OLD):
        world.records.keep(cached(one))
    assert world.records.get(ALICE) == KeptPacket(NEW, "https://eu1.example", NOW + 2)
    again = await world.reopen()
    assert again.get(ALICE) == await again.find(ALICE) == KeptPacket(NEW, "https://eu1.example", NOW + 2)
    assert len(again) == 1


async def test_a_strangers_record_is_fetched_from_disk(world: World) -> None:
    world.records.keep(cached(packet(2)))
    assert world.records.get(BOB) is None, "not at hand"
    assert await world.records.find(BOB) == KeptPacket(packet(2), "https://eu1.example", NOW + 2), "unwritten"
    again = await world.reopen()
    assert await again.find(BOB) == KeptPacket(packet(2), "https://eu1.example", NOW + 2)
    assert await again.find(key(3).endpoint_id) is None
    assert len(again) == 0


async def test_what_the_local_network_tells_is_for_the_moment_only(world: World) -> None:
    for each in (OLD, packet(2)):
        world.records.keep(cached(each, Scope.LOCAL))
    assert await world.records.find(ALICE) is None
    assert await world.records.find(BOB) is None


async def test_strangers_are_bounded_and_those_learned_longest_ago_give_way(world: World) -> None:
    await world.close()
    await world.open(limit=5)
    world.records.keep(cached(OLD))
    for number in range(2, 10):
        world.records.keep(cached(packet(number)))
        await world.records.close()
    assert await world.count() == 5
    found = [await world.records.find(key(number).endpoint_id) is not None for number in range(2, 10)]
    assert found == [False] * 3 + [True] * 5
    assert world.records.get(ALICE) is not None, "contacts are not among them"


async def test_strangers_that_wait_for_being_written_are_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_records, "KEPT_RECORDS_UNWRITTEN", 3)
    for number in range(2, 8):
        world.records.keep(cached(packet(number)))
    assert await world.count() == 3


async def test_expired_records_of_strangers_are_cleared_away(world: World) -> None:
    world.records.keep(cached(packet(2, seconds=10)))
    await world.records.close()
    world.now += 11
    world.records.keep(cached(packet(3, seconds=100)))
    assert await world.count() == 1


async def test_who_is_no_contact_any_more_leaves_the_disk(world: World) -> None:
    world.records.keep(cached(OLD))
    world.records.contacts_changed()
    again = await world.reopen()
    assert again.get(ALICE) is not None
    world.contacts = {BOB}
    again.contacts_changed()
    again.keep(cached(packet(2)))
    again = await world.reopen()
    assert (await again.find(ALICE), again.get(BOB)) == (
        None,
        KeptPacket(packet(2), "https://eu1.example", NOW + 2),
    )


async def test_a_record_that_the_disk_changed_is_as_good_as_none(world: World) -> None:
    for each in (OLD, packet(2)):
        world.records.keep(cached(each))
    await world.records.close()
    for table in ("contact_records", "stranger_records"):
        await world.state.database.run(
            lambda connection, table=table: connection.execute(f"UPDATE {table} SET payload = zeroblob(300)")
        )
    again = await world.reopen()
    assert again.get(ALICE) is None
    assert await again.find(BOB) is None
    again.keep(cached(OLD))
    assert again.get(ALICE) is not None


async def test_a_database_that_does_not_answer_is_a_record_that_is_not_there(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.state.database.run(lambda connection: connection.execute("DROP TABLE stranger_records"))
    assert await world.records.find(BOB) is None
    assert "asked for again" in caplog.text


async def test_a_record_as_it_is_kept_costs_no_reading(world: World) -> None:
    assert world.records.payload(ALICE) == b""
    world.records.keep(cached(OLD))
    assert OLD.packet in world.records.payload(ALICE)
