"""`overlay invite`, `overlay invites`: letting others in, passing that on, and taking it back."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

import click

from gateway.cli import output, progress, qr
from gateway.cli.app import Command, Group, Session, pass_session
from gateway.cli.parameters import Duration, completed_by
from gateway.control.invites import CodeRequest, InviteRequest, IssuedReport
from gateway.errors import UsageError
from gateway.invites.errors import CodeUnknown, CodeWrong, InviteError
from gateway.invites.limits import INVITE_LINKS, INVITE_USES

if TYPE_CHECKING:
    from gateway.control.invites import (
        CodeReport,
        HeldReport,
        InviteReport,
        TakenReport,
    )

_FOREVER: Final = "forever"


class _Lasts(click.ParamType[float | str]):
    """A duration, or for ever."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """Seconds, or the word."""
        if str(value).lower() == _FOREVER:
            return _FOREVER
        return Duration("what an invite grants").convert(value, param, ctx)


@click.command("invite", cls=Command, short_help="Let somebody in: link, QR code, spoken code.")
@click.option(
    "--service",
    "services",
    multiple=True,
    metavar="NAME",
    shell_complete=completed_by("services"),
    help="What it lets them use (repeatable).",
)
@click.option(
    "--expires", type=Duration("an invite"), metavar="7d", help="In which it is to be taken; else a week."
)
@click.option(
    "--lasts",
    type=_Lasts(),
    metavar="90d|forever",
    help="How long they may use it; else until the invite expires.",
)
@click.option(
    "--uses",
    type=click.IntRange(1, INVITE_USES),
    default=1,
    show_default=True,
    help="How many endpoints may take it.",
)
@click.option("--name", default="", metavar="NAME", help="What you will call whoever takes it.")
@click.option(
    "--for",
    "holder",
    default="",
    metavar="ID",
    shell_complete=completed_by("contacts"),
    help="A contact or an id: nobody else can take it.",
)
@click.option(
    "--delegable",
    is_flag=True,
    help="Whoever has it may pass on narrower ones, each taking one of its uses.",
)
@click.option(
    "--from",
    "source",
    default="",
    metavar="NAME|INVITE",
    shell_complete=completed_by("contacts"),
    help="Pass on an invite that you were given.",
)
@click.option("--code", is_flag=True, help="Wait with a short code to be read over the telephone.")
@click.option("--qr", "with_qr", is_flag=True, help="Print a QR code, also where there is no terminal.")
@output.json_option
@pass_session
def invite_command(
    session: Session,
    *,
    services: tuple[str, ...],
    expires: float | None,
    lasts: float | Literal["forever"] | None,
    uses: int,
    name: str,
    holder: str,
    delegable: bool,
    source: str,
    code: bool,
    with_qr: bool,
    as_json: bool,
) -> None:
    """Make an invite: whoever takes it is your contact, and may use the services that it names.

    It is a secret until it was taken, unless it is --for one endpoint alone.
    """
    if source == "-":
        source = sys.stdin.read(16384).strip()
    request = InviteRequest(
        services=services,
        expires_in=expires,
        lasts=lasts,
        uses=uses,
        name=name,
        holder=holder,
        depth=INVITE_LINKS - 1 if delegable else 0,
        source=source,
    )
    if code:
        _wait_with_code(session, request, as_json=as_json)
        return
    report = session.client().invite(request)
    if as_json:
        output.echo_json(report)
    else:
        tell_invite(session, report, with_qr=with_qr)


def tell_invite(session: Session, report: InviteReport, *, with_qr: bool = False) -> None:
    """An invite that was just made: the text on stdout, and on a terminal what it is, and how it is undone."""
    output.say(report.invite)
    qr.show(report.invite, asked=with_qr)
    if not sys.stdout.isatty():
        return
    output.aside(f"{grants(report)}; {_good_for(report)}.")
    output.aside(f"They run: {report.command}")
    if report.undo:
        output.aside(f"Undo: {session.command} {report.undo.removeprefix('overlay ')}")
    if not report.holder:
        output.aside("Whoever has it can take it: pass it on as you would a key.")


def grants(report: InviteReport) -> str:
    """What an invite grants, as the beginning of a sentence."""
    what = (
        f"it grants {', '.join(report.services)}"
        if report.services
        else "it makes a contact, and grants no service"
    )
    return f"{what[0].upper()}{what[1:]} {until(report.until)}"


def until(end: float | None) -> str:
    """When a grant ends, for people."""
    return "until it is revoked" if end is None else f"until {output.day(end)}"


def _good_for(report: InviteReport) -> str:
    uses = "once" if report.uses == 1 else f"{report.uses} times"
    who = f" for {report.holder[:8]}… alone" if report.holder else ""
    passed = ", and may be passed on" if report.depth else ""
    return f"good {uses}{who} before {output.day(report.expires)}{passed}"


# --- spoken codes -------------------------------------------------------------------------------------------------


def _wait_with_code(session: Session, request: InviteRequest, *, as_json: bool) -> None:
    """Print a code, wait until it was said, and tell what came of it."""
    client = session.client()
    report = client.offer_code(CodeRequest(invite=request))
    try:
        if as_json:
            output.echo_json(report)
        else:
            output.head(report.code)
            output.aside(f"They run, with the beacon {report.beacon}: overlay join {report.code}")
            output.aside(f"Waiting until {_clock(report.expires)}; Ctrl-C cancels.")
        with progress.lasting("waiting", report.expires - datetime.now(UTC).timestamp()):
            while report.state in ("waiting", "talking"):
                before = report.state
                report = client.code(report.code)
                if report.state == "talking" and before != "talking" and not as_json:
                    output.aside(f"{report.taker[:8]}… says it …")
    except KeyboardInterrupt:
        client.cancel_code(report.code)
        output.aside("Cancelled; nobody can use the code any more.")
        raise
    _tell_end(session, report, as_json=as_json)


def _tell_end(session: Session, report: CodeReport, *, as_json: bool) -> None:
    if report.state == "passed":
        if as_json:
            output.echo_json(report)
            return
        output.say(f"Passed to {report.taker}, who alone can take it.")
        output.aside(f"Undo: {session.command} invites revoke {report.serial[:8]}")
    elif report.state == "guessed":
        raise CodeWrong(f"invite: {report.reason}")
    elif report.state == "expired":
        raise CodeUnknown(f"invite: {report.reason}")
    else:
        raise InviteError(f"invite: {report.reason}")


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))


# --- what there is ------------------------------------------------------------------------------------------------


@click.group("invites", cls=Group, short_help="Invites you made and took.", default="ls")
def invites_command() -> None:
    """Invites that you made and took, and what they grant; without a command, list them."""


@invites_command.command("ls")
@output.json_option
@pass_session
def list_invites(session: Session, *, as_json: bool) -> None:
    """List the invites, and who took them."""
    report = session.client().invites()
    if as_json:
        output.echo_json(report)
        return
    if report.issued:
        output.table(
            ("yours", "grants", "take before", "lasts", "state", "taken by"),
            [
                (
                    issued.invite.serial[:8],
                    ", ".join(issued.invite.services) or "contact only",
                    output.day(issued.invite.expires),
                    until(issued.invite.until).removeprefix("until "),
                    f"{issued.state} {issued.used}/{issued.invite.uses}",
                    ", ".join(map(_taker, issued.taken)),
                )
                for issued in report.issued
            ],
        )
    if report.held:
        output.table(
            ("taken", "of", "grants", "take before", "state"),
            [
                (
                    held.invite.serial[:8],
                    held.contact or held.invite.issuer,
                    ", ".join(held.services or held.invite.services) or "contact only",
                    output.day(held.invite.expires),
                    _held_state(held),
                )
                for held in report.held
            ],
        )
    if not (report.issued or report.held):
        output.aside(f"No invites yet; `{session.command} invite --service NAME` makes one.")


@invites_command.command("show")
@click.argument("serial", shell_complete=completed_by("serials"))
@output.json_option
@pass_session
def show_invite(session: Session, *, serial: str, as_json: bool) -> None:
    """Show the invite whose serial begins with SERIAL."""
    report = session.client().invites()
    entries: tuple[IssuedReport | HeldReport, ...] = (*report.issued, *report.held)
    found = [entry for entry in entries if serial and _is_meant(entry, serial.strip().lower())]
    if len(found) != 1:
        how_many = "none has" if not found else f"{len(found)} have"
        raise UsageError(f"invites: {how_many} a serial that begins with {serial!r}; see: overlay invites ls")
    if as_json:
        output.echo_json(found[0])
        return
    invite = found[0].invite
    output.head(f"{invite.serial}: {grants(invite)}; {_good_for(invite)}.")
    rows = [("made", output.day(invite.issued)), ("by", f"{invite.issuer or '?'} ({invite.issuer_id})")]
    rows += [("calls them", invite.petname)] if invite.petname else []
    rows += [("passed on by", ", ".join(invite.delegators))] if invite.delegators else []
    rows += _rows_of(found[0])
    if isinstance(found[0], IssuedReport):
        rows.append(("undo", f"{session.command} invites revoke {invite.serial[:8]}"))
    output.pairs(rows)


def _is_meant(entry: IssuedReport | HeldReport, serial: str) -> bool:
    """Whether an invite, or what others made of it and was taken, has a serial that begins so."""
    made_of_it = [taken.serial for taken in entry.taken] if isinstance(entry, IssuedReport) else []
    return any(known.startswith(serial) for known in (entry.invite.serial, *made_of_it))


def _rows_of(entry: IssuedReport | HeldReport) -> list[tuple[str, str]]:
    if isinstance(entry, IssuedReport):
        rows = [("state", f"{entry.state}, taken {entry.used} of {entry.invite.uses} times")]
        return rows + [
            ("taken by", f"{_taker(taken)} on {output.day(taken.taken)}, {until(taken.until)}")
            for taken in entry.taken
        ]
    rows = [("state", _held_state(entry))]
    rows += [("calls you", entry.known_as)] if entry.known_as else []
    passed_on = ", ".join(made[:8] for made in entry.passed_on)
    return [*rows, *([("passed on as", passed_on)] if passed_on else [])]


@invites_command.command("revoke")
@click.argument("serial", shell_complete=completed_by("serials"))
@output.json_option
@pass_session
def revoke_invite(session: Session, *, serial: str, as_json: bool) -> None:
    """Take back the invite whose serial begins with SERIAL, and end at once what it granted."""
    report = session.client().revoke_invite(serial)
    if as_json:
        output.echo_json(report)
        return
    ended = ", ".join(map(_named, report.ended))
    output.say(
        f"{report.serial[:8]}… is revoked; "
        + (f"what it granted to {ended} has ended." if ended else "it granted nothing.")
    )
    for taken in report.ended:
        if taken.petname:
            output.aside(
                f"{taken.petname} is still a contact; undo that: {session.command} contacts rm {taken.petname}"
            )


def _taker(taken: TakenReport) -> str:
    """Who took an invite, and whether that still counts."""
    return _named(taken) if taken.in_force else f"{_named(taken)} (ended)"


def _named(taken: TakenReport) -> str:
    """Who took an invite, as far as a line has room."""
    name = taken.petname or f"{taken.endpoint_id[:8]}…"
    name += f" (wanted: {taken.wanted})" if taken.wanted else ""
    by_way = f" by way of {', '.join(taken.delegators)} ({taken.serial[:8]})" if taken.delegators else ""
    return name + by_way


def _held_state(held: HeldReport) -> str:
    if held.state == "redeemed":
        return f"redeemed, {until(held.until)}"
    if held.state == "waiting":
        return f"waits for its issuer{f': {held.reason}' if held.reason else ''}"
    return held.reason or held.state
