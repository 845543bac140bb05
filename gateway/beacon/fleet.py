"""Several nodes as one beacon: who is connected to which, and frames from node to node. ⚡

The database may be away at any time. Whoever is connected to this node is served all the same; who is elsewhere
counts as absent until it is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from gateway.beacon.limits import (
    BEACON_ELSEWHERE,
    BEACON_ELSEWHERE_SECONDS,
    BEACON_LOOKUPS,
    BEACON_NOWHERE_SECONDS,
    BEACON_STORE_SECONDS,
)
from gateway.beacon.stores import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.beacon.hub import Hub
    from gateway.beacon.stores import Bus, Presence
    from gateway.supervision import Supervisor
    from tunnels.identity import EndpointId

_logger = logging.getLogger(__name__)

_GATHER_SECONDS: Final = 0.02
"""For which arrivals and departures are gathered: a thousand gateways that come at once are a few announcements."""
_BATCH: Final = 1000
"""Endpoints in one announcement."""


class Fleet:
    """This node among the others."""

    def __init__(
        self,
        hub: Hub,
        presence: Presence,
        bus: Bus,
        supervisor: Supervisor,
        *,
        deliver: Callable[[EndpointId, bytes], None],
        absent: Callable[[EndpointId, EndpointId, int], None],
    ) -> None:
        """`deliver` takes a frame for an endpoint of this node; `absent` tells a sender that its receiver is nowhere."""
        self._hub = hub
        self._presence = presence
        self._bus = bus
        self._supervisor = supervisor
        self._deliver = deliver
        self._absent = absent
        self._nodes: OrderedDict[EndpointId, tuple[str | None, float]] = OrderedDict()
        """On which node each was found, and until when that is believed."""
        self._lookups = 0
        self._changed: set[EndpointId] = set()
        self._woken = asyncio.Event()
        self.ok = True
        """Whether the database answered last time; so that the log tells of it once."""

    async def start(self) -> None:
        """Listen to the other nodes, and begin to announce who is here."""
        await self._bus.start(self._deliver)
        self._supervisor.spawn(self._announce(), name="beacon presence")

    def joined(self, endpoint_id: EndpointId) -> None:
        """An endpoint is connected to this node now."""
        self._nodes.pop(endpoint_id, None)
        self._changed.add(endpoint_id)
        self._woken.set()

    left = joined

    async def who(self, endpoint_ids: tuple[EndpointId, ...]) -> set[EndpointId]:
        """Those that are connected to another node; StoreUnavailable."""
        return set(await self._presence.nodes_of(endpoint_ids)) if endpoint_ids else set()

    def send(self, sender: EndpointId, receiver: EndpointId, frame: bytes) -> None:
        """Pass a frame on to the node of its receiver, or tell its sender that there is none."""
        node, until = self._nodes.get(receiver, (None, 0.0))
        if (node is None and asyncio.get_running_loop().time() < until) or self._lookups >= BEACON_LOOKUPS:
            self._absent(sender, receiver, frame[0])
        else:
            self._lookups += 1
            self._supervisor.spawn(self._send(sender, receiver, frame), name="beacon frame")

    async def _send(self, sender: EndpointId, receiver: EndpointId, frame: bytes) -> None:
        try:
            async with asyncio.timeout(BEACON_STORE_SECONDS):
                node = await self._node_of(receiver)
                if node is not None and await self._bus.publish(node, receiver, frame):
                    self._hub.passed_on(frame)
                    return
            if node is not None:
                self._nodes.pop(receiver, None)  # it does not listen any more; ask anew
        except (StoreUnavailable, TimeoutError):
            self._failed()
        finally:
            self._lookups -= 1
        self._absent(sender, receiver, frame[0])

    async def _node_of(self, endpoint_id: EndpointId) -> str | None:
        now = asyncio.get_running_loop().time()
        node, until = self._nodes.get(endpoint_id, (None, 0.0))
        if now >= until:
            node = (await self._presence.nodes_of((endpoint_id,))).get(endpoint_id)
            believed = BEACON_ELSEWHERE_SECONDS if node is not None else BEACON_NOWHERE_SECONDS
            self._nodes[endpoint_id] = (node, now + believed)
            if len(self._nodes) > BEACON_ELSEWHERE:
                self._nodes.popitem(last=False)
        return node

    async def _announce(self) -> None:
        """Tell of arrivals and departures as they come; what cannot be told now, the store tells later."""
        while True:
            await self._woken.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            self._woken.clear()
            changed, self._changed = self._changed, set()
            try:
                await self._tell(changed)
            except StoreUnavailable:
                self._failed()
            else:
                self.ok = True

    async def _tell(self, changed: set[EndpointId]) -> None:
        here = [endpoint_id for endpoint_id in changed if self._hub.find(endpoint_id) is not None]
        for at in range(0, len(here), _BATCH):
            await self._presence.announce(tuple(here[at : at + _BATCH]))
        for endpoint_id in changed.difference(here):
            await self._presence.withdraw(endpoint_id)

    def _failed(self) -> None:
        if self.ok:
            _logger.warning("the database does not answer; this node goes on with those connected to it")
        self.ok = False
