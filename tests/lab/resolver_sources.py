"""A RecordSource for tests: what it finds is set by hand, when it answers is set by an event."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resolver.discovery.base import Scope

if TYPE_CHECKING:
    from resolver.signed_packets import SignedPacket
    from tunnels.identity import EndpointId


class FakeSource:
    """Answers `found` (a packet, an error to raise, or None) once `release` is set; remembers what it was asked."""

    def __init__(
        self,
        name: str,
        found: SignedPacket | Exception | None = None,
        *,
        waits: bool = False,
        scope: Scope = Scope.PUBLIC,
    ) -> None:
        self.name = name
        self.scope = scope
        self.found = found
        self.release = asyncio.Event()
        self.asked: list[EndpointId] = []
        self.published: list[SignedPacket] = []
        if not waits:
            self.release.set()

    async def find(self, endpoint_id: EndpointId) -> SignedPacket | None:
        self.asked.append(endpoint_id)
        await self.release.wait()
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    async def publish(self, packet: SignedPacket) -> None:
        await self.release.wait()
        if isinstance(self.found, Exception):
            raise self.found
        self.published.append(packet)
