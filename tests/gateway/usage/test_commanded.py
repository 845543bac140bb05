"""Limits that commands set hold at once, outlive a restart, and are bounded in number."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.errors import StateError, UsageError
from gateway.home import Home
from gateway.traffic.terms import NO_TERMS, UNLIMITED, Terms
from gateway.usage import commanded
from gateway.usage.commanded import CommandedLimits

if TYPE_CHECKING:
    from pathlib import Path


class Control:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: dict[str, Terms | None] = {}

    def set_terms(self, scope: str, terms: Terms | None) -> None:
        self.told[scope] = terms


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.create()
    return home


async def read(home: Home) -> tuple[CommandedLimits, Control]:
    control = Control()
    limits = await asyncio.to_thread(CommandedLimits, home, control)  # type: ignore[arg-type]
    limits.apply()
    return limits, control


async def test_what_is_set_holds_now_and_after_a_restart_until_it_is_taken_back(home: Home) -> None:
    limits, control = await read(home)
    assert await limits.set("contacts.bob", lambda _: Terms(rate=5, weight=4)) == (
        NO_TERMS,
        Terms(rate=5, weight=4),
    )
    assert control.told == {"contacts.bob": Terms(rate=5, weight=4)}
    limits, control = await read(home)
    assert control.told == {"contacts.bob": Terms(rate=5, weight=4)}
    before, now = await limits.set("contacts.bob", lambda terms: Terms(quota=7).over(terms))
    assert (before, now) == (Terms(rate=5, weight=4), Terms(rate=5, quota=7, weight=4))
    await limits.set("contacts.bob", lambda _: NO_TERMS)
    limits, control = await read(home)
    assert control.told == {}


async def test_what_cannot_be_kept_does_not_hold(home: Home) -> None:
    limits, control = await read(home)
    await asyncio.to_thread(home.state_file("limits").mkdir)
    with pytest.raises(StateError):
        await limits.set("default", lambda _: Terms(rate=5))
    assert control.told == {}
    assert limits.commanded("default") == NO_TERMS


async def test_there_may_be_so_many(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commanded, "LIMITS_BY_COMMAND", 2)
    limits, _ = await read(home)
    for scope in ("groups.a", "groups.b", "groups.a"):
        await limits.set(scope, lambda _: Terms(rate=1))
    with pytest.raises(UsageError, match="unset some"):
        await limits.set("groups.c", lambda _: Terms(rate=1))


async def test_a_file_that_was_edited_cannot_break_anything_and_a_corrupt_one_is_told(home: Home) -> None:
    file = home.state_file("limits")
    await asyncio.to_thread(file.write_text, '{"default": {"rate": "fast"}}')
    with pytest.raises(StateError, match=r"limits\.json"):
        await read(home)
    await asyncio.to_thread(file.write_text, '{"default": {"rate": -5, "quota": 99999999999999999999}}')
    _, control = await read(home)
    assert control.told == {"default": Terms(rate=1, quota=UNLIMITED)}
