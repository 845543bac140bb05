"""Taking an invite, in steps: what the text is, what it grants, the question, the taking. Tickets are next door, in `tickets`."""

from __future__ import annotations

import re
import sys
from enum import Enum
from typing import TYPE_CHECKING

import click

from gateway.cli import naming, output
from gateway.cli.invites import grants, until
from gateway.control.invites import SayCodeRequest, TakeInviteRequest
from gateway.errors import GatewayError, UsageError
from gateway.invites.texts import FORM

if TYPE_CHECKING:
    from gateway.cli.app import Session
    from gateway.control.invites import InviteReport, TakeInviteReport


class Kind(Enum):
    """What somebody was given to join with."""

    TICKET = "ticket"
    INVITE = "invite"
    CODE = "code"


def kind_of(text: str) -> Kind:
    """What a text says that it is; whatever else is wrong with it, its own reader says."""
    if FORM.claims(text) or re.match(r"\W*overlay:i\d", text, re.IGNORECASE):
        return Kind.INVITE
    if re.fullmatch(r"\s*\d+([\s-]+[A-Za-z]+)+\s*", text):
        return Kind.CODE
    return Kind.TICKET


def take(
    session: Session, text: str, *, name: str, beacon: str, preview: bool, yes: bool, as_json: bool
) -> None:
    """Take an invite, or what a spoken code stands for: told, asked about, taken."""
    if not (preview or yes):
        check_can_ask(as_json=as_json)
    kind = kind_of(text)
    invite = say_code(session, text, beacon) if kind is Kind.CODE else text
    try:
        report = preview_of(session, invite, name)
        if not as_json:
            tell_preview(report)
        if not preview:
            if not yes:
                ask()
            report = session.client().take_invite(
                TakeInviteRequest(invite=invite, petname=report.contact.petname)
            )
    except (GatewayError, click.Abort):
        if kind is Kind.CODE:
            output.aside(
                f"The code is used up; what it gave can be taken with: {session.command} join {invite}"
            )
        raise
    if as_json:
        output.echo_json(report)
    elif not preview:
        tell_taken(session, report)
    elif kind is Kind.CODE:
        output.aside(f"The code is used up; take what it gave with: {session.command} join {invite}")


def preview_of(session: Session, invite: str, name: str) -> TakeInviteReport:
    """What an invite says; asks for another name where the one it suggests, or this one, cannot be."""
    client = session.client()
    return naming.with_free_name(
        lambda name: client.take_invite(TakeInviteRequest(invite=invite, petname=name, preview=True)), name
    )


def check_can_ask(*, as_json: bool) -> None:
    """UsageError where nobody could answer a question; before anything is used up."""
    if as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "join: an invite is shown before it is taken, and there is no terminal to ask on; "
            "look at it with --preview, take it with --yes"
        )


def say_code(session: Session, code: str, beacon: str) -> str:
    """The invite that a code stands for."""
    return session.client().say_code(SayCodeRequest(code=code, beacon=beacon)).invite


def ask() -> None:
    """Whether to take it; click.Abort for no."""
    if not click.confirm("Take it?", default=False):
        output.aside("Nothing was changed.")
        raise click.Abort


def tell_preview(report: TakeInviteReport) -> None:
    """Who gives what to us, and what they learn."""
    invite = report.invite
    who = invite.issuer or f"{invite.issuer_id[:8]}…"
    output.head(f"An invite of {who} ({invite.issuer_id}).")
    rows = [
        ("grants", _granted(invite)),
        ("take before", f"{output.day(invite.expires)}, {_uses(invite)}"),
        ("is called", f"{report.contact.petname}{' (a contact already)' if report.known else ''}"),
    ]
    rows += [("calls you", invite.petname)] if invite.petname else []
    rows += [("came by", ", ".join(invite.delegators))] if invite.delegators else []
    rows += [("for", "this endpoint alone")] if invite.holder else []
    rows += [("may be passed on", f"{invite.depth} times, each narrower")] if invite.depth else []
    rows += [("learns of you", ", ".join(report.learns))] if report.learns else []
    output.pairs(rows)


def _granted(invite: InviteReport) -> str:
    text = grants(invite)
    return (
        text.removeprefix("It grants ")
        if invite.services
        else f"no service, only to be a contact, {until(invite.until)}"
    )


def _uses(invite: InviteReport) -> str:
    return "good once" if invite.uses == 1 else f"good {invite.uses} times"


def tell_taken(session: Session, report: TakeInviteReport) -> None:
    """What became of it."""
    contact = report.contact
    output.head(
        f"{contact.endpoint_id[:8]}… {'is still' if report.known else 'is now'} called {contact.petname}."
    )
    rows = [("name", f"{contact.petname}.overlay")]
    if report.state == "redeemed":
        rows.append(
            (
                "you may use",
                f"{', '.join(report.invite.services) or 'what contacts may'}, {until(report.invite.until)}",
            )
        )
        rows += [("it calls you", report.known_as)] if report.known_as else []
    rows += [("opens as", url) for url in report.urls]
    rows += [
        (
            "or locally",
            f"{entry.name} at {', '.join(f'{entry.ip}:{offer.offered}' for offer in entry.offers)}",
        )
        for entry in report.loopback
    ]
    rows.append(("undo", f"{session.command} contacts rm {contact.petname}"))
    output.pairs(rows)
    naming.warn_all(contact.warnings)
    if report.state == "waiting":
        output.warn(
            f"{contact.petname} cannot be reached now ({report.reason}); the invite is shown to it as soon as it can, "
            f"until {output.day(report.invite.expires)}: {session.command} invites ls"
        )
