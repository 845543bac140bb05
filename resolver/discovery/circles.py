"""Contacts of contacts as a record source: what contacts passed on, and are asked again for when it is some time ago."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resolver.discovery.base import Scope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resolver.signed_packets import SignedPacket
    from tunnels.identity import EndpointId


class CirclesSource:
    """The records that contacts gave us of contacts of theirs. None of them is told whom we look for."""

    name = "contacts of contacts"
    scope = Scope.PUBLIC

    def __init__(
        self,
        packet_of: Callable[[EndpointId], SignedPacket | None],
        ask_again: Callable[[], Awaitable[None]],
    ) -> None:
        """`packet_of` gives what is known now, `ask_again` asks who has not been asked lately, for a moment."""
        self._packet_of = packet_of
        self._ask_again = ask_again

    async def find(self, endpoint_id: EndpointId) -> SignedPacket | None:
        """The newest record that a contact passed on."""
        await self._ask_again()
        return self._packet_of(endpoint_id)

    async def publish(self, packet: SignedPacket) -> None:
        """Nothing to do: contacts are given our record when we ask them (`gateway.introductions`)."""
