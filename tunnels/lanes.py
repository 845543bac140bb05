"""Connections beside the main one with an endpoint, for who must not share it or its paths. ⚡

A lane is dialled and kept as the connection with an endpoint is, by a `Remote` of its own; the peer is told that it is a
side connection (`control_stream`), and opens nothing of its own on it. It ends when nobody has used it for a while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.dialing import Lane, Remote
from tunnels.errors import NoAllowedPath, TooManyLanes
from tunnels.paths.candidates import narrower

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tunnels.driver import TunnelDriver
    from tunnels.identity import EndpointId
    from tunnels.paths.candidates import PathPolicy

__all__ = ["Lane", "Lanes"]


class Lanes:
    """All of them, by endpoint; bounded."""

    def __init__(self, policy_of: Callable[[EndpointId], PathPolicy]) -> None:
        """`policy_of` tells which paths may be used to an endpoint by anybody."""
        self._policy_of = policy_of
        self._lanes: dict[tuple[EndpointId, Lane], Remote] = {}
        self._of: dict[TunnelDriver, Remote] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    def get(self, endpoint_id: EndpointId, lane: Lane) -> Remote:
        """Where that lane with an endpoint is dialled; NoAllowedPath, or TooManyLanes."""
        policy = self._policy_of(endpoint_id)
        both = narrower(policy, lane.policy)
        if both is None:
            raise NoAllowedPath(
                f"{endpoint_id.short} may be reached by {policy.value} paths, and this by {lane.policy.value} ones only: "
                "no path is both; change one of them"
            )
        remote = self._lanes.get((endpoint_id, lane))
        if remote is None:
            self._make_room(endpoint_id)
            remote = self._lanes[endpoint_id, lane] = Remote(endpoint_id, lane)
        remote.policy = both
        return remote

    def _make_room(self, endpoint_id: EndpointId) -> None:
        for key in [key for key, remote in self._lanes.items() if remote.is_idle]:
            if len(self._lanes) < limits.LANES and key[0] != endpoint_id:
                continue
            del self._lanes[key]
        with_it = sum(known == endpoint_id for known, _ in self._lanes)
        if with_it >= limits.LANES_PER_ENDPOINT or len(self._lanes) >= limits.LANES:
            raise TooManyLanes(
                f"there are {with_it} connections with {endpoint_id.short} beside the main one, as many as there may be; "
                "they end when nobody has used them for a minute"
            )

    def begun(self, driver: TunnelDriver, remote: Remote) -> None:
        """A lane is dialled by this connection."""
        self._of[driver] = remote

    def opened(self, driver: TunnelDriver, now: float) -> None:
        """A connection opened; nothing happens if it is no lane of ours."""
        remote = self._of.get(driver)
        if remote is not None:
            remote.opened(driver, now)
            driver.end_when_unused()

    def recovered(self, driver: TunnelDriver) -> None:
        """A connection is heard again."""
        remote = self._of.get(driver)
        if remote is not None:
            remote.recovered(driver)

    def closed(self, driver: TunnelDriver) -> None:
        """A connection is over."""
        remote = self._of.pop(driver, None)
        if remote is not None:
            remote.closed(driver)

    def lane_of(self, driver: TunnelDriver) -> Lane | None:
        """Which of our lanes a connection is; None if it is none."""
        remote = self._of.get(driver)
        return None if remote is None else remote.lane

    def dials(self) -> list[asyncio.Task[None]]:
        """Those under way."""
        return [remote.dial for remote in self._lanes.values() if remote.dial is not None]
