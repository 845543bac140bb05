"""Gateways at the two ends of a link that is long, narrow, lossy or broken; link.py is the link."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from bench.places import LINKS, NARROW, Link, Unavailable, Way, resident_bytes

if TYPE_CHECKING:
    from bench.measures import Bench

MEGA = 1e6
ENGINES = ("listener", "aioquic")
LOSSES = (0, 1, 3, 5)  # percent
BACK = 0.8
BACK_SECONDS = 60.0
STEP = 0.1
SECOND = round(1 / STEP)
SHRUNK = 1250
RAISED_SECONDS = 14  # longer than a tunnel waits after a fallback before it tries larger sizes again


class Download:
    """Bytes without end by a way, read by ourselves and counted in steps."""

    def __init__(self, way: Way) -> None:
        host, _, port = way.place.rpartition(":")
        self._sock = socket.create_connection((host, int(port)), timeout=20)
        self._view = bytearray(1024 * 1024)
        self._sock.sendall(b"D")

    def __enter__(self) -> Download:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def steps(self, count: int) -> list[int]:
        """Bytes in each of the next steps."""
        found, end = [], time.monotonic()
        for _ in range(count):
            end += STEP
            moved = 0
            while (left := end - time.monotonic()) > 0:
                self._sock.settimeout(left)
                try:
                    size = self._sock.recv_into(self._view)
                except TimeoutError:
                    break
                if not size:
                    raise Unavailable("the download ended")
                moved += size
            found.append(moved)
        return found

    def seconds_until_back(self) -> float:
        """From now on until the first second at nearly the link's rate."""
        found: list[int] = []
        while len(found) * STEP < BACK_SECONDS:
            found += self.steps(SECOND)
            for start in range(len(found) - SECOND + 1):
                if sum(found[start : start + SECOND]) >= BACK * NARROW["rate"]:
                    return start * STEP
        last = sum(found[-5 * SECOND :]) / 5 / MEGA
        raise Unavailable(f"not back within {BACK_SECONDS:.0f} s: {last:.2f} MB/s at the end")


def stalled(steps: list[int]) -> float:
    """Seconds of the longest time without progress."""
    longest = current = 0
    for moved in steps:
        current = 0 if moved else current + 1
        longest = max(longest, current)
    return longest * STEP


def links(bench: Bench) -> None:
    """Gateways at the two ends of a link that is long, narrow, lossy, or changes; see link.py."""
    links_lossy(bench)
    links_stepping(bench)
    links_breaking(bench)
    links_shrinking(bench)
    links_long(bench)


def linked(bench: Bench, name: str, purpose: str = "narrow", **settings: float) -> tuple[Link, Way]:
    pair = bench.world.pair("aioquic" if name == "aioquic" else "qh3", purpose)
    if pair.link is None:
        raise Unavailable("the gateways have no link")
    pair.link.set(**LINKS[purpose] | settings)
    return pair.link, pair.way(socks=False)


def links_lossy(bench: Bench) -> None:
    for percent in LOSSES:
        rate = bench.row(f"40 ms, 5 MB/s, {percent} % lost: down", "MB/s")

        def once(name: str, percent: int = percent) -> dict[str, float]:
            _, way = linked(bench, name, loss=percent / 100)
            return {"rate": bench.load(way, "down", seconds=8, warmup=2)["rate"] / MEGA}

        bench.measure(ENGINES, once, {"rate": rate}, rounds=1)


def links_stepping(bench: Bench) -> None:
    for before, after in ((6, 120), (120, 6)):
        back = bench.row(f"5 MB/s, {before} ms → {after} ms: back after", "s", less_is_better=True)

        def step(name: str, before: int = before, after: int = after) -> dict[str, float]:
            link, way = linked(bench, name, rtt=before / 1e3)
            with Download(way) as download:
                download.seconds_until_back()
                download.steps(3 * SECOND)
                link.set(rtt=after / 1e3)
                return {"back": download.seconds_until_back()}

        bench.measure(ENGINES, step, {"back": back}, rounds=1)


def links_breaking(bench: Bench) -> None:
    for seconds in (1, 20):
        back = bench.row(f"40 ms, 5 MB/s, {seconds} s blackout: back after", "s", less_is_better=True)

        def blackout(name: str, seconds: int = seconds) -> dict[str, float]:
            link, way = linked(bench, name)
            with Download(way) as download:
                download.seconds_until_back()
                download.steps(3 * SECOND)
                link.set(down=True)
                download.steps(seconds * SECOND)
                link.set(down=False)
                return {"back": download.seconds_until_back()}

        bench.measure(ENGINES, blackout, {"back": back}, rounds=1)


def links_shrinking(bench: Bench) -> None:
    shrunk = bench.row(f"40 ms, 5 MB/s, MTU 1472 → {SHRUNK}: stalled", "s", less_is_better=True)
    raised = bench.row("  and back to 1472: stalled", "s", less_is_better=True)

    def once(name: str) -> dict[str, float]:
        link, way = linked(bench, name)
        with Download(way) as download:
            download.seconds_until_back()
            download.steps(3 * SECOND)
            link.set(mtu=SHRUNK)
            shrunk = stalled(download.steps(10 * SECOND))
            link.set(mtu=NARROW["mtu"])
            return {"shrunk": shrunk, "raised": stalled(download.steps(RAISED_SECONDS * SECOND))}

    bench.measure(ENGINES, once, {"shrunk": shrunk, "raised": raised}, rounds=1)


def links_long(bench: Bench) -> None:
    """With a connection of its own, which has not lost anything yet: after a loss an engine grows for minutes."""
    rate = bench.row("200 ms, 100 MB/s, queue of 20 MB: down", "MB/s")
    alice = bench.row("  memory of the sending side then", "MB", less_is_better=True)
    bob = bench.row("  memory of the receiving side then", "MB", less_is_better=True)

    def once(name: str) -> dict[str, float]:
        _, way = linked(bench, name, "long")
        figures = bench.load(way, "down", seconds=6, warmup=8)
        bob, alice = (resident_bytes((pid,)) / MEGA for pid in way.pids)
        return {"rate": figures["rate"] / MEGA, "alice": alice, "bob": bob}

    bench.measure(ENGINES[:1], once, {"rate": rate, "alice": alice, "bob": bob}, rounds=1)
