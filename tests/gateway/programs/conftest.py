"""A desk in this process, and what asks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.home import Home
from tests.lab.programs import Desk, program_desk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with program_desk(Home(tmp_path / "home")) as found:
        yield found
