"""What the matrix measured: values, the sums of them, and the tables and JSON that tell of them.

Nothing here measures; times are seconds. A try that never became direct counts as infinitely slow, so that a median or a
percentile does not become better by failures.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from tests.lab.matrix_pairs import AIMS, CLASSES, INFEASIBLE, class_of, is_feasible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.lab.matrix_pairs import Pair

DIRECT_WORDS = ("LAN", "direct")
NEVER = "never"
GRID = """## Kinds by kinds

Tries that became direct, of how many, and the median of the seconds from the request to a direct path both ways;
(in brackets) where that cannot be had every time; TCP where both ended on a direct path by TCP; ! where a direct path is
missing, or data."""

PAIRS = """## By pair

Mappings made since the request, and datagrams that came unasked and were dropped: the most of any try, at each kind's router,
where it counts."""


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two gateways of a try."""

    kind: str
    direct: float | None = None
    """From the request until this side sent directly, and went on to."""
    path: str = "none"
    """The kind of its path at the end, in the words of `overlay status`."""
    address: str = ""
    """Where it sent at the end."""
    network: str = ""
    """What it measured of its network before: mapping/filtering/allocation."""
    router: dict[str, int] | None = None
    """What its router counted since the request, as `tests.lab.translation.Counters`; None where it does not count."""
    decisions: tuple[str, ...] = ()
    """What it decided about paths, each with the seconds since the request."""


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """One meeting of two gateways that started just before."""

    pair: tuple[str, str]
    dialling: Side
    answering: Side
    first_byte: float | None = None
    """From the request to the first byte of the answer; None if there was none."""
    direct: float | None = None
    """From the request until both sides sent directly; None if one did not in time."""
    page: float | None = None
    """How long a second request took to its last byte, whatever the path was by then."""
    problem: str = ""
    """Why no data came, or not what was sent; empty if all went well."""
    seconds: float = 0.0
    """How long the whole try took."""

    @property
    def exchanged(self) -> bool:
        """Whether data came at once and later, as it was sent."""
        return not self.problem and self.first_byte is not None and self.page is not None


class Matrix(msgspec.Struct, kw_only=True):
    """One run of the command."""

    conditions: dict[str, str]
    kinds: list[str]
    tries: list[Try]


@dataclass(frozen=True)
class PairSum:
    """The tries of one pair."""

    pair: Pair
    tries: tuple[Try, ...]

    @property
    def feasible(self) -> bool:
        return is_feasible(*self.pair)

    @property
    def direct(self) -> int:
        """How many tries became direct."""
        return sum(each.direct is not None for each in self.tries)

    @property
    def by_tcp(self) -> int:
        """How many ended on a path of their own that is TCP."""
        return sum({each.dialling.path, each.answering.path} == {"TCP"} for each in self.tries)

    @property
    def times(self) -> list[float]:
        return to_direct(self.tries)

    @property
    def first_byte(self) -> float:
        """The median."""
        return _median([_time(each.first_byte) for each in self.tries])

    @property
    def failed(self) -> bool:
        """Whether the pair is not as it must be."""
        return not self.tries or any(
            not each.exchanged or (self.feasible and each.direct is None) for each in self.tries
        )


def sums(matrix: Matrix) -> list[PairSum]:
    """By pair, in the order in which the pairs first appear."""
    found: dict[Pair, list[Try]] = {}
    for each in matrix.tries:
        found.setdefault(each.pair, []).append(each)
    return [PairSum(pair, tuple(tries)) for pair, tries in found.items()]


def to_direct(tries: Iterable[Try]) -> list[float]:
    """The times to the direct path, sorted; infinite where there was none."""
    return sorted(_time(each.direct) for each in tries)


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank: the smallest value that so large a share of all does not exceed; NaN of none."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else math.nan


def as_json(matrix: Matrix) -> bytes:
    return msgspec.json.format(msgspec.json.encode(matrix), indent=1) + b"\n"


def from_json(data: bytes) -> Matrix:
    return msgspec.json.decode(data, type=Matrix)


def as_markdown(matrix: Matrix, before: Matrix | None = None) -> str:
    """Everything that people want to know; with what changed since `before`."""
    parts = [
        "# From home to home: is the path direct, and how soon",
        ", ".join(f"{key}: {value}" for key, value in matrix.conditions.items()),
        _overall(matrix),
        GRID,
        _grid(matrix),
        "## By class",
        _by_class(matrix),
        PAIRS,
        _by_pair(matrix),
    ]
    if problems := _problems(matrix):
        parts += ["## What went wrong", problems]
    if before is not None:
        parts += ["## What changed", _changes(matrix, before)]
    return "\n\n".join(parts) + "\n"


def _overall(matrix: Matrix) -> str:
    found = sums(matrix)
    feasible = [each for each in found if each.feasible]
    times = [time for each in feasible for time in each.times]
    always = sum(each.direct == len(each.tries) for each in feasible)
    data = sum(all(each.exchanged for each in pair.tries) for pair in found)
    firsts = [_time(each.first_byte) for each in matrix.tries]
    middle, late = seconds(_median(times)), seconds(percentile(times, 0.9))
    first, first_late = seconds(_median(firsts)), seconds(percentile(firsts, 0.9))
    lines = (
        f"direct every time: {always} of {len(feasible)} pairs where that is feasible",
        f"to the direct path, over the tries of these: median {middle} (aim 0.5), 90th percentile {late} (aim 4)",
        f"data every time: {data} of {len(found)} pairs; first byte: median {first}, 90th percentile {first_late}",
    )
    return "\n".join(f"- {line}" for line in lines)


