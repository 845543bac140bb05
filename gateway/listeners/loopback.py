"""The loopback listeners as a whole: told what is wanted, they open, close, and report what could be had."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from gateway.flows.keeper import FlowKeeper
from gateway.limits import (
    FLOW_IDLE_SECONDS,
    LISTENER_CONNECTIONS,
    LISTENER_DIALS,
    LISTENER_SOURCES,
    LISTENER_SOURCES_TOTAL,
    LISTENERS,
)
from gateway.listeners.binding_sockets import bind, reason
from gateway.listeners.bindings import Binding, ListenerStatus, plan
from gateway.listeners.tcp import Connections, listen_tcp
from gateway.listeners.udp import UdpListener
from resolver.names import ServiceProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gateway.dialing import Dialer
    from gateway.listeners.bindings import Key, Place
    from gateway.listeners.tcp import Spawn

_logger = logging.getLogger(__name__)


class LoopbackListeners:
    """Listeners for what is wanted. Connections outlive their listener; `close` ends them too."""

    def __init__(
        self,
        dialer: Dialer,
        spawn: Spawn,
        *,
        limit: int = LISTENERS,
        connection_limit: int = LISTENER_CONNECTIONS,
        dial_limit: int = LISTENER_DIALS,
        idle_seconds: float = FLOW_IDLE_SECONDS,
        on_crowded_out: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_crowded_out` is told when a listener gave way to another one."""
        self._on_crowded_out = on_crowded_out
        self._dialer = dialer
        self._spawn = spawn
        self._limit = limit
        self._connections = Connections(dialer, spawn, limit=connection_limit, dial_limit=dial_limit)
        self._keeper = FlowKeeper(idle=idle_seconds, per_owner=LISTENER_SOURCES, total=LISTENER_SOURCES_TOTAL)
        self._lock = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._listening: dict[Key, tuple[Binding, asyncio.Server | UdpListener]] = {}
        self._status: dict[Key, ListenerStatus] = {}
        self._used: dict[Key, float] = {}

    def __repr__(self) -> str:
        return f"LoopbackListeners({len(self._listening)} listening, {self.connections} connections)"

    @property
    def connections(self) -> int:
        """TCP connections that are open or being opened."""
        return len(self._connections.open)

    async def apply(self, desired: Iterable[Binding]) -> None:
        """Listen for exactly these, as far as possible; what cannot be had is in `status`, never an error.

        Bindings that did not change are not touched, and no connection is; what failed before is tried again.
        When there are more than the limit, those not used for longest give way; an order for those never used is
        that of `desired`.
        """
        wanted = list(desired)
        async with self._lock:
            current = {key: binding for key, (binding, _) in self._listening.items()}
            steps = plan(current, wanted, self._used, self._limit)
            for key in steps.close:
                self._close(key)
            for binding in steps.open:
                await self._open(binding)
            for binding in steps.refused:
                self._status[binding.key] = ListenerStatus(
                    binding, None, f"{self._limit} listeners are the most there are; others were used later"
                )
            keys = {binding.key for binding in wanted}
            for key in self._status.keys() - keys:
                del self._status[key]
                self._used.pop(key, None)

    async def update(self, owner: Callable[[Binding], bool], desired: Iterable[Binding]) -> None:
        """As `apply`, of what one owner has: of that, exactly these are listened for, and nothing of others is looked at.

        Its bindings count as used now; where there is no room those of others that were used longest ago give way.
        """
        wanted = {binding.key: binding for binding in reversed(list(desired))}
        async with self._lock:
            for key, status in list(self._status.items()):
                if owner(status.binding) and wanted.get(key) != status.binding:
                    self._close(key)
            for key, binding in list(reversed(wanted.items()))[: self._limit]:
                self.touch(key)
                if key not in self._listening:
                    self._make_room(wanted)
                    await self._open(binding)

    def _make_room(self, wanted: Mapping[Key, Binding]) -> None:
        """Close the listener used longest ago if there are as many as there may be."""
        if len(self._listening) >= self._limit:
            others = (key for key in self._listening if key not in wanted)
            oldest = min(others, key=lambda key: self._used.get(key, 0.0), default=None)
            if oldest is not None:
                self._close(oldest)
                self._on_crowded_out()

    def status(self) -> tuple[ListenerStatus, ...]:
        """Each binding that is wanted, and how it is served."""
        return tuple(self._status.values())

    def place_of(self, key: Key) -> Place | None:
        """Where a binding's listener really is; None when it has none."""
        status = self._status.get(key)
        return status.place if status is not None else None

    def touch(self, key: Key) -> None:
        """Somebody asked for this binding, by DNS for instance: it is the last to give way at the next `apply`."""
        self._used[key] = self._loop.time()

    async def close(self) -> None:
        """Close all listeners, reset all connections, end all flows."""
        async with self._lock:
            for key in list(self._listening):
                self._close(key)
            self._status.clear()
            self._connections.close()
            self._keeper.close()

    async def _open(self, binding: Binding) -> None:
        try:
            sock, place, note = bind(binding)
        except OSError as error:
            note = f"nothing listens for {binding}: {reason(error)}"
            _logger.warning("%s", note)
            self._status[binding.key] = ListenerStatus(binding, None, note)
            return
        listener: asyncio.Server | UdpListener
        if binding.protocol is ServiceProtocol.TCP:
            listener = await listen_tcp(sock, binding, self._connections, self._on_used)
        else:
            listener = UdpListener(sock, binding, self._dialer, self._spawn, self._keeper, self._on_used)
        self._listening[binding.key] = binding, listener
        self._status[binding.key] = ListenerStatus(binding, place, note)
        if note:
            _logger.info("%s listens at %s:%d: %s", binding.host, *place, note)

    def _close(self, key: Key) -> None:
        """End the listener of a binding, if it has one, and forget the binding."""
        _, listener = self._listening.pop(key, (None, None))
        self._status.pop(key, None)
        self._used.pop(key, None)
        if listener is not None:
            listener.close()

    def _on_used(self, binding: Binding) -> None:
        self.touch(binding.key)
