"""`overlay pipe`: standard input and output of two machines joined, by a line that one prints and the other runs."""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING, Final

import click

from gateway.cli import output
from gateway.cli.app import Command, Session, pass_session
from gateway.cli.netcat import copy_stream
from gateway.errors import GatewayError, UsageError
from gateway.programs.destinations import destination
from tunnels.identity import zbase32_encode

if TYPE_CHECKING:
    from gateway.programs.client import Opened, ProgramClient

_PREFIX: Final = "pipe-"
_SECRET_BYTES: Final = 16  # nobody guesses 128 bits, and the service is there for one caller only
_TICKET_SECONDS: Final = 86400.0


@click.command("pipe", cls=Command, short_help="Join standard input and output with another machine's.")
@click.argument("link", required=False)
@click.option("--for", "holder", metavar="NAME", help="Only this contact may take the other end.")
@click.option("-d", "no_input", is_flag=True, help="Do not read standard input.")
@output.json_option
@pass_session
def pipe_command(
    session: Session, *, link: str | None, holder: str | None, no_input: bool, as_json: bool
) -> None:
    """Without LINK, print the command for the other side on stderr, and wait for the first who runs it; with it, be that side.

    What one side reads the other writes, both ways, until both have ended: tar c . | overlay pipe, and there
    overlay pipe LINK | tar x. It fails if the stream was cut off. Whoever has the link may take the other end, once; neither
    side becomes a contact of the other.
    """
    from gateway.programs.client import ProgramClient

    client = ProgramClient(session.home)
    if link is None:
        opened = _wait(session, client, holder, as_json=as_json)
    elif holder is not None:
        raise UsageError("pipe: --for is for who makes the link")
    else:
        opened = _take(client, link)
    if sys.stderr.isatty():
        output.aside(f"joined with {opened.attached.petname or opened.attached.endpoint_id}")
    copy_stream(client, opened, no_input=no_input, progress=True)


def _take(client: ProgramClient, link: str) -> Opened:
    from gateway.programs.messages import Connect

    ticket, slash, service = "".join(link.split()).rpartition("/")
    if not slash:
        if "." not in service:
            raise UsageError(
                "pipe: that is no link of `overlay pipe`; copy the whole line that the other side was shown"
            )
        host, port = destination(service)  # the name of a service, as --for prints it
        return client.connect(Connect(host=host, port=port, strict=True))
    if not service.startswith(_PREFIX):
        raise UsageError("pipe: that is no link of `overlay pipe`, or not all of it; copy the whole line")
    owner = _owner(ticket)
    try:
        return client.connect(Connect(host=f"{service}.{owner}.overlay", ticket=ticket, strict=True))
    except GatewayError as error:
        raise _in_words(error) from None


def _owner(ticket: str) -> str:
    """Whose ticket it is; whether it is good the gateway finds out."""
    from gateway.answers.base import time_now
    from resolver.errors import RecordError, TicketError
    from resolver.tickets import read_ticket

    try:
        return str(read_ticket(ticket, time_now()).record.endpoint_id)
    except (TicketError, RecordError) as error:
        raise UsageError(f"pipe: the link is damaged: {error}; copy the whole line") from None


def _in_words(error: GatewayError) -> GatewayError:
    from gateway.dialing import DialError, Failure

    if isinstance(error, DialError) and error.failure is Failure.NO_SERVICE:
        return GatewayError(
            "pipe: nobody waits there (any more): a link is good once, and as long as `overlay pipe` runs"
        )
    return error


def _wait(session: Session, client: ProgramClient, holder: str | None, *, as_json: bool) -> Opened:
    """The first who takes the other end."""
    from gateway.control.tickets import TicketRequest
    from gateway.programs.messages import Offer

    secret = zbase32_encode(secrets.token_bytes(_SECRET_BYTES if holder is None else 4))
    offered, calls = client.offer(
        Offer(
            service=f"{_PREFIX}{secret}",
            allow=() if holder is None else (holder,),
            public=holder is None,
            unlisted=True,
        )
    )
    try:
        if holder is None:
            ticket = session.client().ticket(TicketRequest(expires_in=_TICKET_SECONDS)).ticket
            link = f"{ticket}/{offered.service}"
        else:
            link = offered.host
        if as_json:
            import json

            click.echo(json.dumps({"link": link, "command": f"overlay pipe {link}"}), err=True)
        else:
            output.aside("The other side runs, once and while this waits:")
            click.echo(f"overlay pipe {link}", err=True)
        for call in calls:
            try:
                return client.accept(call, strict=True)
            except UsageError:
                continue  # the caller did not wait
    finally:
        calls.close()
    raise GatewayError("pipe: the gateway ended")