def _grid(matrix: Matrix) -> str:
    by_pair = {each.pair: each for each in sums(matrix)}
    seen = [kind for kind in matrix.kinds if any(kind in pair for pair in by_pair)]
    rows = [["", *(str(number) for number in range(1, len(seen) + 1))]]
    for number, kind in enumerate(seen, start=1):
        cells = [by_pair.get((kind, other)) or by_pair.get((other, kind)) for other in seen[:number]]
        rows.append(
            [
                f"{number} {kind}",
                *(_cell(each) if each else "" for each in cells),
                *[""] * (len(seen) - number),
            ]
        )
    return _table(rows)


def _cell(pair: PairSum) -> str:
    text = f"{pair.direct}/{len(pair.tries)}"
    if pair.by_tcp:
        text = f"TCP {pair.by_tcp}/{len(pair.tries)}"
    if pair.direct:
        text += f" {seconds(_median(pair.times))}"
    if not pair.feasible:
        text = f"({text})"
    return text + "!" * pair.failed


def _by_class(matrix: Matrix) -> str:
    rows = [["class", "pairs", "tries", "direct", "median", "90 %", "most", "aim of the median"]]
    for name in CLASSES:
        tries = [each for each in matrix.tries if class_of(*each.pair) == name]
        if not tries:
            continue
        times = to_direct(tries)
        rows.append(
            [
                name,
                str(len({each.pair for each in tries})),
                str(len(tries)),
                str(sum(each.direct is not None for each in tries)),
                *(["-"] * 3 if name == INFEASIBLE else _spread(times)),
                f"{AIMS[name]:g}" if name in AIMS else "",
            ]
        )
    return _table(rows)


def _spread(times: list[float]) -> list[str]:
    return [seconds(_median(times)), seconds(percentile(times, 0.9)), seconds(max(times))]


def _by_pair(matrix: Matrix) -> str:
    rows = [["pair", "class", "direct", "first byte", "median", "most", "mappings", "unasked", "at the end"]]
    for each in sums(matrix):
        words = sorted({side.path for one in each.tries for side in (one.dialling, one.answering)})
        rows.append(
            [
                f"{each.pair[0]} x {each.pair[1]}{' !' * each.failed}",
                class_of(*each.pair),
                f"{each.direct}/{len(each.tries)}",
                seconds(each.first_byte),
                seconds(_median(each.times)) if each.direct else "-",
                seconds(max(each.times)) if each.direct else "-",
                _most(each, "mappings"),
                _most(each, "unsolicited"),
                ", ".join(words),
            ]
        )
    return _table(rows)


def _most(pair: PairSum, counter: str) -> str:
    """The most of any try, at each kind of router that counts."""
    most: dict[str, int] = {}
    for each in pair.tries:
        for side in (each.dialling, each.answering):
            if side.router is not None:
                most[side.kind] = max(most.get(side.kind, 0), side.router.get(counter, 0))
    return ", ".join(str(most[kind]) if kind in most else "-" for kind in dict.fromkeys(pair.pair))


def _problems(matrix: Matrix) -> str:
    lines = []
    for each in matrix.tries:
        where = f"{each.dialling.kind} → {each.answering.kind}"
        if each.problem:
            lines.append(f"- {where}: {each.problem.strip().splitlines()[0]}")
        elif not each.exchanged:
            lines.append(f"- {where}: no data")
        elif each.direct is None and is_feasible(*each.pair):
            lines.append(
                f"- {where}: not direct; {each.dialling.path} to {each.dialling.address}, "
                f"{each.answering.path} to {each.answering.address}"
            )
    return "\n".join(f"{line} ({lines.count(line)} times)" for line in dict.fromkeys(lines))


def _changes(matrix: Matrix, before: Matrix) -> str:
    olds = {each.pair: each for each in sums(before)}
    rows = [["pair", "direct before", "now", "median before", "now"]]
    for each in sums(matrix):
        old = olds.get(each.pair)
        if old is None:
            continue
        was, now = _median(old.times), _median(each.times)
        if old.direct * len(each.tries) != each.direct * len(old.tries) or _differ(was, now):
            rows.append(
                [
                    f"{each.pair[0]} x {each.pair[1]}",
                    f"{old.direct}/{len(old.tries)}",
                    f"{each.direct}/{len(each.tries)}",
                    seconds(was),
                    seconds(now),
                ]
            )
    return _table(rows) if len(rows) > 1 else "Nothing that matters."


def _differ(was: float, now: float) -> bool:
    """Whether two medians are further apart than a busy machine explains: a third, and a tenth of a second."""
    if math.isinf(was) or math.isinf(now):
        return was != now
    return abs(was - now) > max(0.1, min(was, now) / 3)


def seconds(value: float) -> str:
    if math.isinf(value):
        return NEVER
    return "-" if math.isnan(value) else f"{value:.2f}"


def _time(value: float | None) -> float:
    return math.inf if value is None else value


def _median(values: Sequence[float]) -> float:
    """NaN of none; half of never is never."""
    return statistics.median(values) if values else math.nan


def _table(rows: list[list[str]]) -> str:
    """Markdown that is a table to the eye, too."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"
        for row in rows
    ]
    lines.insert(1, f"|{'|'.join('-' * (width + 2) for width in widths)}|")
    return "\n".join(lines)
