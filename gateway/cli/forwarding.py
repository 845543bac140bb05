"""`overlay forward`: local ports that lead to services, in the foreground, as with `ssh -L`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gateway.cli import output
from gateway.cli.app import Command, Session, pass_session
from gateway.programs.destinations import forward_rule, overlay_host

if TYPE_CHECKING:
    from gateway.programs.messages import ForwardRule


@click.command("forward", cls=Command, short_help="Make services local ports.")
@click.argument("rules", nargs=-1, required=True, metavar="[IP:]PORT:SERVICE.NAME[:PORT]...")
@click.option("-u", "--udp", is_flag=True, help="Forward UDP, not TCP.")
@output.json_option
@pass_session
def forward_command(session: Session, *, rules: tuple[str, ...], udp: bool, as_json: bool) -> None:
    """Listen on each PORT of this machine, on 127.0.0.1 if no IP is named, and connect who comes with the service.

    PORT 0 is any that is free. All ports are open, or none; they close with the command (Ctrl+C).
    """
    from gateway.control.names import ResolveRequest
    from gateway.programs.client import ProgramClient
    from gateway.programs.messages import Forward

    wanted = tuple(forward_rule(rule, "udp" if udp else "tcp") for rule in rules)
    client = session.client()
    for (
        rule
    ) in wanted:  # a name that nobody has is told now, and not to whoever connects; a service may still come
        client.resolve(ResolveRequest(name=str(overlay_host(rule.host).owner)))
    opened, troubles = ProgramClient(session.home).forward(Forward(rules=wanted))
    try:
        if as_json:
            output.echo_json(
                [{"place": place, "host": rule.host, "port": rule.port, "protocol": rule.protocol}
                 for place, rule in zip(opened.places, wanted, strict=True)]
            )  # fmt: skip
        else:
            for place, rule in zip(opened.places, wanted, strict=True):
                output.say(f"{place} → {_what(rule)}")
                _warn(place)
            output.aside("Ctrl+C closes them.")
        for trouble in troubles:
            output.warn(trouble.error)
    finally:
        troubles.close()


def _what(rule: ForwardRule) -> str:
    port = f":{rule.port}" if rule.port else ""
    return f"{rule.host}{port}{'/udp' if rule.protocol == 'udp' else ''}"


def _warn(place: str) -> None:
    ip = place.rpartition(":")[0]
    if not ip.startswith(("127.", "[::1]")):
        output.warn(f"{place}: whoever reaches this machine there uses the service with your name")
