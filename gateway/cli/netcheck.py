"""`overlay netcheck`: how this network lets the gateway be reached, and what would help."""

from __future__ import annotations

import click

from gateway.cli import output
from gateway.cli.app import Command, Session, pass_session
from gateway.control.netcheck import NetcheckRequest


@click.command(
    "netcheck", cls=Command, short_help="How this network lets us be reached, and what would help."
)
@click.option(
    "--max-age",
    type=click.FloatRange(0, 86400),
    default=0.0,
    metavar="S",
    help="Take a measurement of the last S seconds, if there is one.",
)
@output.json_option
@pass_session
def netcheck_command(session: Session, *, max_age: float, as_json: bool) -> int:
    """Measure what the router or firewall between this gateway and the world does, with the STUN server of its beacon.

    It takes a second, or three where UDP is blocked, and sends some forty small datagrams. Exit codes: 0 if UDP works,
    1 if it is blocked or nobody could be asked.
    """
    if not as_json:
        output.aside("asking our beacon's STUN servers…")
    report = session.client().netcheck(NetcheckRequest(max_age=max_age))
    if as_json:
        output.echo_json(report)
    else:
        output.table(("", "", ""), [(f.what, f.value, f.meaning) for f in report.findings])
        output.say()
        for remedy in report.remedies:
            output.say(f"→ {remedy}")
        when = f"measured {output.duration(report.age)} ago" if report.age >= 1 else "measured"
        output.aside(f"{when} in {report.seconds:.1f} s")
    return 0 if report.udp_blocked is False else 1
