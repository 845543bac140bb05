"""The zone of our own name."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.errors import StateError, UsageError
from gateway.home import Home
from gateway.own_zone import OwnZone, with_profile
from resolver.profiles import Profile
from resolver.zone_entries import ZoneEntry, ZoneKind
from resolver.zone_files import read_zone_file
from tests.lab.resolver_keys import key

ME = key(1).endpoint_id
BLOG = ZoneEntry.parse("blog", ZoneKind.CNAME, ["web"], ME)
NOTE = ZoneEntry.parse("note", ZoneKind.TXT, ["x"], ME)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


async def test_a_change_is_told_saved_and_there_after_a_restart(home: Home) -> None:
    told: list[int] = []
    zone = OwnZone(home, ME, lambda: told.append(1))
    profile = Profile("Me", "I", "https://a.example/", ("https://b.example/",))
    assert await zone.change(lambda _: with_profile((BLOG,), profile)) == ((), zone.entries)
    assert told == [1]
    again = await asyncio.to_thread(OwnZone, home, ME, lambda: None)
    assert again.entries == zone.entries
    assert (again.records, again.profile) == ((BLOG,), profile)
    await zone.change(lambda entries: entries)
    assert told == [1], "nothing changed"
    await zone.change(lambda entries: with_profile(entries, Profile()))
    assert zone.entries == (BLOG,)


async def test_what_cannot_be_published_or_saved_changes_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone = OwnZone(home, ME, lambda: pytest.fail("nothing changed"))
    big = ZoneEntry.parse("big", ZoneKind.TXT, ["x" * 500], ME)
    with pytest.raises(UsageError, match=r"the zone is [0-9]+ bytes too large; nothing was changed"):
        await zone.change(lambda _: (big,))
    with pytest.raises(UsageError, match="stands alone"):
        await zone.change(lambda _: (BLOG, ZoneEntry.parse("blog", ZoneKind.TXT, ["x"], ME)))
    assert await zone.change(lambda _: (BLOG,), preview=True) == ((), (BLOG,))

    def full(*_: object) -> None:
        raise StateError("the disk is full")

    monkeypatch.setattr(Home, "save_state", full)
    with pytest.raises(StateError):
        await zone.change(lambda _: (BLOG,))
    assert zone.entries == ()


async def test_the_zone_before_an_import_is_a_file_that_can_be_imported(home: Home) -> None:
    zone = OwnZone(home, ME, lambda: None)
    await zone.change(lambda _: with_profile((BLOG,), Profile("Me")))
    await zone.change(lambda _: (NOTE,), keep_before=True)
    text = await asyncio.to_thread(Path(zone.before_file).read_text)
    file = read_zone_file(text, ME, lambda _: None)
    assert (file.records, file.profile) == ((BLOG,), Profile("Me"))


@pytest.mark.parametrize(
    "saved",
    [
        [],
        {"records": [{"label": "a", "type": "A", "value": ["1.2.3.4"]}]},
        {"records": [{"label": "a"}]},
        {"records": [{"label": "a", "type": "TXT", "value": ["x" * 900]}]},
        {"profile": {"name": "\u0430lice"}},
    ],
)
def test_a_damaged_file_is_told_and_left_as_it_is(home: Home, saved: object) -> None:
    home.save_state("zone", saved)
    with pytest.raises(StateError, match="zone"):
        OwnZone(home, ME, lambda: None)
    assert home.state_file("zone").exists()
