"""`overlay ping`: whether an endpoint answers, by which path, and why by that one."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

import click

from gateway.cli import output
from gateway.cli.app import Command, Session, pass_session
from gateway.cli.parameters import completed_by
from gateway.control.names import PingRequest
from gateway.dialing import DialError, Failure
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.control.client import ControlClient
    from gateway.control.names import PingReport
    from gateway.control.paths import PathsReport

_BETWEEN_PINGS: Final = 1.0
"""Seconds, as ping(8)."""

_UNTIL_DIRECT: Final = 10
"""Pings without --count, unless the path is direct before: a direct path is made in a second, if it can be made."""


class UnknownName(DialError):
    """The name means nothing here: ping(8) ends with 2 then, not with the 1 of somebody who does not answer."""

    exit_code: ClassVar[int] = 2


@dataclass(slots=True)
class _Run:
    """What came of the pings so far."""

    name: str
    sent: int = 0
    replies: list[PingReport] = field(default_factory=list)
    failure: DialError | None = None
    told_until: float = float("-inf")
    """The time of the last decision that was printed, by the daemon's clock."""
    paths: PathsReport | None = None


@click.command("ping", cls=Command, short_help="Whether an endpoint answers, and by which path.")
@click.argument("name", shell_complete=completed_by("contacts"))
@click.option(
    "--count",
    "-c",
    type=click.IntRange(1, 10_000),
    help=f"How many round trips; else until the path is direct, {_UNTIL_DIRECT} at most.",
)
@click.option("--explain", is_flag=True, help="Tell which paths were tried, and what was decided, and why.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 60),
    default=10.0,
    show_default=True,
    metavar="S",
    help="For each.",
)
@output.json_option
@pass_session
def ping_command(
    session: Session, *, name: str, count: int | None, explain: bool, timeout: float, as_json: bool
) -> None:
    """Whether the endpoint called NAME answers, how fast, and by which path.

    Exit codes are those of ping(8): 0 if it answered, 1 if it did not, 2 if there is nobody of this name.
    """
    client, run = session.client(), _Run(name)
    interrupted = False
    try:
        while run.sent < (count or _UNTIL_DIRECT):
            if run.sent:
                time.sleep(_BETWEEN_PINGS)
            _ping(client, run, timeout, tell=not as_json)
            if explain:
                _learn_paths(client, run, tell=not as_json)
            if count is None and run.replies and run.replies[-1].path in ("LAN", "direct", "TCP"):
                break
    except KeyboardInterrupt:
        interrupted = True
        if not run.replies:
            raise
    if run.failure is not None and not run.replies:
        raise run.failure
    if as_json:
        told = {"name": name, "sent": run.sent, "received": len(run.replies), "replies": run.replies}
        output.echo_json(told | ({"paths": run.paths} if explain else {}))
        return
    if explain and run.paths is not None:
        _tell_paths(run.paths, name)
    output.say(_summary(run))
    if (
        count is None
        and not interrupted
        and run.replies[-1].path in ("TURN", "peer relay", "relay")
        and not explain
    ):
        output.aside(f"No direct path yet; {session.command} ping {name} --explain tells what was tried.")


def _ping(client: ControlClient, run: _Run, timeout: float, *, tell: bool) -> None:
    """One round trip, told as soon as it is over."""
    run.sent += 1
    try:
        reply = client.ping(PingRequest(name=run.name, timeout=timeout))
    except DialError as error:
        if error.failure is Failure.UNKNOWN_NAME:
            raise UnknownName(error.failure, str(error)) from None
        run.failure = error
        if tell and run.sent > 1:
            output.say(str(error))
        return
    run.replies.append(reply)
    if tell:
        connecting = "" if reply.connect_ms is None else f" (connected in {_number(reply.connect_ms)} ms)"
        output.say(
            f"pong from {reply.name} via {reply.via or reply.address} {_number(reply.rtt_ms)} ms{connecting}"
        )


def _learn_paths(client: ControlClient, run: _Run, *, tell: bool) -> None:
    """Ask for the paths, and tell what was decided since the last time."""
    try:
        run.paths = client.paths(run.name)
    except GatewayError as error:  # the tunnel ended meanwhile; the next ping tells more
        if tell:
            output.say(f"  {error}")
        return
    for decision in run.paths.decisions:
        if decision.at > run.told_until and tell:
            why = f": {decision.why}" if decision.why else ""
            again = f" ({decision.times} times)" if decision.times > 1 else ""
            output.say(f"  {_ago(decision.ago)}  {decision.what}{why}{again}")
    run.told_until = max((d.at for d in run.paths.decisions), default=run.told_until)


def _tell_paths(report: PathsReport, name: str) -> None:
    """Candidates of both sides and the state of each path."""
    output.say()
    output.head(f"Paths to {name}; {report.policy} is the policy")
    rows = [
        (
            "→" if path.selected else "",
            path.address,
            path.path,
            path.kind,
            path.state + (", trusted" if path.trusted else "") + (", lossy" if path.lossy else ""),
            "" if path.rtt_ms is None else f"{_number(path.rtt_ms)} ms",
            _ago(path.answered_ago),
            _ago(path.heard_ago),
        )
        for path in report.paths
    ]
    titles = ("", "to", "path", "known as", "state", "round trip", "answered", "heard")
    output.table(titles, rows)
    output.say()
    output.head(f"Where {name} was told that we are")
    output.table(
        ("address", "path", "known as"), [(c.address, c.path, c.kind) for c in report.own_candidates]
    )
    output.say()


def _summary(run: _Run) -> str:
    times = [reply.rtt_ms for reply in run.replies]
    lost = 100 * (run.sent - len(times)) // run.sent
    low, mean, high = (_number(value) for value in (min(times), sum(times) / len(times), max(times)))
    return (
        f"{run.name}: {run.sent} sent, {len(times)} received, {lost}% lost; round trip min/avg/max "
        f"{low}/{mean}/{high} ms; path: {run.replies[-1].path}"
    )


def _number(milliseconds: float) -> str:
    """Three digits, no more: `23`, `1.5`, `0.08`."""
    return f"{milliseconds:.0f}" if milliseconds >= 100 else f"{milliseconds:.3g}"


def _ago(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    return f"{seconds:.1f} s ago" if seconds < 60 else f"{output.duration(seconds)} ago"
