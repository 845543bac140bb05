"""News of this machine's network: other addresses, another default route, a sleep.

The kernel tells of changes where it can (rtnetlink(7)); elsewhere the addresses are looked at every few seconds. Either
way a change counts only if it shows in what matters (`Snapshot`): containers come and go all day.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tunnels import limits
from tunnels.transports.interfaces import DefaultRoute, default_routes, interface_addresses, matters, usable

if TYPE_CHECKING:
    from collections.abc import Callable

# linux/rtnetlink.h: RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE
_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400

Clocks = tuple[float, float]
"""Seconds by the clock of the event loop, which stands still while the machine sleeps, and by one that does not."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How this machine is connected."""

    addresses: frozenset[tuple[str, str]] = frozenset()
    """Interface and ip, without loopback, link-local addresses and containers."""
    routes: frozenset[DefaultRoute] = frozenset()
    links: frozenset[tuple[str, int]] = frozenset()
    """The interfaces of these addresses and their numbers: one that was unplugged comes back with another."""
    sources: tuple[str, ...] = ()
    """The addresses from which datagrams to far places leave, which say what metrics and policies make of the routes."""

    @classmethod
    def take(cls) -> Snapshot:
        """As it is now."""
        found, defaults = interface_addresses()
        kept = [entry for entry in usable(found) if matters(entry, defaults)]
        links = []
        for interface in {entry.interface for entry in kept}:
            with suppress(OSError):  # it went away meanwhile
                links.append((interface, socket.if_nametoindex(interface)))
        addresses = frozenset((entry.interface, str(entry.ip)) for entry in kept)
        return cls(addresses, default_routes(), frozenset(links), _sources())

    def difference(self, newer: Snapshot) -> str:
        """What changed, in one line for people; empty if nothing did."""
        gone = [f"-{ip} ({interface})" for interface, ip in sorted(self.addresses - newer.addresses)]
        come = [f"+{ip} ({interface})" for interface, ip in sorted(newer.addresses - self.addresses)]
        routes = [
            f"default route by {route.gateway} ({route.interface})"
            for route in sorted(newer.routes - self.routes, key=str)
        ]
        if not routes and self.routes - newer.routes:
            routes = ["a default route is gone"]
        changes = gone + come + routes
        if not changes and newer.sources != self.sources:
            changes = [f"datagrams leave from {' and '.join(newer.sources) or 'nowhere'}"]
        if not changes:
            changes = [f"{interface} is another one" for interface, _ in sorted(newer.links - self.links)]
        more = len(changes) - limits.NETWORK_CHANGES_TOLD
        return ", ".join(changes[: limits.NETWORK_CHANGES_TOLD] + ([f"and {more} more"] if more > 0 else []))


class SleepDetector:
    """Tells that this machine, or this process, stood still. Sans-IO: fed with two clocks every `limits.SLEEP_TICK`, or sooner."""

    def __init__(self, clocks: Clocks) -> None:
        self._last = clocks

    def look(self, clocks: Clocks) -> float:
        """Seconds it stood still since the last look; 0 for less than `limits.SLEEP_NOTICED`."""
        passed, really = (now - before for now, before in zip(clocks, self._last, strict=True))
        self._last = clocks
        still = max(passed - limits.SLEEP_TICK, really - passed)  # stopped, or asleep
        return still if still > limits.SLEEP_NOTICED else 0.0


class NetworkWatch:
    """Calls `on_change` with the reason, in one line for people, on the event loop. It needs no rights."""

    def __init__(
        self,
        on_change: Callable[[str], None],
        *,
        take: Callable[[], Snapshot] = Snapshot.take,
        clocks: Callable[[], Clocks] | None = None,
    ) -> None:
        self._on_change = on_change
        self._take = take
        self._clocks = clocks or _clocks
        self._loop = asyncio.get_running_loop()
        self._socket = _netlink_socket()
        self._snapshot = take()
        self._sleep = SleepDetector(self._clocks())
        self._look_timer: asyncio.TimerHandle | None = None
        self._tick_timer = self._loop.call_later(limits.SLEEP_TICK, self._tick)
        self._looked_at = self._loop.time()
        self._look_cost = 0.0
        if self._socket is not None:
            self._loop.add_reader(self._socket, self._readable)

    @property
    def is_told(self) -> bool:
        """Whether the kernel tells of changes; else they are looked for."""
        return self._socket is not None

    def close(self) -> None:
        """Stop; idempotent."""
        self._tick_timer.cancel()
        if self._look_timer is not None:
            self._look_timer.cancel()
        self._close_socket()

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _readable(self) -> None:
        """Something changed; what, the snapshot says, after the messages that belong together have come."""
        if self._socket is None:
            return
        try:
            for _ in range(limits.NETLINK_READS):
                self._socket.recv(limits.NETLINK_BUFFER)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # more came than fits, so a change certainly did
                self._close_socket()
        if self._has_slept():
            return
        if self._look_timer is None:
            # A large routing table takes long to read, and changes all the time.
            wait = max(limits.NETWORK_SETTLES, limits.NETWORK_LOOK_SHARE * self._look_cost)
            self._look_timer = self._loop.call_later(wait, self._look)

    def _look(self) -> None:
        self._look_timer = None
        before, self._looked_at = self._snapshot, self._loop.time()
        self._snapshot = self._take()
        self._look_cost = self._loop.time() - self._looked_at
        change = before.difference(self._snapshot)
        if change:
            self._on_change(change)

    def _tick(self) -> None:
        self._tick_timer = self._loop.call_later(limits.SLEEP_TICK, self._tick)
        if (
            not self._has_slept()
            and self._socket is None
            and self._loop.time() - self._looked_at >= limits.NETWORK_POLL
        ):
            self._look()

    def _has_slept(self) -> bool:
        """Whether it has, which is told then."""
        still = self._sleep.look(self._clocks())
        if still:
            self._snapshot = self._take()
            self._on_change(f"this machine or the gateway stood still for {still:.0f} s")
        return bool(still)


def _sources() -> tuple[str, ...]:
    """What the kernel would take as source; nothing is sent by connecting a UDP socket."""
    sources = []
    for family, far in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.setblocking(False)
            probe.connect((far, 9))
            sources.append(str(probe.getsockname()[0]))
    return tuple(sources)


def _clocks() -> Clocks:
    """The second one goes on in a sleep: on Linux CLOCK_BOOTTIME, elsewhere the time of day."""
    return time.monotonic(), time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_REALTIME))


def _netlink_socket() -> socket.socket | None:
    """A socket that hears of links, addresses and routes; None where there is no such thing, or no permission."""
    if not hasattr(socket, "AF_NETLINK"):
        return None
    with suppress(OSError):
        opened = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        try:
            opened.bind((0, _GROUPS))
        except OSError:
            opened.close()
            raise
        return opened
    return None
