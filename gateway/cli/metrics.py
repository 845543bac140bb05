"""`overlay metrics`: the gateway's figures, as Prometheus reads them."""

from __future__ import annotations

import click

from gateway.cli import output
from gateway.cli.app import Command, Session, pass_session


@click.command("metrics", cls=Command, short_help="Print the figures for Prometheus.")
@output.json_option
@pass_session
def metrics_command(session: Session, *, as_json: bool) -> None:
    """Print the gateway's figures in Prometheus's text format, once.

    For Prometheus to fetch them, set `enabled = true` under [metrics] in gateway.toml.
    """
    report = session.client().metrics()
    if as_json:
        output.echo_json(report)
        return
    for line in report.text.splitlines():
        output.say(line)
    if report.served_at:
        output.aside(f"Prometheus fetches this at {report.served_at}")
