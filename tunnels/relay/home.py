"""Which beacon is our home, and which to try next. Sans-IO.

The first beacon of the list that works is our home, and stays it for as long as it works. They are tried in order, the
next one `limits.BEACON_NEXT` after the one before it, or at once when that failed; the first that lets us in wins.
A home that was lost is tried first again, because that is where others look for us; unless it fell silent.
Fallbacks are relays that peers lend: they come last, and one that is our home gives way when a beacon of the list works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tunnels.addresses import BeaconUrl


def beacon_backoff() -> Backoff:
    """How long a beacon is left alone after failures."""
    return Backoff(limits.BEACON_BACKOFF_FIRST, limits.BEACON_BACKOFF_MAX)


class HomeSearch:
    """The search, and its result; `chance` gives numbers between 0 and 1."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._urls: tuple[BeaconUrl, ...] = ()
        self._fallbacks: tuple[BeaconUrl, ...] = ()
        self._backoffs: dict[BeaconUrl, Backoff] = {}
        self._trying: set[BeaconUrl] = set()
        self._next_at = 0.0
        self._last: BeaconUrl | None = None
        self._silent: BeaconUrl | None = None
        self.home: BeaconUrl | None = None

    def set_beacons(self, urls: Iterable[BeaconUrl], fallbacks: Iterable[BeaconUrl] = ()) -> None:
        """These from now on, in this order; a home that is among them stays."""
        self._urls = tuple(dict.fromkeys(urls))
        self._fallbacks = tuple(url for url in dict.fromkeys(fallbacks) if url not in self._urls)
        self._backoffs = {
            url: self._backoffs.get(url) or beacon_backoff() for url in (*self._urls, *self._fallbacks)
        }
        self._trying &= set(self._backoffs)
        self._next_at = 0.0
        if self.home not in self._backoffs:
            self.home = None

    @property
    def trying(self) -> frozenset[BeaconUrl]:
        """Those that were to be connected and neither did nor failed yet."""
        return frozenset(self._trying)

    def to_connect(self, now: float) -> BeaconUrl | None:
        """The beacon to try now, if any; to be asked again until there is none."""
        if now < self._next_at:
            return None
        for url in self._in_order():
            if url not in self._trying and self._backoffs[url].next_attempt <= now:
                self._trying.add(url)
                self._next_at = now + limits.BEACON_NEXT
                return url
        return None

    def _eligible(self) -> tuple[BeaconUrl, ...]:
        """Those that would be a better home than what we have."""
        if self.home is None:
            return (*self._urls, *self._fallbacks)
        return self._urls if self.home in self._fallbacks else ()

    def _in_order(self) -> list[BeaconUrl]:
        return sorted(
            self._eligible(),
            key=lambda url: (url == self._silent, url in self._fallbacks, url != self._last),
        )

    def get_timer(self) -> float | None:
        """When to ask `to_connect` again; None while nothing is to be tried."""
        waiting = [self._backoffs[url].next_attempt for url in self._eligible() if url not in self._trying]
        if not waiting:
            return None
        return max(self._next_at, min(waiting))

    def connected(self, url: BeaconUrl, now: float) -> bool:
        """It let us in; whether it is our home now."""
        self._trying.discard(url)
        if url in self._eligible():
            self.home = self._last = url
            self._trying.intersection_update(self._eligible())
        return self.home == url

    def failed(self, url: BeaconUrl, now: float) -> None:
        """It did not let us in, or its connection did not last."""
        self._trying.discard(url)
        if self.home == url:
            self.home = None
        if url in self._backoffs:
            self._backoffs[url].failed(now, self._chance())
            self._next_at = now

    def given_up(self, url: BeaconUrl) -> None:
        """We ended it, or the attempt, ourselves."""
        self._trying.discard(url)
        if self.home == url:
            self.home = None

    def lost(self, url: BeaconUrl, now: float, lasted: float, *, is_silent: bool = False) -> None:
        """Its connection ended after so many seconds; one that lasted is tried again at once.

        After one that fell silent the others come first: it may let us in and be as silent again.
        """
        self._silent = url if is_silent else None
        if lasted < limits.BEACON_STEADY or url not in self._backoffs:
            self.failed(url, now)
            return
        self._backoffs[url].reset()
        self._trying.discard(url)
        if self.home == url:
            self.home = None
        self._next_at = now

    def leaving(self, url: BeaconUrl, now: float) -> None:
        """It goes away soon: look for another one while it is still there, and for it only later."""
        if self.home == url:
            self.home = None
            self._backoffs[url].failed(now, self._chance())
            self._next_at = now

    def network_changed(self, now: float) -> None:
        """What failed may work now."""
        for backoff in self._backoffs.values():
            backoff.reset()
        self._next_at = min(self._next_at, now)
