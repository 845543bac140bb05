"""The topics that a person has joined, with their manifests; kept over restarts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.errors import StateError, UsageError
from gateway.limits import TOPICS
from gateway.topics.manifest import Manifest
from resolver.errors import InvalidName
from resolver.topics import check_topic_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.home import Home

_STATE: Final = "topics"


class JoinedTopics:
    """Topics by name; a change is saved before it counts."""

    def __init__(self, home: Home) -> None:
        """Read what is saved; StateError when the file is damaged."""
        self._home = home
        self._lock = asyncio.Lock()
        saved = home.load_state(_STATE, dict, dict)
        try:
            self._topics = {
                check_topic_name(name): manifest
                for name, manifest in msgspec.convert(saved, dict[str, Manifest | None]).items()
            }
        except (msgspec.ValidationError, InvalidName) as error:
            raise StateError(
                f"state: {home.state_file(_STATE)} is damaged ({error}); move it away, and join the topics again"
            ) from None

    def __repr__(self) -> str:
        return f"<JoinedTopics {', '.join(self._topics)}>"

    @property
    def topics(self) -> Mapping[str, Manifest | None]:
        """All of them, in the order in which they were joined."""
        return self._topics

    async def join(self, text: str, manifest: Manifest | None) -> tuple[str, bool]:
        """Be in the topic of this name from now on; its name, and whether it was joined before: then the manifest is another."""
        name = _checked(text)
        async with self._lock:
            was_there = name in self._topics
            if not was_there and len(self._topics) >= TOPICS:
                raise UsageError(
                    f"topic: this gateway is in {TOPICS} topics, which is the most; leave one: overlay topic ls"
                )
            await self._save(self._topics | {name: manifest})
        return name, was_there

    async def leave(self, text: str) -> tuple[str, Manifest | None]:
        """Be in it no more; its name and manifest."""
        name = _checked(text)
        async with self._lock:
            self.check_joined(name)
            left = dict(self._topics)
            manifest = left.pop(name)
            await self._save(left)
        return name, manifest

    def check_joined(self, text: str) -> str:
        """The name of a topic that is joined; UsageError for another."""
        name = _checked(text)
        if name not in self._topics:
            raise UsageError(f"topic: {name} is not joined; join it with: overlay topic join {name}")
        return name

    async def _save(self, topics: dict[str, Manifest | None]) -> None:
        await asyncio.to_thread(self._home.save_state, _STATE, topics)
        self._topics = topics


def _checked(text: str) -> str:
    try:
        return check_topic_name(text)
    except InvalidName as error:
        raise UsageError(f"topic: {error}") from None
