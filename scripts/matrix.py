"""`make matrix`: two real gateways in every pair of kinds of home networks: is their path direct, and how soon.

As root: homes, routers, a beacon and the ways between them are network namespaces, which are removed afterwards. Tells how
it goes on stderr, the table on stdout, and writes matrix.md and matrix.json. The exit code is 1 if a pair exchanged no data
or one that is feasible was not direct each time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import signal
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tests.lab.kinds import KINDS, MORE_KINDS
from tests.lab.matrix_pairs import all_pairs, is_feasible
from tests.lab.matrix_results import Matrix, Try, as_json, as_markdown, from_json, sums
from tests.lab.matrix_tries import ALL_KINDS, Terms, measure

if TYPE_CHECKING:
    from tests.lab.matrix_pairs import Pair

LINE_BYTES = 1 << 20
END_SECONDS = 60.0
SETTLING_SECONDS = 120.0
"""What a try may take besides waiting for a direct path, before the pair is given up."""


def main() -> int:
    options = _options()
    if os.geteuid():
        print("matrix: network namespaces need root", file=sys.stderr)
        return 1
    if options.measure:
        return measure_here(tuple(options.measure), _terms(options))
    try:
        pairs = chosen(options.kinds, options.pairs, only_feasible=options.only_feasible)
    except ValueError as error:
        print(f"matrix: {error}", file=sys.stderr)
        return 2
    before = from_json(options.compare.read_bytes()) if options.compare else None
    matrix = Matrix(conditions=conditions(options), kinds=list(ALL_KINDS), tries=[])
    begun = time.monotonic()
    status = 0
    try:
        asyncio.run(measure_all(pairs, options, matrix))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("matrix: interrupted; this is what was measured", file=sys.stderr)
        status = 130
    matrix.conditions["took"] = f"{time.monotonic() - begun:.0f} s"
    measured = {each.pair for each in sums(matrix) if len(each.tries) == options.tries}
    if missing := [" x ".join(pair) for pair in pairs if pair not in measured]:
        matrix.conditions["not measured, or not often enough"] = ", ".join(missing)
    matrix.tries.sort(key=lambda each: pairs.index(each.pair))
    text = as_markdown(matrix, before)
    print(text)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "matrix.md").write_text(text, encoding="utf-8")
    (options.out / "matrix.json").write_bytes(as_json(matrix))
    return status or int(bool(missing) or any(each.failed for each in sums(matrix)))


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is fewer than 1")
    return number


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make matrix",
        description=(__doc__ or "").partition("\n")[0],
        epilog=f"kinds: {', '.join(KINDS)}; only when named: {', '.join(MORE_KINDS)}",
    )
    parser.add_argument("--kinds", metavar="A,B,…", help="only pairs of these kinds")
    parser.add_argument(
        "--pairs", metavar="A:B,…", help="only these pairs, as port-restricted:symmetric-random"
    )
    parser.add_argument(
        "--only-feasible", action="store_true", help="no pair that cannot be direct every time"
    )
    parser.add_argument(
        "--tries", type=_count, default=3, metavar="N", help="a pair; the side that dials alternates"
    )
    parser.add_argument("--delay", type=float, default=0.02, metavar="SECONDS", help="on each link")
    parser.add_argument(
        "--loss", type=float, default=0.0, metavar="SHARE", help="of packets, 1 being all, on each link"
    )
    parser.add_argument("--give-up", type=float, default=60.0, metavar="SECONDS", help="on a feasible pair")
    parser.add_argument("--jobs", type=_count, default=1, metavar="N", help="pairs at once")
    parser.add_argument("--out", type=Path, default=Path("build"), metavar="DIR")
    parser.add_argument("--compare", type=Path, metavar="JSON", help="tell what changed since that run")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def _terms(options: argparse.Namespace) -> Terms:
    return Terms(tries=options.tries, delay=options.delay, loss=options.loss, give_up=options.give_up)


def chosen(kinds: str | None, pairs: str | None, *, only_feasible: bool = False) -> list[Pair]:
    """The pairs that the options mean, in the order of the kinds; ValueError names what there is not."""
    named = kinds.split(",") if kinds else list(KINDS)
    wanted = [tuple(pair.split(":")) for pair in pairs.split(",")] if pairs else []
    for name in (*named, *(name for pair in wanted for name in pair)):
        if name not in ALL_KINDS:
            raise ValueError(f"there is no kind {name}; there are {', '.join(ALL_KINDS)}")
    if any(len(pair) != 2 for pair in wanted):
        raise ValueError("a pair is written as port-restricted:symmetric-random")
    meant = {frozenset(pair) for pair in wanted}
    found = [
        pair
        for pair in all_pairs(ALL_KINDS)
        if (frozenset(pair) in meant if wanted else set(pair) <= set(named))
        and (is_feasible(*pair) or not only_feasible)
    ]
    if not found:
        raise ValueError("no pair is left")
    return found


def measure_here(pair: Pair, terms: Terms) -> int:
    """In this process: a JSON object on a line of stdout for each try; all is removed when we are told to end."""

    def end(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, end)
    with tempfile.TemporaryDirectory(prefix="overlay-matrix-") as directory:
        for each in measure(Path(directory), pair, terms):
            sys.stdout.buffer.write(msgspec.json.encode(each) + b"\n")
            sys.stdout.flush()
    return 0


async def measure_all(pairs: list[Pair], options: argparse.Namespace, matrix: Matrix) -> None:
    """Each pair in a process of its own, `--jobs` at once; tries are added to the matrix as they are made."""
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGTERM,
        asyncio.current_task().cancel,  # type: ignore[union-attr]
    )
    gate = asyncio.Semaphore(options.jobs)
    begun = 0

    async def one(pair: Pair) -> None:
        nonlocal begun
        async with gate:
            begun += 1
            await measure_apart(pair, options, matrix, f"[{begun}/{len(pairs)}]")

    async with asyncio.TaskGroup() as group:
        for pair in pairs:
            group.create_task(one(pair), name=" x ".join(pair))


async def measure_apart(pair: Pair, options: argparse.Namespace, matrix: Matrix, place: str) -> None:
    """One pair in a process that has a session of its own, so that Ctrl+C reaches only us, and we end it."""
    terms = _terms(options)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scripts.matrix", "--measure", *pair, "--tries", str(terms.tries)),
        *("--delay", str(terms.delay), "--loss", str(terms.loss), "--give-up", str(terms.give_up)),
        stdout=PIPE,
        limit=LINE_BYTES,
        start_new_session=True,
    )
    assert process.stdout is not None
    made = 0
    try:
        async with asyncio.timeout(terms.tries * (terms.patience(pair) + SETTLING_SECONDS)):
            async for line in process.stdout:
                tried = msgspec.json.decode(line, type=Try)
                matrix.tries.append(tried)
                made += 1
                print(f"{place} {said(tried)}", file=sys.stderr, flush=True)
            await process.wait()
    except TimeoutError:
        print(f"{place} {' x '.join(pair)}: takes too long", file=sys.stderr, flush=True)
    finally:
        if process.returncode is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), END_SECONDS)
        if process.returncode is None:
            process.kill()
            await process.wait()
    if made < terms.tries:
        print(f"{place} {' x '.join(pair)}: {made} of {terms.tries} tries", file=sys.stderr, flush=True)


def said(tried: Try) -> str:
    """One line of progress."""
    text = f"{tried.dialling.kind} → {tried.answering.kind}: "
    if tried.problem:
        return text + tried.problem.strip().splitlines()[0]
    first = "no data" if tried.first_byte is None else f"first byte {tried.first_byte:.2f} s"
    path = f"direct {tried.direct:.2f} s" if tried.direct is not None else f"{tried.dialling.path} only"
    return f"{text}{first}, {path} ({tried.seconds:.0f} s)"


def conditions(options: argparse.Namespace) -> dict[str, str]:
    """What a reader needs to know of the run and of the machine."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "links": f"{options.delay * 1000:g} ms, {options.delay * 4000:g} ms there and back from home to home",
        "loss": f"{options.loss * 100:g} % on each link",
        "tries": str(options.tries),
        "jobs": str(options.jobs),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "load before": " ".join(f"{value:.2f}" for value in os.getloadavg()),
    }


if __name__ == "__main__":
    sys.exit(main())
