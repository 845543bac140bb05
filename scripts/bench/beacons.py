"""The beacon under load: what it relays beside coturn, what a gateway costs it, its messages, and what users get of it."""

from __future__ import annotations

import statistics
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from bench.places import PROC_TELLS, Unavailable, cpu_seconds, resident_bytes

if TYPE_CHECKING:
    from bench.measures import Bench
    from bench.relays import Beacon, Coturn

MEGA = 1e6
FLOWS = 4
SHAPES = {"3 of 8400": {"size": 8400, "count": 3}, "27 of 1200": {"size": 1200, "count": 27}}
"""A frame full of the packets that gateways make where the path carries any size, and one full of small datagrams."""
WINDOWS = {"beacon": 256 * 1024, "coturn": 64 * 1024}
"""Bytes under way in each flow: TCP waits where UDP loses, and with more coturn relays no faster and loses more."""
SCRIPTS = {"beacon": "relay", "coturn": "turn"}
LOADS = 2  # processes beside each other
RING, UNDER_WAY, MESSAGE = 16, 4, 512
STEADY = 5000
"""Messages in a second for which the latency is told."""
WARM = 50


def relay(bench: Bench) -> None:
    """How much the beacon relays, and coturn in its turn; clients of both are as cheap as could be had."""
    for shape, options in SHAPES.items():
        rate = bench.row(f"relayed payload, batches of {shape} bytes", "MB/s")
        loss = bench.row("  lost", "%", less_is_better=True)
        rows = {"rate": rate, "loss": loss}
        if PROC_TELLS:
            rows["cpu"] = bench.row("  for each CPU second of the relay", "MB")
            rows["cores"] = bench.row("  cores it took", "", less_is_better=True)

        def once(name: str, options: dict[str, int] = options) -> dict[str, float]:
            server: Beacon | Coturn = bench.world.coturn() if name == "coturn" else bench.world.beacon("load")
            wanted = options | {"flows": FLOWS, "window": WINDOWS[name], "seconds": bench.plan.seconds}
            processes, script = bench.world.processes, SCRIPTS[name]
            arguments = server.load(**wanted)
            receiver = processes.python(script, "receive", *arguments, stdin=subprocess.PIPE)
            with bench.held(receiver, script, "") as said:
                before = spent(server.pids)
                sender = processes.python(script, "send", *arguments, f"ports={said}")
                try:
                    figures = bench.figures(sender, bench.plan.seconds, script)
                finally:
                    processes.end(sender)
                cpu = spent(server.pids) - before
            taken = {"cpu": figures["bytes"] / MEGA / cpu, "cores": cpu * figures["rate"] / figures["bytes"]}
            return {"rate": figures["rate"] / MEGA, "loss": figures["loss"], **(taken if cpu else {})}

        bench.measure(("beacon", "coturn"), once, rows)


