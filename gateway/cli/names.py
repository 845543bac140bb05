"""`overlay resolve`: what a name stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gateway.cli import output
from gateway.cli.app import Command, Session, pass_session
from gateway.cli.parameters import completed_by
from gateway.control.names import ResolveRequest
from gateway.control.records import ExplainRequest

if TYPE_CHECKING:
    from gateway.control.records import ExplanationReport, RecordReport, SourceReport


@click.command("resolve", cls=Command, short_help="What a name stands for.")
@click.argument("name", shell_complete=completed_by("names"))
@click.option("--explain", is_flag=True, help="Ask every source, and tell what each knows of the endpoint.")
@output.json_option
@pass_session
def resolve_command(session: Session, *, name: str, explain: bool, as_json: bool) -> None:
    """What NAME (such as alice, or web.alice.overlay) stands for."""
    if explain:
        explanation = session.client().explain(ExplainRequest(name=name))
        if as_json:
            output.echo_json(explanation)
        else:
            _tell(explanation)
        return
    report = session.client().resolve(ResolveRequest(name=name))
    if as_json:
        output.echo_json(report)
        return
    rows = [("name", report.name), ("id", report.endpoint_id)]
    rows += [("petname", report.petname)] if report.petname else []
    rows += [("service", report.service)] if report.service else []
    rows += [("stands for", report.alias)] if report.alias else []
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


def _tell(report: ExplanationReport) -> None:
    rows = [("name", report.name), ("id", report.endpoint_id)]
    output.pairs(rows + ([("petname", report.petname)] if report.petname else []))
    _section("Sources")
    output.table(("source", "found", "after", "signed"), map(_source_row, report.sources))
    if not report.records:
        output.say()
        output.say(
            f"No record of {report.name} is known here; its owner's ticket would do: overlay join TICKET"
        )
    else:
        _section("Records")
        titles = ("of", "brought by", "signed", "brought", "good for", "relays", "")
        output.table(titles, map(_record_row, report.records))
    if report.addresses:
        _section("Addresses")
        output.table(
            ("address", "from"), [(each.address, ", ".join(each.sources)) for each in report.addresses]
        )


def _section(title: str) -> None:
    output.say()
    output.head(title)


def _source_row(report: SourceReport) -> tuple[str, ...]:
    words = {"nothing": "no record", "too-slow": "too slow"}.get(report.finding, report.finding)
    return (
        report.source,
        f"{words}: {report.detail}" if report.detail else words,
        f"{report.seconds * 1000:.0f} ms",
        ("" if report.age is None else f"{output.duration(report.age)} ago")
        + (", in use" if report.in_use else ""),
    )


def _record_row(report: RecordReport) -> tuple[str, ...]:
    return (
        {"public": "anybody", "local": "this network", "given": "us, by hand"}.get(
            report.scope, report.scope
        ),
        report.source,
        f"{output.duration(report.age)} ago",
        f"{output.duration(report.learned_ago)} ago",
        output.duration(report.expires_in),
        ", ".join(map(output.relay, report.relays)),
        "in use" if report.in_use else "",
    )
