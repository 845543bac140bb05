"""`make bench`: measures two real gateways on this machine beside what else one could use, in one run.

Unprivileged and on loopback, or, as root and with --namespaces, between two network namespaces. Each figure is a median; each way is measured in turns with the others, so the
ratios hold even where other programs use the machine. A way that cannot be had or fails says so and costs nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import signal
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.hosts import Hosts, two_hosts
from bench.measures import MEASURES, QUICK, RELAYS, USUAL, WAYS, Bench, Plan, Row
from bench.places import OVERLAY, Processes, Unavailable
from bench.world import World

if TYPE_CHECKING:
    from collections.abc import Iterable

LEGEND = """\
direct    the client at the server itself       ssh       OpenSSH -L, default ciphers
proxy     a plain asyncio proxy of 60 lines     listener  bob's loopback listener, qh3
socks     bob's SOCKS5 proxy, qh3               aioquic   bob's loopback listener, aioquic, measured once
beacon    `overlay beacon`, one process          coturn    its TURN relay, the same load in the same run
between gateways: beacon is the path policy relay-only, listener a direct path
/direct and so on: the beacon's figure, or else the listener's, divided by theirs; ± of its rounds; ↓ less is better"""
COLUMNS = *WAYS, *RELAYS
BASELINES = "direct", "proxy", "ssh", "listener", "coturn"
OPEN_FILES = 65536


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one short round of everything, in two minutes")
    parser.add_argument(
        "--only",
        choices=MEASURES,
        action="append",
        help="one measure (repeatable); `long` and `links` only so",
    )
    parser.add_argument(
        "--namespaces",
        action="store_true",
        help="alice and bob in network namespaces of their own (needs root)",
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each way has its turn")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure of every round there")
    options = parser.parse_args()
    if not Path(OVERLAY).exists():
        print(f"bench: {OVERLAY} is not there; run `make setup`", file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))  # children inherit it
    plan = QUICK if options.quick else Plan()
    if options.rounds:
        plan = replace(plan, rounds=options.rounds)
    conditions = told()
    rows: list[Row] = []
    places = two_hosts() if options.namespaces else contextlib.nullcontext(Hosts())
    try:
        with tempfile.TemporaryDirectory(prefix="overlay-bench-") as directory, places as hosts:
            conditions["network"] = hosts.name
            status = run(options.only or USUAL, plan, hosts, Path(directory), rows)
    except Unavailable as reason:
        print(f"bench: {reason}", file=sys.stderr)
        return 1
    conditions["took"] = f"{time.monotonic() - STARTED:.0f} s"
    print(table(rows, conditions))
    if options.json:
        options.json.write_text(json.dumps(as_json(rows, conditions), indent=1) + "\n")
    return status


STARTED = time.monotonic()


def run(names: Iterable[str], plan: Plan, hosts: Hosts, directory: Path, rows: list[Row]) -> int:
    """Measure, fill the rows, and end all that was started; the exit code."""
    processes = Processes(directory)
    try:
        world = World(processes, hosts)
        bench = Bench(world, plan, rows, lambda text: print(f"  {text}", file=sys.stderr, flush=True))
        for name in names:
            print(f"{name} …", file=sys.stderr, flush=True)
            MEASURES[name](bench)
    except KeyboardInterrupt:
        print("bench: interrupted; this is what was measured", file=sys.stderr)
        return 130
    except Unavailable as reason:
        print(f"bench: {reason}", file=sys.stderr)
        return 1
    finally:
        # What was started is ended, however impatient the hand at Ctrl+C.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        processes.close()
    return 0


def told() -> dict[str, str]:
    """What a reader needs to know of the machine."""
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load before": load,
    }


def table(rows: list[Row], conditions: dict[str, str]) -> str:
    ways = [way for way in COLUMNS if any(way in row.values or way in row.failures for row in rows)]
    beside = [way for way in BASELINES if any(way in row.values and way != ours(row) for row in rows)]
    heads = ["", "unit", *ways, *(f"/{way}" for way in beside), "±"]
    lines = [heads]
    for row in rows:
        cells = [cell(row, way) for way in ways]
        mine = row.median(ours(row))
        ratios = ["-" if way == ours(row) else ratio(mine, row.median(way)) for way in beside]
        lines.append(
            [row.name, f"{row.unit}{' ↓' if row.less_is_better else ''}", *cells, *ratios, spread(row)]
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    text = [f"{', '.join(f'{key}: {value}' for key, value in conditions.items())}", ""]
    for line in lines:
        first, rest = line[0].ljust(widths[0]), zip(line[1:], widths[1:], strict=True)
        text.append("  ".join([first, *(part.rjust(width) for part, width in rest)]).rstrip())
    why: dict[str, list[str]] = {}
    for row in rows:
        for way, reason in row.failures.items():
            why.setdefault(reason, []).append(f"{row.name.strip()} ({way})")
    return "\n".join(
        [*text, "", LEGEND, *(f"! {reason}: {', '.join(where)}" for reason, where in why.items())]
    )


def ours(row: Row) -> str:
    """The way that is compared with the others."""
    return RELAYS[0] if RELAYS[0] in row.values else "listener"


def cell(row: Row, way: str) -> str:
    value = row.median(way)
    if value is None:
        return "!" if way in row.failures else "-"
    mark = "!" if way in row.failures else ""
    return f"{figure(value)}{mark}"


def figure(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio(mine: float | None, theirs: float | None) -> str:
    return figure(mine / theirs) if mine is not None and theirs else "-"


def spread(row: Row) -> str:
    """How far our way's rounds lie apart, around their median."""
    values = row.values.get(ours(row), [])
    median = row.median(ours(row))
    return f"{50 * (max(values) - min(values)) / median:.0f} %" if median and len(values) > 1 else "-"


def as_json(rows: list[Row], conditions: dict[str, str]) -> dict[str, Any]:
    figures = [
        {
            "name": row.name.strip(),
            "unit": row.unit,
            "less_is_better": row.less_is_better,
            "medians": {way: row.median(way) for way in row.values},
            "rounds": row.values,
            "failures": row.failures,
        }
        for row in rows
    ]
    return {"conditions": conditions, "rows": figures}


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
