"""`overlay top`: who is connected, by which path, and how fast things move; drawn anew each second."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from typing import TYPE_CHECKING, Final

import click
import msgspec

from gateway.cli import output
from gateway.cli.app import Command, Session, pass_session
from gateway.errors import NotRunning
from gateway.rates import SORTS, Rates, rates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

    from gateway.control.live import LiveReport

_WIDTHS: Final = {"rtt": 60, "streams": 75, "sent": 110, "received": 110, "flows": 120, "up for": 130}
"""Columns of a terminal below which a column of the table is left out."""
_TITLES: Final = ("peer", "path", "rtt", "up", "down", "sent", "received", "streams", "flows", "up for")


@click.command("top", cls=Command, short_help="Who is connected, and how fast things move; live.")
@click.option(
    "--interval",
    "-d",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Seconds from one look to the next.",
)
@click.option(
    "--sort", type=click.Choice(list(SORTS)), default="rate", show_default=True, help="What is first."
)
@click.option("--count", "-n", type=click.IntRange(1), metavar="N", help="End after so many times.")
@click.option("--once", is_flag=True, help="Look twice, print the table, end.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object on a line for each look.")
@pass_session
def top_command(
    session: Session, *, interval: float, sort: str, count: int | None, once: bool, as_json: bool
) -> None:
    """Show peers, paths and rates, until q or Ctrl+C; s sorts by something else.

    In a pipe, and with --once, the table is printed as plain lines.
    """
    looks = _Looks(session.client().live, interval, sort)
    if once:
        looks.take()
        time.sleep(interval)
        count = 1
    if as_json or once or not (sys.stdout.isatty() and sys.stdin.isatty()):
        _print(looks, count, as_json=as_json)
    else:
        _draw(looks, count)


class _Looks:
    """What the gateway tells, as rates; it may end and come back meanwhile."""

    def __init__(self, ask: Callable[[], LiveReport], interval: float, sort: str) -> None:
        self._ask = ask
        self.interval = interval
        self.sort = sort
        self.last: LiveReport | None = None
        self._before: LiveReport | None = None

    def take(self) -> Rates:
        """Look once more."""
        report = self._ask()
        self._before, self.last = self.last, report
        return self.rates()

    def rates(self) -> Rates:
        """By the last two looks."""
        assert self.last is not None  # noqa: S101 - after `take`
        return rates(self._before, self.last, self.sort)

    def sort_by_next(self) -> None:
        """By something else from now on."""
        names = list(SORTS)
        self.sort = names[(names.index(self.sort) + 1) % len(names)]


def _print(looks: _Looks, count: int | None, *, as_json: bool) -> None:
    number = 0
    while count is None or number < count:
        if number:
            time.sleep(looks.interval)
        found = looks.take()
        if as_json:
            click.echo(_line(looks, found))
        else:
            if number:
                output.say()
            output.say(_summary(looks, found))
            output.table(_TITLES, _rows(found))
        sys.stdout.flush()
        number += 1


def _line(looks: _Looks, found: Rates) -> str:
    """One look as JSON: what the gateway told, with rates in bytes a second."""
    assert looks.last is not None  # noqa: S101 - after `take`
    told = msgspec.to_builtins(looks.last)
    by_id = {row.peer.endpoint_id: row for row in found.peers}
    for peer in told["peers"]:
        row = by_id[peer["endpoint_id"]]
        peer |= {"up": row.up, "down": row.down}
    told |= {"up": found.up, "down": found.down, "cpu": found.cpu}
    return msgspec.json.encode(told).decode()


def _draw(looks: _Looks, count: int | None) -> None:
    """On a terminal, in place."""
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False, markup=False)
    problem = ""
    number = 0
    found = looks.take()  # that no gateway runs is told as by any other command
    with _keys() as wait_key, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(_screen(looks, found, problem, console.width), refresh=True)
            number += 1
            if count is not None and number > count:
                return
            until = time.monotonic() + looks.interval
            while (left := until - time.monotonic()) > 0:
                match wait_key(left):
                    case "q" | "\x03" | "\x04":
                        return
                    case "s":
                        looks.sort_by_next()
                        found = looks.rates()
                        live.update(_screen(looks, found, problem, console.width), refresh=True)
                    case _:
                        pass
            try:
                found, problem = looks.take(), ""
            except NotRunning:
                problem = "the gateway is not running; waiting for it"


def _screen(looks: _Looks, found: Rates, problem: str, width: int) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    shown = [number for number, title in enumerate(_TITLES) if width >= _WIDTHS.get(title, 0)]
    for number in shown:
        is_path = _TITLES[number] == "path"
        is_text = is_path or number == 0
        table.add_column(
            _TITLES[number],
            overflow="ellipsis" if is_path else "crop",
            no_wrap=True,
            justify="left" if is_text else "right",
            min_width=0 if is_path else (10 if _TITLES[number] in ("up", "down") else 8),
            ratio=1 if is_path else None,
        )
    for row in _rows(found):
        table.add_row(*(Text(output.visible(row[number])) for number in shown))
    foot = problem or f"sorted by {looks.sort}; s sorts by something else, q ends"
    summary = Text(_summary(looks, found), style="bold", no_wrap=True, overflow="ellipsis")
    return Group(summary, Text(), table, Text(), Text(foot, style="dim"))


def _summary(looks: _Looks, found: Rates) -> str:
    assert looks.last is not None  # noqa: S101 - after `take`
    live, process = looks.last, looks.last.process
    peers = len(live.peers)
    parts = [
        f"{peers} peer{'' if peers == 1 else 's'}",
        f"up {_rate(found.up)}",
        f"down {_rate(found.down)}",
        f"{live.streams} streams",
        f"{live.flows} flows",
    ]
    parts += [] if found.cpu is None else [f"cpu {found.cpu:.0%}"]
    parts += [] if process.rss is None else [f"memory {output.amount(process.rss)}"]
    parts += [] if process.descriptors is None else [f"{process.descriptors} descriptors"]
    return "  ".join([*parts, f"up for {output.duration(live.moment - live.started)}"])


def _rows(found: Rates) -> Iterator[tuple[str, ...]]:
    for row in found.peers:
        peer = row.peer
        yield (
            row.name,
            peer.where + (f", trying {peer.trying}" if peer.trying else ""),
            "" if peer.rtt is None else f"{peer.rtt * 1000:.1f} ms",
            _rate(row.up),
            _rate(row.down),
            output.amount(peer.sent),
            output.amount(peer.received),
            str(peer.streams),
            str(peer.flows),
            output.duration(peer.seconds),
        )


def _rate(value: float) -> str:
    return f"{output.amount(round(value))}/s"


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """The terminal gives each key at once; what is yielded waits so many seconds for one, and gives "" for none."""
    try:
        import termios
        import tty
    except ImportError:  # Windows: Ctrl+C ends

        def only_wait(seconds: float) -> str:
            time.sleep(seconds)
            return ""

        yield only_wait
        return
    terminal = sys.stdin.fileno()
    saved = termios.tcgetattr(terminal)

    def wait(seconds: float) -> str:
        readable, _, _ = select.select([terminal], [], [], seconds)
        return os.read(terminal, 1).decode("latin-1") if readable else ""

    tty.setcbreak(terminal)
    try:
        yield wait
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, saved)
