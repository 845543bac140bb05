"""What is told and asked of topics."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.answers.base import Answers
from gateway.control.topics import JoinTopicRequest, TopicPeerReport, TopicReport
from gateway.errors import UsageError
from resolver.topics import topic_id, topic_text

if TYPE_CHECKING:
    from gateway.topics.manifest import Manifest
    from gateway.topics.service import Topics
    from gateway.topics.swarm import Peer


class TopicAnswers(Answers):
    """Topics: join, leave, list, and who is in one."""

    async def topics(self) -> tuple[TopicReport, ...]:
        room = self._topics()
        return tuple(self._topic(name, manifest) for name, manifest in room.joined.topics.items())

    async def join_topic(self, request: JoinTopicRequest) -> TopicReport:
        name, was_there = await self._topics().join(request.name, request.manifest)
        return self._topic(name, request.manifest, joined_before=was_there)

    async def leave_topic(self, name: str) -> TopicReport:
        left, manifest = await self._topics().leave(name)
        return TopicReport(name=left, id=topic_text(topic_id(left)), manifest=manifest)

    async def topic_peers(self, name: str) -> tuple[TopicPeerReport, ...]:
        room = self._topics()
        now = asyncio.get_running_loop().time()
        return tuple(
            self._topic_peer(peer, now) for peer in room.discovery.peers(room.joined.check_joined(name))
        )

    def _topics(self) -> Topics:
        room = self.parts.topics
        if room is None:
            raise UsageError("topic: this gateway keeps no topics")
        return room

    def _topic(self, name: str, manifest: Manifest | None, *, joined_before: bool = False) -> TopicReport:
        discovery = self._topics().discovery
        warnings = [f"{source}: {why}" for source, why in discovery.failures.items()]
        if (
            manifest is not None
            and manifest.service
            and self.parts.exposed.book.get(manifest.service) is None
        ):
            warnings.append(
                f"the manifest names the service {manifest.service}, which is not exposed; "
                f"do so with: overlay expose {manifest.service} TARGET --allow WHO"
            )
        return TopicReport(
            name=name,
            id=topic_text(topic_id(name)),
            manifest=manifest,
            peers=len(discovery.peers(name)),
            joined_before=joined_before,
            warnings=tuple(warnings),
        )

    def _topic_peer(self, peer: Peer, now: float) -> TopicPeerReport:
        contact = self.parts.contacts.book.find_id(peer.endpoint_id)
        owner = contact.petname if contact is not None else str(peer.endpoint_id)
        service = f"{peer.manifest.service}." if peer.manifest is not None and peer.manifest.service else ""
        return TopicPeerReport(
            endpoint_id=str(peer.endpoint_id),
            petname=contact.petname if contact is not None else "",
            manifest=peer.manifest,
            host=f"{service}{owner}.overlay",
            source=peer.source,
            seconds=now - peer.since,
            verified_seconds=now - peer.verified_at,
        )
