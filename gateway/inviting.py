"""Invites of a running gateway: those we made, those we took, and the codes by which they are passed on. ⚡"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.invites.held import HeldInvites
from gateway.invites.issued import IssuedInvites
from gateway.invites.passing import SpokenCodes

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Coroutine

    from gateway.home import Home
    from gateway.invites.passing import MeetingPlaces
    from resolver.signed_packets import SignedPacket
    from tunnels.identity import EndpointId, SecretKey


class Inviting:
    """Joins both sides; `start` once everything that is asked of others works."""

    def __init__(
        self,
        home: Home,
        secret_key: SecretKey,
        *,
        clock: Callable[[], float],
        admit: Callable[[str, EndpointId, SignedPacket | None], Awaitable[str]],
        granted: Callable[[], None],
        show: Callable[[EndpointId, bytes], Awaitable[bytes]],
        about_us: Callable[[], tuple[str, bytes]],
        redeemed: Callable[[EndpointId], None],
        places: Callable[[], MeetingPlaces],
        spawn: Callable[[Coroutine[object, object, None], str], asyncio.Task[None]],
    ) -> None:
        """`admit` makes a taker a contact, `granted` is called when other grants hold; `show`, `about_us` and `redeemed` are
        those of `HeldInvites`, `places` are our beacons. StateError when what is saved is damaged.
        """
        self.issued = IssuedInvites(home, secret_key, clock=clock, admit=admit, on_change=granted)
        self.held = HeldInvites(
            home, secret_key.endpoint_id, show=show, about_us=about_us, on_redeemed=redeemed, clock=clock
        )

        self.codes = SpokenCodes(secret_key.endpoint_id, places=places, spawn=spawn, clock=clock)
        self._spawn = spawn

    def start(self) -> None:
        """Begin to redeem what waits, and to end what has ended."""
        self.issued.start(self._spawn)
        self.held.start(self._spawn)

    def __repr__(self) -> str:
        return f"Inviting({self.issued!r}, {self.held!r})"
