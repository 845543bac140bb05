"""What is measured: each function here fills a few rows, way by way in turns, so that all meet the same machine."""

from __future__ import annotations

import contextlib
import json
import socket
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dnslib import DNSError, DNSRecord

from bench.beacons import homes, messages, relay, relayed
from bench.links import links
from bench.names import names
from bench.places import PROC_TELLS, SERVICE, Unavailable, Way, cpu_seconds, resident_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.world import World

MEGA = 1e6
FAILURES = (Unavailable, OSError, ValueError, LookupError, DNSError)
WAYS = ("direct", "proxy", "ssh", "listener", "socks", "aioquic")
RELAYS = ("beacon", "coturn")
WARM = 50  # connections held before memory is measured, so that what all share is there
LONG = 10**9, 10**10  # bytes


@dataclass(frozen=True)
class Plan:
    """How long and how often."""

    rounds: int = 3
    seconds: float = 4.0
    """Of bulk transfer; other loads take half as long."""
    streams: tuple[int, ...] = (1, 10, 100, 1000)
    idle: int = 500
    peers: int = 100
    """Endpoints connected at once."""
    homes: int = 10_000
    """Gateways at one beacon at once."""
    contacts: int = 10_000
    strangers: int = 100_000
    """Records of others that are kept."""
    quiet: float = 15.0
    """Seconds that they are looked at: as long as each takes from one keepalive to the next."""
    both_engines_everywhere: bool = True
    """Or aioquic only where the engine itself is measured: bulk and requests."""
    whole_run: float = 1200.0
    """After so many seconds nothing new is begun."""


QUICK = Plan(
    rounds=1, seconds=0.5, streams=(100,), idle=200, peers=20, homes=500, contacts=1000, strangers=5000, quiet=5.0, whole_run=115.0,
    both_engines_everywhere=False,
)  # fmt: skip


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

    def __init__(self, world: World, plan: Plan, rows: list[Row], say: Callable[[str], None]) -> None:
        """`rows` is filled meanwhile, so that what was measured is there even if the rest is not."""
        self.world, self.plan, self.rows, self.say = world, plan, rows, say
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

    def load(self, way: Way, mode: str, place: str = "", **options: Any) -> dict[str, float]:
        """One run of load.py."""
        process = self.begin(way, mode, place, **options)
        try:
            return self.figures(process, options.get("seconds", self.plan.seconds / 2))
        finally:
            self.world.processes.end(process)

    def begin(
        self, way: Way, mode: str, place: str = "", *, stdin: int = subprocess.DEVNULL, **options: Any
    ) -> subprocess.Popen[str]:
        """The same, which the caller ends."""
        options.setdefault("seconds", self.plan.seconds / 2)
        if way.socks and not place:
            options["socks"] = way.socks
        pairs = [f"{key}={value}" for key, value in options.items()]
        return self.world.processes.python("load", mode, place or way.place, *pairs, stdin=stdin)

    def figures(self, process: subprocess.Popen[str], seconds: float, name: str = "load") -> dict[str, float]:
        """The next line of load.py or another script, which may take so long, and longer on a busy machine."""
        patience = min(seconds + 45, self._deadline + 6 - time.monotonic())
        figures: dict[str, float] = json.loads(self.world.processes.first_line(process, name, patience))
        if "failed" in figures:
            raise Unavailable(str(figures["failed"]))
        return figures

    @contextlib.contextmanager
    def held(self, process: subprocess.Popen[str], name: str, says: str = "ready") -> Iterator[str]:
        """While the process, started with a pipe as its input, holds what it has opened: what it says, or anything."""
        with self.closing(process):
            line = self.world.processes.first_line(process, name)
            if says not in ("", line):
                raise Unavailable(line)
            yield line

    @contextlib.contextmanager
    def closing(self, process: subprocess.Popen[str]) -> Iterator[None]:
        """End the process afterwards by the end of its input."""
        try:
            yield
        finally:
            if process.stdin is not None:
                process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)  # so that it can say goodbye
            self.world.processes.end(process)


def memory(bench: Bench) -> None:
    """First of all, while the gateways are fresh."""
    idle = bench.row("memory of the idle client side", "MB", less_is_better=True)
    each = bench.row(f"memory per idle connection ({bench.plan.idle})", "KB", less_is_better=True)

    def holding(way: Way, count: int) -> contextlib.AbstractContextManager[str]:
        process = bench.begin(way, "idle", stdin=subprocess.PIPE, connections=count)
        return bench.held(process, "load")

    def once(name: str) -> dict[str, float]:
        way = bench.world.way(name)
        bench.load(way, "connect", connections=1, seconds=0.2)
        time.sleep(0.3)
        client = resident_bytes(way.pids[:1])
        with holding(way, WARM):
            time.sleep(0.5)
            before = resident_bytes(way.pids)
            with holding(way, bench.plan.idle):
                time.sleep(0.5)
                grown = resident_bytes(way.pids) - before
        return {"idle": client / MEGA, "each": grown / bench.plan.idle / 1e3}

    bench.measure(("proxy", "ssh", "listener", "aioquic"), once, {"idle": idle, "each": each}, rounds=1)


