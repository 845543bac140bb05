"""Records of contacts survive a restart."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway import kept_records
from gateway.home import Home
from gateway.kept_records import KeptRecords
from gateway.supervision import Supervisor
from tests.lab.resolver_keys import NOW, key, packet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from pathlib import Path

    from tunnels.identity import EndpointId

ALICE, BOB = key(1).endpoint_id, key(2).endpoint_id
OLD, NEW = packet(signed_at=NOW), packet(signed_at=NOW + 1)


class World:
    """A home, and who is a contact."""

    def __init__(self, home: Home, supervisor: Supervisor) -> None:
        self.home = home
        self.supervisor = supervisor
        self.contacts: set[EndpointId] = {ALICE}

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        self.task = self.supervisor.spawn(coroutine, name=name)
        return self.task

    async def open(self) -> KeptRecords:
        return await asyncio.to_thread(
            KeptRecords,
            self.home,
            lambda endpoint_id: endpoint_id in self.contacts,
            self.spawn,
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    home = Home(tmp_path)
    await asyncio.to_thread(home.create)
    supervisor = Supervisor()
    yield World(home, supervisor)
    await supervisor.close()


async def test_the_newest_record_of_a_contact_is_there_after_a_restart(world: World) -> None:
    records = await world.open()
    for one in (OLD, NEW, OLD):
        records.keep(one)
    assert records.get(ALICE) == NEW
    await records.close()
    assert (await world.open()).get(ALICE) == NEW


async def test_it_is_written_without_waiting_for_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_records, "KEPT_RECORDS_SAVE_SECONDS", 0.0)
    records = await world.open()
    records.keep(OLD)
    await world.task
    assert (await world.open()).get(ALICE) == OLD
    records.keep(NEW)
    await records.close()
    assert (await world.open()).get(ALICE) == NEW


async def test_strangers_are_not_kept_and_who_is_no_contact_any_more_is_not_written(world: World) -> None:
    records = await world.open()
    for number in range(2, 50):
        records.keep(packet(number))
    assert len(records) == 0
    records.keep(OLD)
    world.contacts = {BOB}
    records.keep(packet(2))
    await records.close()
    again = await world.open()
    assert (again.get(ALICE), again.get(BOB)) == (None, packet(2))


@pytest.mark.parametrize("content", ["{", '{"a": 1}', '["!", "AAAA", ""]'])
async def test_a_damaged_file_is_as_good_as_none(world: World, content: str) -> None:
    await asyncio.to_thread(world.home.state_file("records").write_text, content)
    records = await world.open()
    assert len(records) == 0
    records.keep(OLD)
    await records.close()
    assert len(json.loads(await asyncio.to_thread(world.home.state_file("records").read_text))) == 1


async def test_a_full_disk_costs_only_what_would_have_been_kept(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: object, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gateway.home.write_private", full)
    records = await world.open()
    records.keep(OLD)
    await records.close()
    assert records.get(ALICE) == OLD
    assert "the disk is full" in caplog.text


async def test_who_is_forgotten_leaves_the_disk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_records, "KEPT_RECORDS_SAVE_SECONDS", 0.0)
    records = await world.open()
    records.keep(OLD)
    await world.task
    task = world.task
    records.contacts_changed()
    assert world.task is task, "nothing to forget"
    world.contacts = set()
    records.contacts_changed()
    await world.task
    assert await asyncio.to_thread(world.home.state_file("records").read_text) == "[]\n"


async def test_what_comes_just_as_a_save_ends_is_saved_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_records, "KEPT_RECORDS_SAVE_SECONDS", 0.0)
    records = await world.open()
    save = records._save

    async def save_and_be_told() -> None:
        await save()
        monkeypatch.setattr(records, "_save", save)
        asyncio.get_running_loop().call_soon(records.keep, NEW)

    monkeypatch.setattr(records, "_save", save_and_be_told)
    records.keep(OLD)
    first = world.task
    await first
    assert world.task is not first
    await world.task
    assert (await world.open()).get(ALICE) == NEW
