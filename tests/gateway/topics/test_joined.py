"""Topics that are joined: kept, bounded, and told how to be left."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import StateError, UsageError
from gateway.home import Home
from gateway.limits import TOPICS
from gateway.topics.joined import JoinedTopics
from gateway.topics.manifest import Manifest

APP = Manifest(name="App", service="web")


@pytest.fixture
def home(tmp_path) -> Home:
    made = Home(tmp_path)
    made.create()
    return made


async def test_what_is_joined_is_there_after_a_restart(home):
    joined = JoinedTopics(home)
    assert await joined.join("Chat", APP) == ("chat", False)
    assert await joined.join("game", None) == ("game", False)
    assert dict((await asyncio.to_thread(JoinedTopics, home)).topics) == {"chat": APP, "game": None}
    assert await joined.leave("CHAT") == ("chat", APP)
    assert dict((await asyncio.to_thread(JoinedTopics, home)).topics) == {"game": None}


async def test_joining_again_changes_the_manifest(home):
    joined = JoinedTopics(home)
    await joined.join("chat", None)
    assert await joined.join("chat", APP) == ("chat", True)
    assert dict(joined.topics) == {"chat": APP}


async def test_what_makes_no_sense_is_refused_with_the_remedy(home):
    joined = JoinedTopics(home)
    with pytest.raises(UsageError, match="has only letters"):
        await joined.join("a b", None)
    with pytest.raises(UsageError, match="for topics of gateways"):
        await joined.join("overlay.lend", None)
    with pytest.raises(UsageError, match="overlay topic join chat"):
        await joined.leave("chat")
    assert dict(joined.topics) == {}


async def test_a_gateway_is_in_a_few_topics_only(home):
    joined = JoinedTopics(home)
    for number in range(TOPICS):
        await joined.join(f"topic-{number}", None)
    with pytest.raises(UsageError, match="which is the most; leave one"):
        await joined.join("one-more", None)
    await joined.join("topic-0", APP)
    assert len(joined.topics) == TOPICS


async def test_a_state_that_cannot_be_saved_changes_nothing(home, monkeypatch):
    joined = JoinedTopics(home)

    def fail(self, name, value):
        raise StateError("the disk is full")

    monkeypatch.setattr(Home, "save_state", fail)
    with pytest.raises(StateError):
        await joined.join("chat", None)
    assert dict(joined.topics) == {}


@pytest.mark.parametrize("text", ['{"a b": null}', '{"chat": 7}', '{"chat": {"name": ""}}'])
def test_a_damaged_file_is_told_with_the_remedy(home, text):
    home.state_file("topics").write_text(text)
    with pytest.raises(StateError, match="move it away"):
        JoinedTopics(home)
