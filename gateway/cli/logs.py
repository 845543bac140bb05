"""`overlay logs`: what the gateway did. Reads the file itself, so that it also tells why a gateway is gone."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import click

from gateway.cli.app import Command, Session, pass_session
from gateway.cli.output import visible
from gateway.errors import StateError, UsageError
from gateway.limits import CONTROL_LOG_LINES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.log_lines import LogLine

_POLL_SECONDS: Final = 0.25
"""How often a followed log is looked at; a person sees no delay, and it costs one stat call."""


@click.command("logs", cls=Command, short_help="Print the last lines of the log.")
@click.option("--follow", "-f", is_flag=True, help="Go on with new lines as they come, until Ctrl+C.")
@click.option(
    "--lines",
    "-n",
    type=click.IntRange(0, CONTROL_LOG_LINES),
    default=50,
    show_default=True,
    metavar="N",
    help="How many.",
)
@click.option(
    "--level", type=click.Choice(["debug", "info", "warning", "error"]), help="Only what is as bad, or worse."
)
@click.option("--since", metavar="WHEN", help="Only newer ones: 10min, 2h, 1d, or a time.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object on each line, whatever the file has.")
@pass_session
def logs_command(
    session: Session, *, follow: bool, lines: int, level: str | None, since: str | None, as_json: bool
) -> None:
    """Print the last lines of the log, whether the gateway runs or not.

    They are in words unless --json is given, whatever `[gateway] log_format` the file was written in.
    """
    from gateway import log_lines
    from gateway.logs import LogTail

    try:
        oldest = None if since is None else log_lines.moment(since, time.time())  # noqa: TID251 - of log lines
    except ValueError as error:
        raise UsageError(f"logs: --since {error}") from None

    def wanted(raw: Iterable[str]) -> Iterator[LogLine]:
        return (entry for entry in log_lines.entries(raw) if log_lines.is_wanted(entry, level, oldest))

    def show(entries: Iterable[LogLine]) -> None:
        for entry in entries:
            for line in [log_lines.as_json(entry)] if as_json else log_lines.as_text(entry):
                click.echo(visible(line))

    path = session.home.log_file
    if not follow and not path.exists():
        raise StateError(f"logs: {path} is not there yet; `{session.command} up` begins it")
    with contextlib.closing(LogTail(path)) as tail:
        is_filtered = level is not None or oldest is not None
        found = tail.last(CONTROL_LOG_LINES if is_filtered else lines)
        show(deque(wanted(found), maxlen=lines))
        while follow:
            sys.stdout.flush()
            time.sleep(_POLL_SECONDS)
            show(wanted(tail.added()))