def peers(bench: Bench) -> None:
    """What it costs an alice who has done nothing else that many endpoints are connected and say nothing."""
    count = bench.plan.peers
    each = bench.row(f"memory per idle endpoint connection ({count})", "KB", less_is_better=True)
    cpu = bench.row(f"idle CPU with {count} connected endpoints", "%", less_is_better=True)

    def connected(number: int) -> contextlib.AbstractContextManager[str]:
        return bench.held(bench.world.peers("cold", number), "peers")

    def once(_: str) -> dict[str, float]:
        pair = bench.world.pair("qh3", "cold")
        pair.restart()
        alice = pair.way(socks=False).pids[1:]
        with connected(max(2, count // 10)):
            time.sleep(0.5)
            before = resident_bytes(alice)
            with connected(count):
                time.sleep(1)
                grown, spent = resident_bytes(alice) - before, cpu_seconds(alice)
                time.sleep(bench.plan.quiet)
                spent = cpu_seconds(alice) - spent
        return {"each": grown / count / 1e3, "cpu": 100 * spent / bench.plan.quiet}

    bench.measure(("listener",), once, {"each": each, "cpu": cpu}, rounds=1)


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
    both = bench.row("bulk both ways at once", "MB/s")

    def at_once(name: str) -> dict[str, float]:
        way, seconds = bench.world.way(name), bench.plan.seconds
        loads = [bench.begin(way, mode, seconds=seconds) for mode in ("down", "up")]
        try:
            return {"rate": sum(bench.figures(process, seconds)["rate"] for process in loads) / MEGA}
        finally:
            for process in loads:
                bench.world.processes.end(process)

    bench.measure(WAYS[:-1], at_once, {"rate": both})


def long(bench: Bench) -> None:
    """Whether memory grows with what a tunnel has carried; only if it is asked for, because it takes minutes."""
    if bench.plan is QUICK:
        raise Unavailable("`long` takes minutes; it cannot be had with --quick")
    rate = bench.row(f"{LONG[-1] // 10**9} GB through one tunnel", "MB/s")
    rows = {
        f"{who} {mark}": bench.row(f"  memory of {who} after {mark // 10**9} GB", "MB", less_is_better=True)
        for who in ("bob", "alice")
        for mark in LONG
    }

    def once(name: str) -> dict[str, float]:
        way = bench.world.way(name)
        figures: dict[str, float] = {}
        process = bench.begin(way, "long", stdin=subprocess.PIPE, marks=",".join(map(str, LONG)))
        try:
            for mark in LONG:
                figures |= bench.figures(process, bench.plan.whole_run)
                for who, pid in zip(("bob", "alice"), way.pids, strict=True):
                    figures[f"{who} {mark}"] = resident_bytes((pid,)) / MEGA
        finally:
            bench.world.processes.end(process)
        return {**figures, "rate": figures["rate"] / MEGA}

    bench.measure(("listener",), once, {"rate": rate, **rows}, rounds=1)


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


def latency(bench: Bench) -> None:
    """Whether a request must wait behind what is under way in bulk."""
    alone = bench.row("one request at a time, p99", "ms", less_is_better=True)
    p50 = bench.row("one request at a time beside a bulk download, p50", "ms", less_is_better=True)
    p99 = bench.row("one request at a time beside a bulk download, p99", "ms", less_is_better=True)
    rate = bench.row("  the bulk download meanwhile", "MB/s")
    seconds = max(0.5, bench.plan.seconds / 2)

    def once(name: str) -> dict[str, float]:
        way = bench.world.way(name)
        quiet = bench.load(way, "requests", seconds=seconds)
        process = bench.begin(way, "beside", stdin=subprocess.PIPE)
        with bench.held(process, "load"):
            busy = bench.load(way, "requests", seconds=seconds)
            if process.stdin is not None:
                process.stdin.close()
            meanwhile = bench.figures(process, 0)
        figures = {"alone": quiet["p99"], "p50": busy["p50"], "p99": busy["p99"]}
        return {key: value * 1e3 for key, value in figures.items()} | {"rate": meanwhile["rate"] / MEGA}

    rows = {"alone": alone, "p50": p50, "p99": p99, "rate": rate}
    bench.measure(("direct", "proxy", "ssh", "listener", "socks"), once, rows)


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
    rate = bench.row("UDP datagrams of 200 bytes, one way", "1/s")
    loss = bench.row("  lost", "%", less_is_better=True)

    def one_way(name: str) -> dict[str, float]:
        way = bench.world.way(name)
        return bench.load(way, "flood", way.udp, size=200, window=1024, payload=b"x".hex())

    bench.measure(("direct", "proxy", "listener", "aioquic"), one_way, {"rate": rate, "loss": loss})


def dns(bench: Bench) -> None:
    rate = bench.row("DNS queries, 64 under way (direct: UDP echo)", "1/s")
    loss = bench.row("  lost", "%", less_is_better=True)
    p99 = bench.row("DNS query, one at a time, p99", "ms", less_is_better=True)
    query = DNSRecord.question(SERVICE).pack().hex()

    def many(name: str) -> dict[str, float]:
        way = bench.world.way(name)
        if way.dns:
            resolve(way.dns)
        return bench.load(way, "datagrams", way.dns or way.udp, window=64, payload=query)

    def one(name: str) -> dict[str, float]:
        way = bench.world.way(name)
        resolve(way.dns)
        figures = bench.load(way, "datagrams", way.dns, window=1, payload=query, seconds=1)
        return {"p99": figures["p99"] * 1e3}

    bench.measure(("direct", "listener"), many, {"rate": rate, "loss": loss})
    bench.measure(("listener",), one, {"p99": p99})


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
    "memory": memory, "peers": peers, "bulk": bulk, "requests": requests, "latency": latency,
    "connections": connections, "udp": udp, "dns": dns, "cold": cold, "streams": streams,
    "relay": relay, "homes": homes, "messages": messages, "relayed": relayed, "names": names, "long": long, "links": links,
}  # fmt: skip
USUAL = tuple(name for name in MEASURES if name not in ("long", "links"))
"""What is measured if nothing is named."""
