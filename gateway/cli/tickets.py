"""`overlay ticket`, `overlay join`: passing on where an endpoint is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from gateway.cli import joining, naming, output, qr
from gateway.cli.app import Command, Session, pass_session
from gateway.cli.parameters import Duration
from gateway.control.tickets import JoinRequest, TicketRequest
from gateway.errors import UsageError

if TYPE_CHECKING:
    from gateway.control.contacts import ContactReport
    from gateway.control.tickets import TicketReport


@click.command("ticket", cls=Command, short_help="Print where this endpoint is.")
@click.option("--expires", type=Duration("a ticket"), metavar="30d", help="How long it is good for.")
@click.option("--qr", "with_qr", is_flag=True, help="Print a QR code, too.")
@output.json_option
@pass_session
def ticket_command(session: Session, *, expires: float | None, with_qr: bool, as_json: bool) -> None:
    """Print where this endpoint is, as text to give to others. It holds no secret and grants nothing."""
    report = session.client().ticket(TicketRequest(expires_in=expires))
    if as_json:
        output.echo_json(report)
        return
    output.say(report.ticket)
    if with_qr:
        qr.show(report.ticket, asked=True)
    if sys.stdout.isatty():
        output.aside(
            f"Good until {output.day(report.expires)}; at {', '.join(_places(report)) or 'no known address'}."
        )
        output.aside(f"They run: {report.command or f'overlay join {report.ticket}'}")


@click.command("join", cls=Command, short_help="Take an invite, a ticket or a spoken code.")
@click.argument("words", metavar="INVITE|TICKET|CODE|-", nargs=-1, required=True)
@click.option("--name", metavar="NAME", default="", help="What to call it; else the name it suggests.")
@click.option("--preview", is_flag=True, help="Tell what it says and change nothing.")
@click.option("--yes", "-y", is_flag=True, help="Take an invite without being asked.")
@click.option("--beacon", metavar="URL", default="", help="Where a spoken code waits; else at one of ours.")
@output.json_option
@pass_session
def join_command(
    session: Session,
    *,
    words: tuple[str, ...],
    name: str,
    preview: bool,
    yes: bool,
    beacon: str,
    as_json: bool,
) -> None:
    """Take somebody's INVITE, TICKET or spoken CODE: its endpoint becomes a contact, with a name of yours.

    An invite is shown before it is taken. A ticket tells where somebody is, and grants nothing.
    """
    text = sys.stdin.read(16384).strip() if words == ("-",) else " ".join(words).strip()
    if not text:
        raise UsageError("join: this ticket is empty; ask for the output of `overlay ticket`")
    if joining.kind_of(text) is not joining.Kind.TICKET:
        joining.take(session, text, name=name, beacon=beacon, preview=preview, yes=yes, as_json=as_json)
        return
    client = session.client()
    try:
        report = naming.with_free_name(
            lambda name: client.join(JoinRequest(ticket=text, petname=name, preview=preview)), name
        )
    except UsageError as error:
        if "one begins with" not in str(error):
            raise
        # What it is nobody can tell; it need not be a ticket that was meant.
        raise UsageError(f"join: {error}, and an invite with overlay:i1; copy all of it") from None
    naming.warn_all(report.contact.warnings)
    if as_json:
        output.echo_json(report)
        return
    contact = report.contact
    verb = "would be called" if preview else "is still called" if report.known else "is now called"
    output.head(f"{contact.endpoint_id[:8]}… {verb} {contact.petname}.")
    rows = [("id", contact.endpoint_id), ("name", f"{contact.petname}.overlay")]
    rows += [("services", ", ".join(contact.services))] if contact.services else []
    rows += [("opens as", url) for url in report.urls]
    rows += [
        (
            "or locally",
            f"{entry.name} at {', '.join(f'{entry.ip}:{offer.offered}' for offer in entry.offers)}",
        )
        for entry in report.loopback
    ]
    rows += [("addresses", ", ".join(_places(contact))), ("ticket until", output.day(report.expires))]
    if not preview:
        rows.append(("undo", f"{session.command} contacts rm {contact.petname}"))
    output.pairs(rows)


def _places(report: TicketReport | ContactReport) -> tuple[str, ...]:
    """Where an endpoint may be reached."""
    return (*report.addresses, *map(output.relay, report.relays))
