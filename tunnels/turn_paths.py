"""Paths by our TURN server: which connections need our allocation, and what is tried by way of it."""

from __future__ import annotations

import asyncio
import time
from itertools import chain, zip_longest
from math import inf
from typing import TYPE_CHECKING, Protocol

from tunnels import limits
from tunnels.addresses import Address, TurnAddress
from tunnels.nat import limits as nat_limits
from tunnels.paths.candidates import Candidate, CandidateKind, Tier, is_allowed, is_private, is_sane

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from ipaddress import IPv4Address, IPv6Address

    from tunnels.driver import TunnelDriver
    from tunnels.nat.allocation import TurnPlace

    Ip = IPv4Address | IPv6Address


class Turn(Protocol):
    """What is asked of the allocation here: `tunnels.gathering.Gatherer`."""

    @property
    def turn(self) -> TurnPlace | None:
        """Where our allocation is; None while there is none."""

    def want_turn(self, permitted: Iterable[Ip]) -> None:
        """Get one, or keep it, and let these in."""

    def release_turn(self) -> None:
        """Nobody needs it any more."""


class TurnPaths:
    """Looks at the connections when something changed, and now and then while one of them needs the allocation."""

    def __init__(self, drivers: Collection[TunnelDriver], turn: Turn) -> None:
        """`drivers` are the connections as they come and go."""
        self._drivers = drivers
        self._turn = turn
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._looked_at = -inf
        self._due = inf  # when `_timer` is; uvloop's do not say
        self._place: TurnPlace | None = None
        """The allocation as it was last."""
        self._tried: dict[TunnelDriver, tuple[Address, ...]] = {}
        """What each connection was told to try by way of it."""

    def __repr__(self) -> str:
        return f"<TurnPaths of {len(self._tried)} connections by {self._place}>"

    def close(self) -> None:
        """Look no more."""
        self._closed = True
        self._cancel()

    def look_soon(self) -> None:
        """Something changed: a path, the peer's candidates, the allocation, a connection came or went."""
        now = time.monotonic()
        due = max(now, self._looked_at + limits.TURN_LOOK_GAP)
        if self._timer is None or due < self._due:
            self._wait(due - now)

    # --- inside -----------------------------------------------------------------------------------------

    def _wait(self, seconds: float) -> None:
        self._cancel()
        if self._closed:
            return
        self._due = time.monotonic() + seconds
        self._timer = self._loop.call_later(seconds, self._look)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        now = self._looked_at = time.monotonic()
        self._timer = None
        waits = {driver: _needed_in(driver, now) for driver in self._drivers}
        peers = {
            driver: tuple(self._reached_by_turn(driver)) for driver, seconds in waits.items() if seconds <= 0
        }
        if peers:
            self._turn.want_turn(_in_turns(peers.values()))
        else:
            self._turn.release_turn()
        self._follow(now)
        self._try(peers, now)
        again = min(
            (
                max(seconds, limits.TIMER_RESOLUTION) if seconds > 0 else limits.TURN_LOOK
                for seconds in waits.values()
            ),
            default=inf,
        )
        if again < inf and self._timer is None:
            self._wait(again)

    def _follow(self, now: float) -> None:
        """Where the allocation is another one, or gone, nothing gets through by the paths of the last one."""
        if self._turn.turn == self._place:
            return
        self._place = self._turn.turn
        self._tried.clear()
        for driver in self._drivers:
            for address in driver.paths.addresses:
                if isinstance(address, TurnAddress):
                    driver.paths.failed(address, now)
                    driver.schedule_flush()

    def _try(self, peers: dict[TunnelDriver, tuple[Address, ...]], now: float) -> None:
        self._tried = {driver: tried for driver, tried in self._tried.items() if driver in peers}
        if self._place is None:
            return
        for driver, addresses in peers.items():
            if self._tried.get(driver) == addresses:
                continue
            self._tried[driver] = addresses
            by_turn = [TurnAddress(self._place.server, address) for address in addresses]
            driver.paths.add_candidates(
                [Candidate(address, CandidateKind.RELAYED) for address in by_turn], now
            )
            driver.schedule_flush()

    def _reached_by_turn(self, driver: TunnelDriver) -> Iterator[Address]:
        """The peer's addresses that a server on the internet can send to; nobody shall point ours at other services."""
        place = self._turn.turn
        for candidate in driver.paths.peer_candidates[: limits.MAX_CANDIDATES]:
            address = candidate.address
            if (
                isinstance(address, Address)
                and not is_private(address)
                and is_sane(address, with_loopback=False)
                and (place is None or address not in (place.server, place.relayed))
            ):
                yield address


def _needed_in(driver: TunnelDriver, now: float) -> float:
    """Seconds until a connection needs our allocation if nothing changes; infinity if it does not."""
    paths = driver.paths
    if not driver.is_usable or not is_allowed(paths.policy, Tier.TURN):
        return inf
    reports = paths.report(now)
    selected = next((path for path in reports if path.is_selected), None)
    if selected is None or selected.tier <= Tier.TCP:
        return inf
    if selected.tier is Tier.RELAY:  # a direct path is found within that time, or not
        return max(0.0, limits.TURN_AFTER - (selected.selected_for or 0.0))
    if isinstance(selected.address, TurnAddress) or any(
        _is_heard_by_turn(path.address, path.heard_ago) for path in reports
    ):
        return 0.0
    return inf  # the peer's allocation serves both directions


def _is_heard_by_turn(address: object, heard_ago: float | None) -> bool:
    return isinstance(address, TurnAddress) and heard_ago is not None and heard_ago < limits.PATH_CONSENT


def _in_turns(peers: Iterable[tuple[Address, ...]]) -> tuple[Ip, ...]:
    """The ips, the first of each peer first: only so many are let in, and no peer shall crowd out another."""
    found = (address.ip for address in chain.from_iterable(zip_longest(*peers)) if address is not None)
    return tuple(dict.fromkeys(found))[: nat_limits.TURN_PEERS]
