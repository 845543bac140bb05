"""How the command line prints: lines and tables for people, JSON for programs, never a terminal's control codes."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from resolver.times import utc_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def say(text: str = "") -> None:
    """Print a line; what others chose of it cannot command the terminal."""
    click.echo(visible(text))


def head(text: str) -> None:
    """Print a line that stands out on a terminal."""
    click.secho(visible(text), bold=True)


def aside(text: str) -> None:
    """Print a line on stderr, so that stdout holds only the answer."""
    click.secho(visible(text), err=True, dim=True)


def warn(text: str) -> None:
    """Print a warning on stderr."""
    click.echo(f"{click.style('warning:', fg='yellow')} {visible(text)}", err=True)


def echo_json(value: object) -> None:
    """Print a report, or a list of them, as JSON; what commands a terminal is escaped in it."""
    import json

    import msgspec

    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    click.echo(text)


def pairs(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values under each other."""
    shown = list(rows)
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"  {click.style(visible(name).ljust(width), dim=True)}  {visible(value)}")


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns; on a terminal they fit its width, in a pipe each row is one line."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    options: dict[str, Any] = {} if terminal else {"width": 10_000, "color_system": None}
    columns = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim" if terminal else "")
    for title in titles:
        columns.add_column(title, overflow="fold")
    for row in rows:
        columns.add_row(*(Text(visible(cell)) for cell in row))
    console = Console(highlight=False, markup=False, **options)
    with console.capture() as captured:
        console.print(columns)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


_MARKS: Final = {
    "ok": ("✓", "ok"),
    "note": ("·", "--"),
    "warning": ("!", "! "),
    "problem": ("✗", "XX"),
    "waiting": ("…", ".."),
}
"""How something went, where stdout has such characters, and where it has not."""


def mark(how: str) -> str:
    """A tick, a cross or what else stands for it."""
    shown, plain = _MARKS[how]
    try:
        shown.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return plain
    return shown


def visible(text: str) -> str:
    """Text with control characters written out."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def relay(url: str) -> str:
    """A beacon as a way to an endpoint: `relay eu1.example`."""
    return f"relay {url.partition('#')[0].removeprefix('https://')}"


def amount(size: int) -> str:
    """Bytes for people: `1.5 MB`."""
    value = float(size)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def day(seconds: float) -> str:
    """A wall-clock time in unix seconds, in the local time zone, to the minute; beyond the year 9999 the plain seconds."""
    try:
        return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):  # what others sign may be as far away as they like
        return utc_text(seconds)


def duration(seconds: float) -> str:
    """A duration for people, in its two largest units: `2 h 5 min`."""
    left = int(seconds)
    parts: list[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
