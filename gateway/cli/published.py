"""`overlay status --published`: what our records tell, where they are, and why they are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.control.records import PlaceReport, PublishedReport

_READERS = {"public": "For anybody who has our id", "local": "For those on the same network"}


def show_published(reports: Iterable[PublishedReport]) -> None:
    """Print each of our records."""
    for number, report in enumerate(reports):
        if number:
            output.say()
        output.head(_READERS.get(report.scope, report.scope))
        if report.why_not:
            output.pairs([("not published", report.why_not)])
        if report.bytes:
            output.pairs(_contents(report))
        if report.places:
            output.table(("at", "put there", "good for", "next", "problem"), map(_row, report.places))


def _contents(report: PublishedReport) -> list[tuple[str, str]]:
    told = {
        "relays": ", ".join(report.relays),
        "services": ", ".join(report.services),
        "addresses": ", ".join(report.addresses),
        "nickname": report.nickname,
    }
    return [
        *((word, text or "none") for word, text in told.items() if word in report.words),
        *((("zone", "; ".join(report.zone)),) if report.zone else ()),
        ("not told", ", ".join(word for word in told if word not in report.words) or "nothing"),
    ]


def _row(report: PlaceReport) -> tuple[str, ...]:
    return (
        report.place,
        "not yet" if report.published_ago is None else f"{output.duration(report.published_ago)} ago",
        "" if report.good_for is None else output.duration(report.good_for),
        "never" if report.next_in is None else f"in {output.duration(report.next_in)}",
        report.problem,
    )
