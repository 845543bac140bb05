"""How things are with each beacon, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tunnels.addresses import BeaconUrl
    from tunnels.identity import EndpointId
    from tunnels.relay.frames import Welcome


class RelayState(Enum):
    """How things are with a beacon."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    """It failed, and is tried again later."""
    CLOSED = "closed"
    """Nobody needs it now."""


@dataclass(frozen=True, slots=True)
class RelayStatus:
    """One beacon, for people and for whoever needs its servers."""

    url: BeaconUrl
    state: RelayState
    is_home: bool
    connected_seconds: float | None
    """Since it let us in; None while it has not."""
    welcome: Welcome | None
    """What it offers: STUN and TURN servers, limits, the address it sees us at."""
    beacon_id: EndpointId | None
    bytes_sent: int
    bytes_received: int
    error: str
    """Why it is not connected, or was not the last time; empty if it never failed."""


def home_of(relays: Iterable[RelayStatus]) -> RelayStatus | None:
    """Our home among them, once it has told what it offers."""
    return next((relay for relay in relays if relay.is_home and relay.welcome is not None), None)
