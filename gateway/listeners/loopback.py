"""The loopback listeners as a whole: told what is wanted, they open, close, and report what could be had."""

from __future__ import annotations

import asyncio
import logging
from itertools import islice
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
        refusal: Callable[[], str] = lambda: "",
    ) -> None:
        """`on_crowded_out` is told when a listener gave way to another one; `refusal` says why there is no room for a connection."""
        self._on_crowded_out = on_crowded_out
        self._dialer = dialer
        self._spawn = spawn
        self._limit = limit
        self._connections = Connections(
            dialer, spawn, limit=connection_limit, dial_limit=dial_limit, refusal=refusal
        )
        self._keeper = FlowKeeper(idle=idle_seconds, per_owner=LISTENER_SOURCES, total=LISTENER_SOURCES_TOTAL)
        self._lock = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._listening: dict[Key, tuple[Binding, asyncio.Server | UdpListener]] = {}
        """The one used longest ago first."""
        self._status: dict[Key, ListenerStatus] = {}
        self._owned: dict[str, set[Key]] = {}
        """Those in `_status`, by the names of their endpoints."""
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
                note = f"{self._limit} listeners are the most there are; others were used later"
                self._tell(ListenerStatus(binding, None, note))
            keys = {binding.key for binding in wanted}
            for key in self._status.keys() - keys:
                self._close(key)

    async def update(self, owner: str, desired: Iterable[Binding]) -> None:
        """As `apply`, of what the endpoint with the name `owner` has: of that, exactly these are listened for.

        Nothing of others is looked at. These bindings count as used now; where there is no room those of others that
        were used longest ago give way.
        """
        wanted: dict[Key, Binding] = {}
        for binding in desired:
            wanted.setdefault(binding.key, binding)
        async with self._lock:
            for key in tuple(self._owned.get(owner, ())):
                if wanted.get(key) != self._status[key].binding:
                    self._close(key)
            for key, binding in islice(wanted.items(), self._limit):
                self.touch(key)
                if key not in self._listening:
                    self._make_room(wanted)
                    await self._open(binding)

    def _make_room(self, wanted: Mapping[Key, Binding]) -> None:
        """Close the listener used longest ago if there are as many as there may be."""
        if len(self._listening) >= self._limit:
            oldest = next((key for key in self._listening if key not in wanted), None)
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
        if key in self._listening:
            self._listening[key] = self._listening.pop(key)

    async def close(self) -> None:
        """Close all listeners, reset all connections, end all flows."""
        async with self._lock:
            for key in list(self._status):
                self._close(key)
            self._connections.close()
            self._keeper.close()

    async def _open(self, binding: Binding) -> None:
        try:
            sock, place, note = bind(binding)
        except OSError as error:
            note = f"nothing listens for {binding}: {reason(error)}"
            _logger.warning("%s", note)
            self._tell(ListenerStatus(binding, None, note))
            return
        listener: asyncio.Server | UdpListener
        if binding.protocol is ServiceProtocol.TCP:
            listener = await listen_tcp(sock, binding, self._connections, self._on_used)
        else:
            listener = UdpListener(sock, binding, self._dialer, self._spawn, self._keeper, self._on_used)
        self._listening[binding.key] = binding, listener
        self._tell(ListenerStatus(binding, place, note))
        if note:
            _logger.info("%s listens at %s:%d: %s", binding.host, *place, note)

    def _tell(self, status: ListenerStatus) -> None:
        """Note how a binding is served."""
        self._status[status.binding.key] = status
        self._owned.setdefault(_owner(status.binding), set()).add(status.binding.key)

    def _close(self, key: Key) -> None:
        """End the listener of a binding, if it has one, and forget the binding."""
        _, listener = self._listening.pop(key, (None, None))
        self._used.pop(key, None)
        status = self._status.pop(key, None)
        if status is not None:
            owner = _owner(status.binding)
            self._owned[owner].discard(key)
            if not self._owned[owner]:
                del self._owned[owner]
        if listener is not None:
            listener.close()

    def _on_used(self, binding: Binding) -> None:
        self.touch(binding.key)


def _owner(binding: Binding) -> str:
    """The name of the endpoint: of `web.<id>.overlay` that without the service."""
    return ".".join(binding.host.split(".")[-2:])
