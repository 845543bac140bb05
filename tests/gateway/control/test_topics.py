"""What `overlay topic` asks and is told survives the wire, and manifests that make no sense do not."""

from __future__ import annotations

import msgspec
import pytest

from gateway.control.topics import JoinTopicRequest, TopicPeerReport, TopicReport
from gateway.topics.manifest import Manifest
from tests.lab.control import FakeGateway


async def test_reports_survive_the_wire() -> None:
    gateway = FakeGateway()
    report = await gateway.join_topic(JoinTopicRequest(name="chat", manifest=Manifest(name="Chat")))
    assert msgspec.json.decode(msgspec.json.encode(report), type=TopicReport) == report
    for peer in await gateway.topic_peers("chat"):
        assert msgspec.json.decode(msgspec.json.encode(peer), type=TopicPeerReport) == peer


@pytest.mark.parametrize(
    "request_",
    [
        "{}",
        '{"name": "chat", "manifest": {}}',
        '{"name": "chat", "manifest": {"name": ""}}',
        '{"name": "chat", "manifest": {"name": "a\\u0007"}}',
        '{"name": "chat", "colour": "blue"}',
    ],
)
def test_what_makes_no_sense_is_refused(request_: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(request_, type=JoinTopicRequest)
