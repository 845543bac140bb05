"""A Redis for each test, and clients of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.beacon.shared.database import RedisDatabase
from tests.lab.redis import RedisProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisProcess]:
    async with RedisProcess(tmp_path) as process:
        yield process


@pytest.fixture
async def database(redis: RedisProcess) -> AsyncIterator[RedisDatabase]:
    opened = RedisDatabase(redis.url)
    yield opened
    await opened.close()
