"""`overlay netcheck`: how this network lets the gateway be reached, and what would help."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import click

from gateway.cli import output, progress
from gateway.cli.app import Command, Session, pass_session
from gateway.cli.pinging import UnknownName
from gateway.control.netcheck import NetcheckRequest
from gateway.dialing import DialError

if TYPE_CHECKING:
    from gateway.control.netcheck import NetcheckReport, RungReport

_SILENCE_SECONDS: Final = 180.0
"""What measuring how long mappings live takes about: the longest silence that is tried is 175 s."""


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
@click.option(
    "--ladder",
    is_flag=False,
    flag_value="",
    metavar="[NAME]",
    help="Tell as well what would be tried to get a direct path to peers in each kind of network, or to this one.",
)
@click.option(
    "--lifetime",
    is_flag=True,
    help="Find out, too, how long a silent path is let in: that takes three minutes.",
)
@output.json_option
@pass_session
def netcheck_command(
    session: Session, *, max_age: float, lifetime: bool, ladder: str | None, as_json: bool
) -> int:
    """Measure what the router or firewall between this gateway and the world does, with the STUN server of its beacon.

    It takes a second, or three where UDP is blocked, and sends some forty small datagrams. Exit codes: 0 if UDP works,
    1 if it is blocked or nobody could be asked, 2 if there is nobody of that name.
    """
    request = NetcheckRequest(
        max_age=max_age, lifetime=lifetime, ladder=ladder is not None, peer=ladder or ""
    )
    if not as_json:
        output.aside("asking our beacon's STUN servers…")
        if lifetime:
            output.aside("waiting for up to three minutes, to see how long a silent path is let in…")
    silence = progress.lasting("silence", _SILENCE_SECONDS) if lifetime else contextlib.nullcontext()
    try:
        with silence:
            report = session.client().netcheck(request)
    except DialError as error:
        raise UnknownName(error.failure, str(error)) from None
    if as_json:
        output.echo_json(report)
    else:
        output.table(("", "", ""), [(f.what, f.value, f.meaning) for f in report.findings])
        output.say()
        for remedy in report.remedies:
            output.say(f"→ {remedy}")
        if report.ladders:
            _tell_ladders(report)
        when = f"measured {output.duration(report.age)} ago" if report.age >= 1 else "measured"
        output.aside(f"{when} in {report.seconds:.1f} s")
    return 0 if report.udp_blocked is False else 1


def _tell_ladders(report: NetcheckReport) -> None:
    """A line for each thing that is tried, the first first; the peer's network in the first line of each."""
    output.say()
    output.say(f"This network, for a peer over IPv4: {report.network_class}. What is tried, in this order:")
    rows = [
        (ladder.peer if number == 0 else "", rung.strategy, _chance(rung.success), _price(rung), rung.why)
        for ladder in report.ladders
        for number, rung in enumerate(ladder.rungs)
    ]
    output.table(("the peer's network", "", "chance", "takes at most", ""), rows)


def _chance(success: float) -> str:
    """Only what always works is 100 %."""
    return ">99%" if 0.99 < success < 1 else f"{success:.0%}"


def _price(rung: RungReport) -> str:
    if not rung.seconds:
        return "pings" if rung.is_direct else "-"
    return f"{rung.seconds:.0f} s, {rung.datagrams} datagrams"
