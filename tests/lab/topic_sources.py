"""A topic source that knows what it is told, for whoever asks sources; it may fail, hang or lie."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resolver.errors import DiscoveryError

if TYPE_CHECKING:
    from gateway.topics.base import Candidate


class FakeTopics:
    """In memory; `told` maps topics to whom it tells of."""

    def __init__(self, name: str = "fake") -> None:
        self.name = name
        self.told: dict[bytes, tuple[Candidate, ...]] = {}
        self.announced: list[tuple[bytes, ...]] = []
        self.asked: list[bytes] = []
        self.fails = False
        self.hangs = False

    async def announce(self, topics: tuple[bytes, ...]) -> None:
        await self._behave()
        self.announced.append(topics)

    async def find(self, topic: bytes) -> tuple[Candidate, ...]:
        await self._behave()
        self.asked.append(topic)
        return self.told.get(topic, ())

    async def _behave(self) -> None:
        if self.fails:
            raise DiscoveryError(f"{self.name} is out of order")
        if self.hangs:
            await asyncio.Event().wait()
