"""`overlay contacts`: names of our own for other endpoints."""

from __future__ import annotations

import click

from gateway.cli import output
from gateway.cli.app import Group, Session, pass_session
from gateway.control.api import AddContactRequest, ContactReport, RenameContactRequest


@click.group(
    "contacts", cls=Group, short_help="Your own names for other endpoints.", invoke_without_command=True
)
@click.pass_context
def contacts_command(context: click.Context) -> None:
    """Names of your own for other endpoints; without a command, list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_contacts, as_json=False)


@contacts_command.command("add")
@click.argument("name")
@click.argument("id_or_ticket")
@click.option("--address", multiple=True, metavar="IP:PORT", help="Where it may be reached (repeatable).")
@output.json_option
@pass_session
def add_contact(
    session: Session, *, name: str, id_or_ticket: str, address: tuple[str, ...], as_json: bool
) -> None:
    """Call the endpoint with this id or ticket NAME."""
    request = AddContactRequest(petname=name, id_or_ticket=id_or_ticket.strip(), addresses=address)
    report = session.client().add_contact(request)
    undo = f"{session.command} contacts rm {report.petname}"
    _tell(report, f"{report.petname} is {report.endpoint_id}; undo: {undo}", as_json=as_json)


@contacts_command.command("ls")
@output.json_option
@pass_session
def list_contacts(session: Session, *, as_json: bool) -> None:
    """List the contacts."""
    reports = session.client().contacts()
    if as_json:
        output.echo_json(reports)
    elif reports:
        rows = [
            (r.petname, r.endpoint_id, _state(r), ", ".join(r.services), ", ".join(r.addresses))
            for r in reports
        ]
        output.table(("name", "id", "tunnel", "services", "addresses"), rows)
    else:
        output.aside(f"No contacts yet; `{session.command} join TICKET` adds one.")


@contacts_command.command("rm")
@click.argument("name")
@output.json_option
@pass_session
def remove_contact(session: Session, *, name: str, as_json: bool) -> None:
    """Forget the contact NAME, and with it what it may use."""
    report = session.client().remove_contact(name)
    undo = f"{session.command} contacts add {report.petname} {report.endpoint_id}"
    undo += "".join(f" --address {address}" for address in report.addresses)
    _tell(report, f"{report.petname} is forgotten; undo: {undo}", as_json=as_json)


@contacts_command.command("rename")
@click.argument("name")
@click.argument("new_name")
@output.json_option
@pass_session
def rename_contact(session: Session, *, name: str, new_name: str, as_json: bool) -> None:
    """Call the contact NAME by NEW_NAME."""
    report = session.client().rename_contact(name, RenameContactRequest(petname=new_name))
    undo = f"{session.command} contacts rename {report.petname} {name}"
    _tell(report, f"{name} is now {report.petname}; undo: {undo}", as_json=as_json)


def _tell(report: ContactReport, text: str, *, as_json: bool) -> None:
    if as_json:
        output.echo_json(report)
    else:
        output.say(text)


def _state(report: ContactReport) -> str:
    return {True: "up", False: "down", None: ""}[report.connected]
