"""`overlay ping`, `overlay resolve`: what a name stands for, and whether it answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click

from gateway.cli import output
from gateway.cli.app import Command, Session, pass_session
from gateway.control.api import PingRequest, ResolveRequest
from gateway.dialing import DialError

if TYPE_CHECKING:
    from gateway.control.api import PingReport

_BETWEEN_PINGS: Final = 1.0
"""Seconds, as ping(8)."""


@click.command("ping", cls=Command, short_help="Whether an endpoint answers.")
@click.argument("name")
@click.option(
    "--count",
    "-c",
    type=click.IntRange(1, 10_000),
    default=3,
    show_default=True,
    help="How many round trips.",
)
@click.option("--timeout", type=click.FloatRange(0.1, 60), default=10.0, show_default=True, metavar="S")
@output.json_option
@pass_session
def ping_command(session: Session, *, name: str, count: int, timeout: float, as_json: bool) -> None:
    """Whether the endpoint called NAME answers, how fast, and by which path."""
    client = session.client()
    replies: list[PingReport] = []
    failure: DialError | None = None
    for sent in range(count):
        if sent:
            time.sleep(_BETWEEN_PINGS)
        try:
            reply = client.ping(PingRequest(name=name, timeout=timeout))
        except DialError as error:
            failure = error
            if not as_json and count > 1:
                output.say(str(error))
            continue
        replies.append(reply)
        if not as_json:
            connecting = (
                "" if reply.connect_ms is None else f", after connecting in {reply.connect_ms:.1f} ms"
            )
            output.say(
                f"pong from {reply.name} in {reply.rtt_ms:.1f} ms, {reply.path} at {reply.address}{connecting}"
            )
    if failure is not None and not replies:
        raise failure
    if as_json:
        output.echo_json({"name": name, "sent": count, "received": len(replies), "replies": replies})


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
    rows += [("addresses", ", ".join(report.addresses))] if report.addresses else []
    rows += [("known from", report.source)] if report.source else []
    output.pairs(rows)