def homes(bench: Bench) -> None:
    """What a gateway that is at home at a beacon and does nothing costs that; each gives a sign of life first."""
    count = bench.plan.homes
    each = bench.row(f"memory of the beacon per idle gateway ({count})", "KB", less_is_better=True)
    rate = bench.row("  logins, 2 at a time", "1/s")

    def once(_: str) -> dict[str, float]:
        beacon = bench.world.beacon("homes")
        with ExitStack() as stack:

            def hold(first: int, clients: int) -> subprocess.Popen[str]:
                arguments = beacon.load(first=first, clients=clients)
                process = bench.world.processes.python("relay", "idle", *arguments, stdin=subprocess.PIPE)
                stack.enter_context(bench.closing(process))
                return process

            bench.figures(hold(0, WARM), 0, "relay")
            time.sleep(0.5)
            before = resident_bytes(beacon.pids)
            holding = [hold(WARM + load * count, count // LOADS) for load in range(LOADS)]
            found = [bench.figures(process, count / 100, "relay") for process in holding]
            time.sleep(1)
            grown = resident_bytes(beacon.pids) - before
        logins = sum(figures["rate"] for figures in found)
        return {"each": grown / (count // LOADS * LOADS) / 1e3, "rate": logins}

    bench.measure(("beacon",), once, {"each": each, "rate": rate}, rounds=1)


def messages(bench: Bench) -> None:
    """Sealed messages: as many as it can pass on, and how long each takes where there are a fair number of them."""
    rate = bench.row(f"messages of {MESSAGE} bytes, {LOADS * RING * UNDER_WAY} under way", "1/s")
    cpu = bench.row("  for each CPU second of the beacon", "")
    p50 = bench.row(f"  latency p50 at {STEADY} a second", "ms", less_is_better=True)
    p99 = bench.row(f"  latency p99 at {STEADY} a second", "ms", less_is_better=True)

    def loads(beacon: Beacon, steady: int) -> list[dict[str, float]]:
        seconds = bench.plan.seconds / 2
        options = {"clients": RING, "window": UNDER_WAY, "size": MESSAGE, "seconds": seconds, "rate": steady}
        processes = [
            bench.world.processes.python("relay", "messages", *beacon.load(first=load * RING, **options))
            for load in range(LOADS)
        ]
        try:
            return [bench.figures(process, seconds, "relay") for process in processes]
        finally:
            for process in processes:
                bench.world.processes.end(process)

    def once(_: str) -> dict[str, float]:
        beacon = bench.world.beacon("load")
        before = spent(beacon.pids)
        found = loads(beacon, 0)
        taken = spent(beacon.pids) - before
        total = sum(figures["rate"] for figures in found)
        steady = loads(beacon, STEADY // LOADS)
        return {
            "rate": total,
            "p50": statistics.mean(figures["p50"] for figures in steady) * 1e3,
            "p99": max(figures["p99"] for figures in steady) * 1e3,
            **({"cpu": sum(figures["count"] for figures in found) / taken} if taken else {}),
        }

    bench.measure(("beacon",), once, {"rate": rate, "cpu": cpu, "p50": p50, "p99": p99})


def relayed(bench: Bench) -> None:
    """What a user gets whose gateways find no other path than the beacon, beside the direct one."""
    rate = bench.row("bulk down between gateways", "MB/s")
    cpu = bench.row("  CPU for 1 GB, gateways and beacon", "s", less_is_better=True)
    many = bench.row("requests between gateways, 16 connections", "1/s")
    p50 = bench.row("  latency p50", "ms", less_is_better=True)
    p99 = bench.row("  latency p99", "ms", less_is_better=True)
    alone = bench.row("one request at a time between gateways, p50", "ms", less_is_better=True)

    def once(name: str) -> dict[str, float]:
        way = bench.world.way(name)
        beacon = bench.world.beacon("load") if name == "beacon" else None
        before = beacon.relayed_bytes() if beacon is not None else 0
        pids = way.pids + (beacon.pids if beacon is not None else ())
        used = spent(pids)
        down = bench.load(way, "down", seconds=bench.plan.seconds)
        used = spent(pids) - used
        if beacon is not None and beacon.relayed_bytes() - before < down["bytes"]:
            raise Unavailable("the gateways found another path than the beacon")
        requests = bench.load(way, "requests", connections=16)
        one = bench.load(way, "requests", seconds=bench.plan.seconds / 4)
        return {
            "rate": down["rate"] / MEGA,
            "many": requests["rate"],
            "p50": requests["p50"] * 1e3,
            "p99": requests["p99"] * 1e3,
            "alone": one["p50"] * 1e3,
            **({"cpu": used / down["bytes"] * 1e9} if used else {}),
        }

    rows = {"rate": rate, "cpu": cpu, "many": many, "p50": p50, "p99": p99, "alone": alone}
    bench.measure(("listener", "beacon"), once, rows)


def spent(pids: tuple[int, ...]) -> float:
    """CPU seconds, or 0 where the system does not tell."""
    return cpu_seconds(pids) if PROC_TELLS else 0.0
