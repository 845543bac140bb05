"""When a connection's paths are asked: all of them, those in use, or a better one. Sans-IO.

What is asked begins a round on a path (`probing.Round`); the pings themselves are sent by `path_set`.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.paths.candidates import Tier
from tunnels.paths.path import PathState

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunnels.paths.path import Path
    from tunnels.paths.table import PathTable
    from tunnels.paths.trace import Trace


class Attention:
    """For one connection; `chance` gives so many random bytes."""

    __slots__ = (
        "_chance",
        "_maintain_at",
        "_maintained_at",
        "_round_at",
        "_round_wait",
        "_rounds_unheard",
        "_suspect_at",
        "_table",
        "_trace",
        "flow_at",
        "is_heard",
        "used_at",
    )

    def __init__(self, table: PathTable, trace: Trace, chance: Callable[[int], bytes]) -> None:
        self._table = table
        self._trace = trace
        self._chance = chance
        self.is_heard = False
        """Whether the peer has sent a check: it knows what they are."""
        self.used_at = -inf
        """When data last flowed."""
        self.flow_at = -inf
        """When datagrams of the connection last came, whatever was in them."""
        self._rounds_unheard = 0
        self._round_wait = limits.ROUND_EVERY
        self._round_at = inf
        self._maintain_at = inf
        self._maintained_at = -inf
        self._suspect_at = inf

    def is_active(self, now: float) -> bool:
        """Whether data flowed lately."""
        return now - self.used_at <= limits.ACTIVE_FOR

    def opened(self, now: float) -> None:
        """The connection is open."""
        self._maintain_at = now + limits.PING_ACTIVE
        self.ask_all(now, "the connection is open")

    def used(self, now: float) -> bool:
        """Data flows; whether the paths are to be asked now, because they were not while nothing flowed."""
        was_active = self.is_active(now)
        self.used_at = now
        if was_active or self._maintain_at == inf:
            return False
        self._maintain_at = now
        return True

    def acknowledged(self, now: float) -> None:
        """QUIC's own keepalive was answered on the selected path: while nothing else is to be kept, no ping is needed."""
        if not self.is_active(now) and self._maintain_at < inf and self._table.standby(now) is None:
            self._maintain_at = now + limits.PING_IDLE * (1 + limits.PING_JITTER)

    def ask_all(self, now: float, why: str, *, anew: bool = True) -> None:
        """Begin a round on every path, and soon again while nothing direct works.

        `anew`: also where a round is under way.
        """
        self._trace.add(now, f"asked all {len(self._table)} paths", why)
        for path in self._table:
            if anew or not path.round.is_under_way:
                path.round.begin(now, self._table.pings(path))
        self.look_soon(now)

    def look_soon(self, now: float) -> None:
        """Look for something better within `limits.ROUND_EVERY`."""
        self._round_wait = limits.ROUND_EVERY
        self._round_at = min(self._round_at, now + self._round_wait) if self._round_at > now else now

    def ask_usable(self, now: float) -> None:
        """One ping on each path that works, or should."""
        for path in self._table:
            if path is self._table.selected or path.state is PathState.USABLE:
                path.round.once(now)

    def suspect(self, now: float) -> bool:
        """QUIC hears nothing, and somebody waits: ask all until that ends; False if that was so before."""
        was_so = self._suspect_at < inf
        if not was_so:
            self._suspect_at = now + limits.SUSPECT_PING_EVERY
        return not was_so

    def relax(self) -> None:
        """QUIC hears the peer again, or nobody waits."""
        self._suspect_at = inf

    @property
    def due(self) -> float:
        """When `handle_timer` has something to do."""
        return min(self._round_at, self._maintain_at, self._suspect_at)

    def handle_timer(self, now: float) -> None:
        """Begin the rounds that are due."""
        if now >= self._round_at:
            self._next_round(now)
        if now >= self._maintain_at:
            self._maintain(now)
        if now >= self._suspect_at:
            self._suspect_at = now + limits.SUSPECT_PING_EVERY
            for path in self._table:
                path.round.once(now)

    def _next_round(self, now: float) -> None:
        """Look for something better: everywhere while nothing direct works, else now and then."""
        if not self.is_heard:
            self._rounds_unheard += 1
            if self._rounds_unheard >= limits.ROUNDS_UNHEARD:
                self._trace.add(now, "checks given up", "the peer does not answer any")
                self._round_at = self._maintain_at = inf
                return
        selected = self._table.selected
        if selected is None or selected.candidate.tier > Tier.DIRECT or self._is_lost(selected, now):
            pings = limits.ROUND_PINGS if self.is_active(now) else limits.SCAN_PINGS
            for path in self._table:
                if path is not selected and not path.round.is_under_way:
                    path.round.begin(now, self._table.pings(path, pings, vain=limits.VAIN_PINGS))
            self._round_at = now + self._round_wait
            self._round_wait = min(2 * self._round_wait, limits.ROUND_EVERY_MAX)
        else:
            self._round_at = now + limits.SCAN_EVERY
            self._round_wait = limits.ROUND_EVERY
            if selected.min_rtt > limits.SCAN_GOOD_ENOUGH:
                for path in self._table:
                    if path is not selected and not path.round.is_under_way and not path.has_consent(now):
                        path.round.begin(
                            now, self._table.pings(path, limits.SCAN_PINGS, vain=limits.VAIN_PINGS)
                        )

    def _is_lost(self, path: Path, now: float) -> bool:
        return path.is_failing(now) or not path.has_consent(now)

    def _maintain(self, now: float) -> None:
        """Ping the selected path and the relay beside it, at intervals, and when a flow of data has just stopped."""
        is_active = self.is_active(now)
        interval = limits.PING_ACTIVE if is_active else limits.PING_IDLE
        has_stopped = self._maintained_at < self.flow_at <= now - limits.PING_WHEN_QUIET
        if not is_active or has_stopped or now - self._maintained_at >= interval:
            self._maintained_at = now
            for path in (self._table.selected, self._table.standby(now)):
                if path is not None:
                    path.round.once(now)
        spread = 1 - limits.PING_JITTER + 2 * limits.PING_JITTER * self._chance(1)[0] / 255
        self._maintain_at = now + (limits.PING_WHEN_QUIET if is_active else interval) * spread
