"""The NAT64 of this network, looked for while this machine has IPv6 only. ⚡

What is above knows IPv4 addresses as everywhere: they are translated on the way to the socket and from it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any

from tunnels import limits
from tunnels.nat.nat64 import NAME, found_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from tunnels.addresses import Address
    from tunnels.nat.nat64 import Nat64

    Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]

_logger = logging.getLogger(__name__)


async def ask_resolver() -> list[IPv6Address]:
    """What this machine's resolver says to the name; empty if it says nothing."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(NAME, None, family=socket.AF_INET6, type=socket.SOCK_DGRAM)
    except OSError:  # no such name, or nobody who knows
        return []
    return [IPv6Address(sockaddr[0]) for *_, sockaddr in found]


class Nat64Finder:
    """Knows the NAT64, and translates addresses by it; without one, addresses stay as they are."""

    def __init__(
        self,
        *,
        is_needed: Callable[[], bool],
        on_change: Callable[[], None],
        spawn: Spawn,
        ask: Callable[[], Awaitable[list[IPv6Address]]] = ask_resolver,
    ) -> None:
        """`is_needed`: there is IPv6 and no IPv4; `on_change` is called when `nat64` is another one than before."""
        self._is_needed = is_needed
        self._on_change = on_change
        self._spawn = spawn
        self._ask = ask
        self._task: asyncio.Task[None] | None = None
        self.nat64: Nat64 | None = None

    def __repr__(self) -> str:
        return f"<Nat64Finder {self.nat64.prefix if self.nat64 is not None else 'without a NAT64'}>"

    def look(self) -> None:
        """The network is another one, or the first: what is known of it is found out anew."""
        self.close()
        if self._is_needed():
            self._task = self._spawn(self._find(), "looking for a NAT64")
        else:
            self._set(None)

    def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def outward(self, address: Address) -> Address | None:
        """Where to send what is for that address; None if there is no way."""
        return address if self.nat64 is None else self.nat64.outward(address)

    def inward(self, address: Address) -> Address:
        """From where something came."""
        return address if self.nat64 is None else self.nat64.inward(address)

    async def _find(self) -> None:
        """Several times, as the resolver of a network that has just come up may not be there yet."""
        for attempt in range(limits.NAT64_TRIES):
            if attempt:
                await asyncio.sleep(limits.NAT64_RETRY * attempt)
            try:
                async with asyncio.timeout(limits.NAT64_WAIT):
                    found = found_in(await self._ask())
            except TimeoutError:
                continue
            if found is not None:
                self._set(found)
                return
        self._set(None)

    def _set(self, nat64: Nat64 | None) -> None:
        if nat64 == self.nat64:
            return
        self.nat64 = nat64
        if nat64 is not None:
            _logger.info("IPv4 addresses are reached by the NAT64 of this network, %s", nat64.prefix)
        self._on_change()
