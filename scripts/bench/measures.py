"""What is measured: each function here fills a few rows, way by way in turns, so that all meet the same machine."""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dnslib import DNSError, DNSRecord

from bench.places import PROC_TELLS, SERVICE, Unavailable, Way, World, cpu_seconds, resident_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

MEGA = 1e6
FAILURES = (Unavailable, OSError, ValueError, LookupError, DNSError)
WAYS = ("direct", "proxy", "ssh", "listener", "socks", "aioquic")


@dataclass(frozen=True)
class Plan:
    """How long and how often."""

    rounds: int = 3
    seconds: float = 4.0
    """Of bulk transfer; other loads take half as long."""
    streams: tuple[int, ...] = (1, 10, 100, 1000)
    idle: int = 500
    both_engines_everywhere: bool = True
    """Or aioquic only where the engine itself is measured: bulk and requests."""
    whole_run: float = 1200.0
    """After so many seconds nothing new is begun."""


QUICK = Plan(rounds=1, seconds=0.5, streams=(100,), idle=200, whole_run=52.0, both_engines_everywhere=False)


@dataclass
class Row:
    """One figure, for every way, once in each round."""

    name: str
    unit: str
    less_is_better: bool = False
    values: dict[str, list[float]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def median(self, way: str) -> float | None:
        values = self.values.get(way)
        return statistics.median(values) if values else None


class Bench:
    """What measures share: the world, the plan and the rows."""

    def __init__(self, world: World, plan: Plan, say: Callable[[str], None]) -> None:
        self.world, self.plan, self.say = world, plan, say
        self.rows: list[Row] = []
        self._deadline = time.monotonic() + plan.whole_run

    def row(self, name: str, unit: str, *, less_is_better: bool = False) -> Row:
        row = Row(name, unit, less_is_better)
        self.rows.append(row)
        return row

    def measure(
        self,
        ways: tuple[str, ...],
        once: Callable[[str], dict[str, float]],
        rows: dict[str, Row],
        rounds: int = 0,
    ) -> None:
        """Fill `rows` with what `once` says of each way; a way that fails is told, and left out from then on."""
        failed: set[str] = set()
        if not self.plan.both_engines_everywhere and not rows.keys() & {"cpu", "p99"}:
            ways = tuple(way for way in ways if way != "aioquic")
        for number in range(rounds or self.plan.rounds):
            for way in ways:
                if way in failed or (way == "aioquic" and number):
                    continue  # the slower engine is there for comparison: once is enough
                try:
                    self._still_in_time()
                    figures = once(way)
                except FAILURES as reason:
                    failed.add(way)
                    for row in rows.values():
                        row.failures[way] = str(reason)
                    self.say(f"{next(iter(rows.values())).name}, {way}: {reason}")
                    continue
                for key, row in rows.items():
                    if key in figures:
                        row.values.setdefault(way, []).append(figures[key])
                told = ", ".join(
                    f"{row.name} {figures[key]:.4g} {row.unit}" for key, row in rows.items() if key in figures
                )
                self.say(f"{way}: {told}")

    def _still_in_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise Unavailable("no time was left for it")

    def load(self, way: Way, mode: str, place: str = "", **options: object) -> dict[str, float]:
        """One run of load.py."""
        seconds = float(str(options.setdefault("seconds", self.plan.seconds / 2)))
        if way.socks and not place:
            options["socks"] = way.socks
        pairs = [f"{key}={value}" for key, value in options.items()]
        process = self.world.processes.python("load", mode, place or way.place, *pairs)
        try:
            patience = min(seconds + 45, self._deadline + 6 - time.monotonic())
            line = self.world.processes.first_line(process, "load", patience)
        finally:
            self.world.processes.end(process)
        figures: dict[str, float] = json.loads(line)
        if "failed" in figures:
            raise Unavailable(str(figures["failed"]))
        return figures


def memory(bench: Bench) -> None:
    """First of all, while the gateways are fresh."""
    idle = bench.row("memory of the idle client side", "MB", less_is_better=True)
    each = bench.row(f"memory per idle connection ({bench.plan.idle})", "KB", less_is_better=True)

    def once(name: str) -> dict[str, float]:
        way = bench.world.way(name)
        bench.load(way, "connect", connections=1, seconds=0.2)
        time.sleep(0.3)
        before, client = resident_bytes(way.pids), resident_bytes(way.pids[:1])
        process = bench.world.processes.python(
            "load", "idle", way.place, f"connections={bench.plan.idle}", stdin=subprocess.PIPE
        )
        try:
            if (line := bench.world.processes.first_line(process, "load")) != "ready":
                raise Unavailable(line)
            time.sleep(0.5)
            grown = resident_bytes(way.pids) - before
        finally:
            bench.world.processes.end(process)
        return {"idle": client / MEGA, "each": grown / bench.plan.idle / 1e3}

    bench.measure(("proxy", "ssh", "listener", "aioquic"), once, {"idle": idle, "each": each}, rounds=1)


def bulk(bench: Bench) -> None:
    for mode in ("down", "up"):
        rate = bench.row(f"bulk {mode}", "MB/s")
        cpu = bench.row(f"CPU for 1 GB {mode}, all processes", "s", less_is_better=True)

        def once(name: str, mode: str = mode) -> dict[str, float]:
            way = bench.world.way(name)
            pids = way.pids if PROC_TELLS else ()
            before = cpu_seconds(pids)
            figures = bench.load(way, mode, seconds=bench.plan.seconds)
            spent = {"cpu": (cpu_seconds(pids) - before) / figures["bytes"] * 1e9} if pids else {}
            return {"rate": figures["rate"] / MEGA, **spent}

        bench.measure(WAYS, once, {"rate": rate, "cpu": cpu})


def requests(bench: Bench) -> None:
    rate = bench.row("requests, 16 connections", "1/s")
    p50 = bench.row("  latency p50", "ms", less_is_better=True)
    p99 = bench.row("  latency p99", "ms", less_is_better=True)
    alone = bench.row("one request at a time, p50", "ms", less_is_better=True)

    def many(name: str) -> dict[str, float]:
        figures = bench.load(bench.world.way(name), "requests", connections=16)
        return {"rate": figures["rate"], "p50": figures["p50"] * 1e3, "p99": figures["p99"] * 1e3}

    def one(name: str) -> dict[str, float]:
        figures = bench.load(bench.world.way(name), "requests", seconds=bench.plan.seconds / 4)
        return {"p50": figures["p50"] * 1e3}

    bench.measure(WAYS, many, {"rate": rate, "p50": p50, "p99": p99})
    bench.measure(WAYS, one, {"p50": alone})


def connections(bench: Bench) -> None:
    rate = bench.row("new connections, 16 at a time", "1/s")

    def once(name: str) -> dict[str, float]:
        return bench.load(bench.world.way(name), "connect", connections=16)

    bench.measure(WAYS, once, {"rate": rate})


def streams(bench: Bench) -> None:
    seconds = max(1.0, bench.plan.seconds * 1.25)  # a thousand pieces come in bursts, which must even out
    for count in bench.plan.streams:
        rate = bench.row(f"downloads of 128 KB, {count} at a time", "MB/s")

        def once(name: str, count: int = count) -> dict[str, float]:
            figures = bench.load(bench.world.way(name), "pieces", connections=count, seconds=seconds)
            return {"rate": figures["rate"] / MEGA}

        bench.measure(WAYS[:-1], once, {"rate": rate}, rounds=1)


def udp(bench: Bench) -> None:
    rate = bench.row("UDP echoes of 200 bytes, 64 under way", "1/s")
    loss = bench.row("  lost", "%", less_is_better=True)

    def once(name: str) -> dict[str, float]:
        way = bench.world.way(name)
        return bench.load(way, "datagrams", way.udp, window=64, payload=bytes(200).hex())

    bench.measure(("direct", "proxy", "listener", "aioquic"), once, {"rate": rate, "loss": loss})


def dns(bench: Bench) -> None:
    rate = bench.row("DNS queries, 64 under way (direct: UDP echo)", "1/s")
    loss = bench.row("  lost", "%", less_is_better=True)

    def once(name: str) -> dict[str, float]:
        way = bench.world.way(name)
        if way.dns:
            resolve(way.dns)
        query = DNSRecord.question(SERVICE).pack()
        return bench.load(way, "datagrams", way.dns or way.udp, window=64, payload=query.hex())

    bench.measure(("direct", "listener"), once, {"rate": rate, "loss": loss})


def cold(bench: Bench) -> None:
    """Gateways that know each other but are not connected; ssh is started anew, its server is there."""
    first = bench.row("cold: name to first byte", "ms", less_is_better=True)

    def once(name: str) -> dict[str, float]:
        if name == "ssh":
            began = time.perf_counter()
            process, way = bench.world.ssh().forward()
            ask(way)
            seconds = time.perf_counter() - began
            bench.world.processes.end(process)
            return {"first": seconds * 1e3}
        if name in ("direct", "proxy"):
            way = bench.world.way(name)
        else:
            pair = bench.world.pair("aioquic" if name == "aioquic" else "qh3", "cold")
            pair.restart()
            way = pair.way(socks=name == "socks")
        began = time.perf_counter()
        if way.dns and not way.socks and resolve(way.dns) != way.place.partition(":")[0]:
            raise Unavailable("the name stands for another address than before")
        ask(way)
        return {"first": (time.perf_counter() - began) * 1e3}

    bench.measure(WAYS, once, {"first": first})


def resolve(server: str) -> str:
    """The address of the service by a gateway's DNS server."""
    host, _, port = server.rpartition(":")
    try:
        reply = DNSRecord.parse(DNSRecord.question(SERVICE).send(host, int(port), timeout=10))
    except OSError as error:
        raise Unavailable(f"the DNS server did not answer: {error}") from None
    if not reply.rr:
        raise Unavailable("the DNS server does not know the name")
    return str(reply.rr[0].rdata)


def ask(way: Way) -> None:
    """One request by the way; returns at the first byte of the answer."""
    host, _, port = way.place.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=20) as sock:
            if way.socks:
                name, _, number = way.socks.rpartition(":")
                sock.sendall(b"\5\1\0")
                sock.recv(2)
                sock.sendall(b"\5\1\0\3%c%s" % (len(name), name.encode()) + int(number).to_bytes(2, "big"))
                if sock.recv(10)[:2] != b"\5\0":
                    raise Unavailable("the proxy refused")
            sock.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
            if not sock.recv(1):
                raise Unavailable("the connection was closed")
    except OSError as error:
        raise Unavailable(f"no answer: {error}") from None


MEASURES = {
    "memory": memory, "bulk": bulk, "requests": requests, "connections": connections, "udp": udp, "dns": dns,
    "cold": cold, "streams": streams,
}  # fmt: skip
