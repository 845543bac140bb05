"""`overlay expose`, `unexpose`, `services`: what others may reach here."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

import click

from gateway.cli import output
from gateway.cli.app import Command, Session, pass_session
from gateway.cli.invites import tell_invite
from gateway.cli.parameters import completed_by
from gateway.config.settings import ServiceSettings
from gateway.control.invites import InviteRequest
from gateway.control.services import ExposeRequest
from gateway.errors import UsageError
from tunnels.identity import ID_CHARACTERS

if TYPE_CHECKING:
    from gateway.control.services import ServiceReport


@click.command("expose", cls=Command, short_help="Offer a local server to others.")
@click.argument("name", shell_complete=completed_by("well_known"))
@click.argument("target")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="The port others use; else that of NAME (web: 80) or TARGET.",
)
@click.option("--tcp", is_flag=True, help="Forward TCP; this is the default unless --udp is given.")
@click.option("--udp", is_flag=True, help="Forward UDP.")
@click.option(
    "--allow",
    shell_complete=completed_by("allowed"),
    multiple=True,
    metavar="WHO",
    help="A contact or an endpoint id that may use it, `contacts`, group:NAME, or contacts-of:NAME (repeatable).",
)
@click.option("--public", is_flag=True, help="Everybody who knows this endpoint's id may use it.")
@click.option("--proxy-protocol", is_flag=True, help="Tell the target who calls, by PROXY protocol v2.")
@click.option("--endpoint-header", is_flag=True, help="Tell an HTTP target who calls, in X-Overlay-Endpoint.")
@click.option("--host-header", metavar="X", help="Send this Host to an HTTP target, such as localhost:3000.")
@click.option(
    "--invite/--no-invite",
    "with_invite",
    default=None,
    help="Make an invite for it, too; on a terminal that is done where nobody may use it yet.",
)
@output.json_option
@pass_session
def expose_command(
    session: Session,
    *,
    name: str,
    target: str,
    port: int | None,
    tcp: bool,
    udp: bool,
    allow: tuple[str, ...],
    public: bool,
    proxy_protocol: bool,
    endpoint_header: bool,
    host_header: str | None,
    with_invite: bool | None,
    as_json: bool,
) -> None:
    """Offer TARGET to others as the service NAME, now and after each start.

    TARGET is host:port, a port of this machine, unix:PATH, or a range such as 5000-5100.
    """
    protocols: tuple[Literal["tcp", "udp"], ...] = ("udp",) if udp else ("tcp",)
    try:
        settings = ServiceSettings(
            target=target,
            port=port or 0,
            protocols=("tcp", "udp") if tcp and udp else protocols,
            allow=allow,
            public=public,
            proxy_protocol="v2" if proxy_protocol else "off",
            http_endpoint_header=endpoint_header,
            host_header=host_header or "keep",
        )
    except ValueError as error:
        raise UsageError(f"expose: {error}") from None
    report = session.client().expose(ExposeRequest(name=name, settings=settings))
    if with_invite is None:
        with_invite = sys.stdout.isatty() and not as_json and not _is_for_somebody(report)
    invite = session.client().invite(InviteRequest(services=(report.name,))) if with_invite else None
    if as_json:
        output.echo_json(report if invite is None else {"service": report, "invite": invite})
        return
    output.head(
        f"{report.name}: {report.settings.target} is offered as port {_port(report)} to "
        f"{_who(report) if invite is None or _is_for_somebody(report) else 'whoever takes this invite'}."
    )
    rows = [("name", report.host)]
    rows += [("opens as", report.url)] if report.url else []
    # A ticket leads who may not use it to a service that refuses them.
    is_open = invite is not None or _is_for_somebody(report)
    rows += [("they run once", report.join)] if report.join and invite is None and is_open else []
    rows += [("and then", report.use)] if report.use and is_open else []
    rows += [("to invite", f"{session.command} invite --service {report.name}")] if invite is None else []
    output.pairs([*rows, ("undo", f"{session.command} unexpose {report.name}")])
    if invite is not None:
        tell_invite(session, invite)
        return  # what there is to be said of who may use it is said
    for warning in report.warnings:
        output.warn(warning)


@click.command("unexpose", cls=Command, short_help="Take a service away.")
@click.argument("name", shell_complete=completed_by("services"))
@output.json_option
@pass_session
def unexpose_command(session: Session, *, name: str, as_json: bool) -> None:
    """Take the service NAME away and end what uses it."""
    report = session.client().unexpose(name)
    if as_json:
        output.echo_json(report)
        return
    output.say(f"{report.name} is no longer offered; {report.settings.target} itself was not touched.")


@click.command("services", cls=Command, short_help="What is offered, and to whom.")
@output.json_option
@pass_session
def services_command(session: Session, *, as_json: bool) -> None:
    """What this gateway offers, and to whom."""
    reports = session.client().services()
    if as_json:
        output.echo_json(reports)
    elif reports:
        rows = [(r.name, _port(r), r.settings.target, _who(r), r.origin) for r in reports]
        output.table(("name", "port", "target", "for", "set by"), rows)
    else:
        output.aside(f"Nothing is offered yet; try `{session.command} expose web 127.0.0.1:8000`.")
    if not as_json:
        for report in reports:
            for warning in report.warnings:
                output.warn(warning)


def _is_for_somebody(report: ServiceReport) -> bool:
    return report.settings.public or bool(report.settings.allow or report.invited)


def _port(report: ServiceReport) -> str:
    return f"{report.port}/{'+'.join(report.settings.protocols)}"


def _who(report: ServiceReport) -> str:
    if report.settings.public:
        return "everybody"
    allowed = [*map(_shortened, report.settings.allow), *(f"{who} (by invite)" for who in report.invited)]
    return ", ".join(allowed) or "nobody yet"


def _shortened(who: str) -> str:
    """An entry of `allow`, with the beginning of an id for the id."""
    kind, colon, name = who.rpartition(":")
    return f"{kind}{colon}{name if len(name) != ID_CHARACTERS else f'{name[:8]}…'}"
