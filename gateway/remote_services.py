"""What other endpoints told of their services: asked over the tunnel, remembered across restarts, bounded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.dialing import DialError, Failure
from gateway.kept_state import LateRows, Table
from gateway.limits import REMOTE_SERVICES_FRESH, REMOTE_SERVICES_KNOWN, REMOTE_SERVICES_REFRESHED
from gateway.stream_header import ListedService
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.kept_state import KeptState
    from resolver.names import ServiceProtocol

TABLE: Final = Table("remote_services", ("id", "services"))


@dataclass(frozen=True, slots=True)
class KnownServices:
    """What one endpoint last told us."""

    services: tuple[ListedService, ...]
    learned_at: float | None
    """By the loop's clock; None when it was learned in an earlier run."""

    def is_fresh(self, now: float, seconds: float = REMOTE_SERVICES_FRESH) -> bool:
        """Whether it was learned within the last `seconds`, and need not be asked again."""
        return self.learned_at is not None and now - self.learned_at < seconds


class RemoteServices:
    """Lists of services by endpoint; the least recently asked for goes when there are too many."""

    def __init__(
        self,
        state: KeptState,
        ask: Callable[[EndpointId], Awaitable[list[ListedService]]],
        on_change: Callable[[EndpointId], None],
    ) -> None:
        """Read what is kept, from a thread that may wait.

        `ask` asks an endpoint over its tunnel, raising DialError; `on_change` is told when a list changed.
        """
        self._ask = ask
        self._spawn = state.spawn
        self._on_change = on_change
        self._rows = LateRows(state, TABLE)
        self._known: dict[EndpointId, KnownServices] = {}
        self._asking: dict[EndpointId, asyncio.Future[KnownServices]] = {}
        decoder = msgspec.json.Decoder(tuple[ListedService, ...])
        for key, services in state.rows(TABLE):
            try:
                self._known[EndpointId(key)] = KnownServices(decoder.decode(services), None)
            except ValueError:  # the disk changed it; it is asked for again
                continue

    def known(self, endpoint_id: EndpointId) -> KnownServices | None:
        """What the endpoint last told us, however long ago."""
        return self._known.get(endpoint_id)

    def name_at(self, endpoint_id: EndpointId, port: int, protocol: ServiceProtocol) -> str | None:
        """What the endpoint's service at a port is called, as far as it told."""
        known = self._known.get(endpoint_id)
        for service in known.services if known is not None else ():
            if service.first_port <= port <= service.last_port and protocol in service.protocols:
                return service.name
        return None

    def touch(self, endpoint_id: EndpointId) -> None:
        """Somebody asks for it: it is the last to be forgotten."""
        known = self._known.pop(endpoint_id, None)
        if known is not None:
            self._known[endpoint_id] = known

    def known_endpoints(self) -> tuple[EndpointId, ...]:
        """Every endpoint that ever told us, the least recently asked first."""
        return tuple(self._known)

    async def fetch(self, endpoint_id: EndpointId) -> KnownServices:
        """Ask the endpoint now; those who ask at the same time share the answer. DialError when it cannot be had."""
        return await asyncio.shield(self._asking.get(endpoint_id) or self._begin(endpoint_id))

    def refresh(self, endpoint_id: EndpointId) -> None:
        """Ask in the background, unless it is being asked, or too many are."""
        if endpoint_id not in self._asking and len(self._asking) < REMOTE_SERVICES_REFRESHED:
            self._begin(endpoint_id)

    def _begin(self, endpoint_id: EndpointId) -> asyncio.Future[KnownServices]:
        asking = self._asking[endpoint_id] = asyncio.get_running_loop().create_future()
        # Nobody may be waiting for it, or nobody any more.
        asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._spawn(self._fetch(endpoint_id, asking), f"services of {endpoint_id.short}")
        return asking

    def forget(self, endpoint_id: EndpointId) -> None:
        """Drop what was told."""
        if self._known.pop(endpoint_id, None) is not None:
            self._rows.delete(endpoint_id.key)

    async def close(self) -> None:
        """Write what is not written yet."""
        await self._rows.close()

    async def _fetch(self, endpoint_id: EndpointId, asking: asyncio.Future[KnownServices]) -> None:
        try:
            services = tuple(await self._ask(endpoint_id))
            known = KnownServices(services, asyncio.get_running_loop().time())
            self._learn(endpoint_id, known)
            asking.set_result(known)
        except DialError as error:
            asking.set_exception(error)
        finally:
            self._asking.pop(endpoint_id, None)
            if not asking.done():
                asking.set_exception(DialError(Failure.OFFLINE, "the gateway is stopping"))
                asking.exception()

    def _learn(self, endpoint_id: EndpointId, known: KnownServices) -> None:
        before = self._known.pop(endpoint_id, None)
        if before is None and len(self._known) >= REMOTE_SERVICES_KNOWN:
            self.forget(next(iter(self._known)))
        self._known[endpoint_id] = known
        if before is None or before.services != known.services:
            self._on_change(endpoint_id)
            self._rows.put((endpoint_id.key, msgspec.json.encode(known.services)))
