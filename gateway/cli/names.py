"""`overlay resolve`: what a name stands for."""

from __future__ import annotations

import click

from gateway.cli import output
from gateway.cli.app import Command, Session, pass_session
from gateway.control.api import ResolveRequest


@click.command("resolve", cls=Command, short_help="What a name stands for.")
@click.argument("name")
@output.json_option
@pass_session
def resolve_command(session: Session, *, name: str, as_json: bool) -> None:
    """What NAME (such as alice, or web.alice.overlay) stands for."""
    report = session.client().resolve(ResolveRequest(name=name))
    if as_json:
        output.echo_json(report)
        return
    rows = [("name", report.name), ("id", report.endpoint_id)]
    rows += [("petname", report.petname)] if report.petname else []
    rows += [("service", report.service)] if report.service else []
    rows += [("loopback", report.ip)] if report.ip else []
    for offer in report.offers:
        where = f"{report.ip}:{offer.offered}/{offer.protocol}"
        rows.append(
            (
                "port",
                f"{where} is {offer.service}" + (f" ({offer.port})" if offer.offered != offer.port else ""),
            )
        )
    places = (*report.addresses, *map(output.relay, report.relays))
    rows += [("addresses", ", ".join(places))] if places else []
    rows += [("known from", report.source)] if report.source else []
    output.pairs(rows)
