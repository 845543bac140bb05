"""Commands run in this process, and beside a control server that a fake gateway answers."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from gateway.cli.app import run
from gateway.home import Home
from tests.lab.control import FakeGateway, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Alone:
    """Runs `overlay` on one home."""

    home: Home
    capture: pytest.CaptureFixture[str]

    def __call__(self, *words: str) -> Outcome:
        self.capture.readouterr()
        code = run(["--home", str(self.home.path), *words])
        out, err = self.capture.readouterr()
        return Outcome(code, out, err)


@dataclass
class Overlay:
    """Runs `overlay` on one home, in another thread, as the server needs this one."""

    home: Home
    gateway: FakeGateway
    capture: pytest.CaptureFixture[str]

    async def __call__(self, *words: str) -> Outcome:
        return await asyncio.to_thread(Alone(self.home, self.capture), *words)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("OVERLAY_HOME", raising=False)
    found = Home(tmp_path / "home")
    found.create()
    return found


@pytest.fixture
async def overlay(home: Home, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Overlay]:
    """Commands with a running gateway."""
    async with serving(home) as gateway:
        yield Overlay(home, gateway, capsys)


@pytest.fixture
def alone(home: Home, capsys: pytest.CaptureFixture[str]) -> Alone:
    """Commands without a running gateway."""
    return Alone(home, capsys)
