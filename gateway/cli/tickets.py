"""`overlay ticket`, `overlay join`: passing on where an endpoint is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from gateway.cli import naming, output
from gateway.cli.app import Command, Session, pass_session
from gateway.cli.parameters import Duration
from gateway.control.api import JoinRequest, TicketRequest
from gateway.errors import UsageError

if TYPE_CHECKING:
    from gateway.control.api import ContactReport, TicketReport


@click.command("ticket", cls=Command, short_help="Print where this endpoint is.")
@click.option("--expires", type=Duration("a ticket"), metavar="30d", help="How long it is good for.")
@output.json_option
@pass_session
def ticket_command(session: Session, *, expires: float | None, as_json: bool) -> None:
    """Print where this endpoint is, as text to give to others. It holds no secret and grants nothing."""
    report = session.client().ticket(TicketRequest(expires_in=expires))
    if as_json:
        output.echo_json(report)
        return
    output.say(report.ticket)
    if sys.stdout.isatty():
        output.aside(
            f"Good until {output.day(report.expires)}; at {', '.join(_places(report)) or 'no known address'}."
        )
        output.aside(f"They run: {report.command or f'overlay join {report.ticket}'}")


@click.command("join", cls=Command, short_help="Take somebody's ticket.")
@click.argument("ticket", metavar="TICKET|-")
@click.option("--name", metavar="NAME", default="", help="What to call it; else the name it suggests.")
@click.option("--preview", is_flag=True, help="Tell what the ticket says and change nothing.")
@output.json_option
@pass_session
def join_command(session: Session, *, ticket: str, name: str, preview: bool, as_json: bool) -> None:
    """Take somebody's TICKET: its endpoint becomes a contact, with a name of yours."""
    text = sys.stdin.read(8192).strip() if ticket == "-" else ticket.strip()
    if not text:
        raise UsageError("join: this ticket is empty; ask for the output of `overlay ticket`")
    client = session.client()
    report = naming.with_free_name(
        lambda name: client.join(JoinRequest(ticket=text, petname=name, preview=preview)), name
    )
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
