"""`overlay dash`: the dashboard in a browser."""

from __future__ import annotations

import os
import sys

import click

from gateway.cli import output
from gateway.cli.app import Command, Session, pass_session


@click.command("dash", cls=Command, short_help="Open the dashboard in a browser.")
@click.option("--print", "--no-open", "no_open", is_flag=True, help="Print the link and open nothing.")
@output.json_option
@pass_session
def dash_command(session: Session, *, no_open: bool, as_json: bool) -> None:
    """Open the dashboard in a browser.

    The link is good for one browser and for a minute; without it nobody sees anything there.
    """
    report = session.client().dashboard_login()
    if as_json:
        output.echo_json(report)
        return
    output.say(report.url)
    seconds = output.duration(report.seconds)
    if report.note:
        # Others could read the link among the arguments of the browser's process, and be quicker than it.
        output.warn(f"{report.note}; open the link yourself, within {seconds}")
    elif not no_open and _has_browser() and _open(report.url):
        output.aside(f"Opened in a browser. The link works once, within {seconds}.")
    else:
        output.aside(f"Open this in a browser of this machine within {seconds}; it works once.")


def _has_browser() -> bool:
    """Whether there is a screen to show one on; what `webbrowser` finds else would take over the terminal."""
    if not sys.stdout.isatty():
        return False
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def _open(url: str) -> bool:
    import webbrowser

    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False
