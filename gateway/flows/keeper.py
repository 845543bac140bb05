"""Keeps flows within their bounds and ends the idle ones: a `FlowTable` with one timer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from gateway.flows.table import FlowTable, TableFull
from gateway.limits import FLOW_IDLE_SECONDS, FLOWS, FLOWS_PER_ENDPOINT

if TYPE_CHECKING:
    from collections.abc import Hashable


class Expiring(Protocol):
    """What a keeper keeps."""

    def expire(self) -> None:
        """End: idle too long, or room is needed, or everything ends. The keeper has forgotten it already."""

    def __hash__(self) -> int:
        """Flows are told apart by identity."""


class FlowKeeper:
    """Flows of many owners; every flow is told by `expire` when its time is over."""

    def __init__(
        self, *, idle: float = FLOW_IDLE_SECONDS, per_owner: int = FLOWS_PER_ENDPOINT, total: int = FLOWS
    ) -> None:
        """`idle` in seconds; the bounds are what `FlowTable` says."""
        self._table: FlowTable[Expiring] = FlowTable(idle=idle, per_owner=per_owner, total=total)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._table)

    def count(self, owner: Hashable) -> int:
        """How many an owner has."""
        return self._table.count(owner)

    def add(self, flow: Expiring, owner: Hashable) -> bool:
        """Take a flow in, at the cost of the owner's flow idle longest if need be; False when there is no room."""
        try:
            out = self._table.add(flow, owner, self._loop.time())
        except TableFull:
            return False
        if out is not None:
            out.expire()
        self._arm()
        return True

    def touch(self, flow: Expiring) -> None:
        """A datagram went through the flow."""
        self._table.touch(flow, self._loop.time())

    def remove(self, flow: Expiring) -> None:
        """The flow ended otherwise; idempotent."""
        self._table.remove(flow)

    def close(self) -> None:
        """End all flows."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for flow in self._table.clear():
            flow.expire()

    def _arm(self) -> None:
        when = self._table.next_expiry
        if self._timer is None and when is not None:
            self._timer = self._loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        for flow in self._table.expired(self._loop.time()):
            flow.expire()
        self._arm()
