"""`overlay logs`: what the gateway did. Reads the file itself, so that it also tells why a gateway is gone."""

from __future__ import annotations

import contextlib
import time
from typing import Final

import click

from gateway.cli.app import Command, Session, pass_session
from gateway.cli.output import visible
from gateway.errors import StateError
from gateway.limits import CONTROL_LOG_LINES

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
@pass_session
def logs_command(session: Session, *, follow: bool, lines: int) -> None:
    """Print the last lines of the log, whether the gateway runs or not."""
    from gateway.logs import LogTail

    path = session.home.log_file
    if not follow and not path.exists():
        raise StateError(f"logs: {path} is not there yet; `{session.command} up` begins it")
    with contextlib.closing(LogTail(path)) as tail:
        found = tail.last(lines)
        while True:
            for line in found:
                click.echo(visible(line))
            if not follow:
                return
            time.sleep(_POLL_SECONDS)
            found = tail.added()
