"""`overlay usage`: how much moved in a month, with whom, by which service, by what kind of path."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import click

from gateway.cli import output
from gateway.cli.app import Command, Session, pass_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.control.usage import UsageReport, UsageRowReport

_SIDES: Final = {"served": "ours", "used": "theirs"}


@click.command("usage", cls=Command, short_help="How much moved this month, with whom.")
@click.option("--month", metavar="YYYY-MM", help="Another month than this one.")
@click.option(
    "--by",
    type=click.Choice(["contact", "service", "path", "day"]),
    help="One line for each of these, instead of for all there is.",
)
@output.json_option
@pass_session
def usage_command(session: Session, *, month: str | None, by: str | None, as_json: bool) -> None:
    """How much users' data moved in a month: with whom, by which service, by what kind of path.

    Months and days are those of UTC. `--json` has every row, whatever `--by` says.
    """
    report = session.client().usage(month)
    if as_json:
        output.echo_json(report)
        return
    if not report.rows:
        output.aside(f"Nothing moved in {report.month}.{_others(report)}")
    elif by == "day":
        lines = _summed(((day.day,), day.sent, day.received) for day in report.days)
        _show(("day",), [(*name, *map(output.amount, sizes)) for name, sizes in lines], report)
    else:
        titles, name_of = _NAMES[by]
        lines = _summed((name_of(row), row.sent, row.received) for row in report.rows)
        lines.sort(key=lambda line: -sum(line[1]))
        _show(titles, [(*name, *map(output.amount, sizes)) for name, sizes in lines], report)
    if report.problem:
        output.warn(
            f"{report.problem}; it is tried again, and the last of it lost if the gateway ends before"
        )


def _show(titles: tuple[str, ...], lines: list[tuple[str, ...]], report: UsageReport) -> None:
    sent, received = sum(row.sent for row in report.rows), sum(row.received for row in report.rows)
    total = ("in all", *[""] * (len(titles) - 1), output.amount(sent), output.amount(received))
    output.table((*titles, "sent", "received"), [*lines, total])
    output.aside(f"{report.month}, by UTC.{_others(report)}")


def _others(report: UsageReport) -> str:
    others = [month for month in report.months if month != report.month]
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    return f" There are accounts of {', '.join(others[:3])}{more}, too." if others else ""


def _summed(
    rows: Iterable[tuple[tuple[str, ...], int, int]],
) -> list[tuple[tuple[str, ...], tuple[int, int]]]:
    """The rows of each name as one, in the order in which names come first."""
    sums: dict[tuple[str, ...], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for name, sent, received in rows:
        before = sums[name]
        sums[name] = before[0] + sent, before[1] + received
    return list(sums.items())


def _who(row: UsageRowReport) -> str:
    return row.petname or row.endpoint_id[:8] or "(strangers)"


def _service(row: UsageRowReport) -> tuple[str, str]:
    return row.service or "(any)", _SIDES[row.side]


_NAMES: Final[dict[str | None, tuple[tuple[str, ...], Callable[[UsageRowReport], tuple[str, ...]]]]] = {
    None: (
        ("contact", "service", "whose", "path"),
        lambda row: (_who(row), *_service(row), row.path or "(none seen)"),
    ),
    "contact": (("contact",), lambda row: (_who(row),)),
    "service": (("service", "whose"), _service),
    "path": (("path",), lambda row: (row.path or "(none seen)",)),
}
"""Titles, and the name of the line that a row belongs to."""
