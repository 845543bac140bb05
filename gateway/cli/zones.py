"""`overlay zone`, `overlay whois`: the records of our own name, and what others say of themselves."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, TextIO

import click

from gateway.cli import output
from gateway.cli.app import Command, Group, Session, pass_session
from gateway.cli.parameters import completed_by
from gateway.control.zones import (
    ProfileRequest,
    ZoneImportRequest,
    ZoneSetRequest,
    ZoneUnsetRequest,
)
from gateway.errors import UsageError
from resolver.limits import ZONE_FILE_CHARACTERS
from resolver.lookalikes import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.control.zones import (
        ProfileReport,
        WhoisReport,
        ZoneChangeReport,
        ZoneRecordReport,
        ZoneReport,
    )


@click.group("zone", cls=Group, short_help="The records and the profile of your own name.", default="show")
def zone_command() -> None:
    """The records and the profile that your own name carries; without a command, show them."""


@zone_command.command("show")
@output.json_option
@pass_session
def show_zone(session: Session, *, as_json: bool) -> None:
    """Show the zone, and the space that is left in it; --json is what `import` reads."""
    report = session.client().zone()
    if as_json:
        output.echo_json(report)
        return
    if report.records:
        rows = [(one.label, one.type, _value(one)) for one in report.records]
        output.table(("label", "type", "value"), rows)
    output.pairs(_profile_rows(report.profile))
    _tell_space(report)
    if not report.records:
        output.aside(f"No records yet; such as: {session.command} zone set blog CNAME web")


@zone_command.command("set")
@click.argument("label")
@click.argument("kind", metavar="TYPE")
@click.argument("value", nargs=-1, required=True)
@click.option("--add", is_flag=True, help="Keep the records of this label and type beside it.")
@output.json_option
@pass_session
def set_record(
    session: Session, *, label: str, kind: str, value: tuple[str, ...], add: bool, as_json: bool
) -> None:
    """Put a record into the zone, in place of those of the same label and type.

    \b
    LABEL is seen as LABEL.<your name>.overlay; @ is the name itself.
    TYPE and VALUE are one of
      TXT    TEXT...
      CNAME  NAME                            a label of yours; others are told, and not followed
      SRV    PRIORITY WEIGHT PORT NAME       at _service._protocol
      HTTPS  PRIORITY NAME|. [alpn=h2,h3] [no-default-alpn] [port=443]

    A value that begins with a hyphen stands behind --.
    """
    request = ZoneSetRequest(label=label, type=kind, value=value, add=add)
    _tell(session, session.client().zone_set(request), as_json=as_json)


@zone_command.command("unset")
@click.argument("label")
@click.argument("kind", metavar="[TYPE]", default="")
@output.json_option
@pass_session
def unset_record(session: Session, *, label: str, kind: str, as_json: bool) -> None:
    """Take the records of LABEL out of the zone, or those of one TYPE."""
    _tell(session, session.client().zone_unset(ZoneUnsetRequest(label=label, type=kind)), as_json=as_json)


@zone_command.command("profile")
@click.option("--name", metavar="TEXT", help="The name to display.")
@click.option("--description", metavar="TEXT", help="A line on what this is.")
@click.option("--avatar", metavar="URL", help="Where a picture is.")
@click.option(
    "--link", "links", multiple=True, metavar="URL", help="A link (repeatable; replaces the old ones)."
)
@click.option("--no-links", is_flag=True, help="Take all links away.")
@output.json_option
@pass_session
def change_profile(
    session: Session,
    *,
    name: str | None,
    description: str | None,
    avatar: str | None,
    links: tuple[str, ...],
    no_links: bool,
    as_json: bool,
) -> None:
    """Change what you say of yourself; an empty text takes it away. Anybody may read it."""
    if links and no_links:
        raise UsageError("zone profile: --link and --no-links contradict each other; leave one out")
    new_links = links if links or no_links else None
    if (name, description, avatar, new_links) == (None, None, None, None):
        report = session.client().zone()
        if as_json:
            output.echo_json(report.profile)
            return
        output.pairs(_profile_rows(report.profile))
        _tell_space(report)
        return
    request = ProfileRequest(name=name, description=description, avatar=avatar, links=new_links)
    _tell(session, session.client().zone_profile(request), as_json=as_json)


@zone_command.command("import")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option(
    "--replace", is_flag=True, help="Take all other records away, and the profile if FILE has none."
)
@click.option("--dry-run", is_flag=True, help="Tell what would change, and change nothing.")
@output.json_option
@pass_session
def import_zone(session: Session, *, file: TextIO, replace: bool, dry_run: bool, as_json: bool) -> None:
    """Take the records of FILE (or -): a small BIND-style zone file, or what `zone show --json` printed.

    Records of a label and type that FILE has are replaced, and all others kept, unless --replace is given.
    """
    try:
        text = file.read(ZONE_FILE_CHARACTERS + 1)
    except UnicodeDecodeError:
        raise UsageError("zone import: this file is no text in UTF-8") from None
    if len(text) > ZONE_FILE_CHARACTERS:
        raise UsageError(f"zone import: this file has more than {ZONE_FILE_CHARACTERS} characters")
    request = ZoneImportRequest(text=text, replace=replace, preview=dry_run)
    _tell(session, session.client().zone_import(request), as_json=as_json)


@click.command("whois", cls=Command, short_help="What is known of an endpoint.")
@click.argument("name", shell_complete=completed_by("names"))
@output.json_option
@pass_session
def whois_command(session: Session, *, name: str, as_json: bool) -> None:
    """Who NAME (a petname, an id, or a name under .overlay) is, and what it says of itself."""
    report = session.client().whois(name)
    if as_json:
        output.echo_json(report)
        return
    rows = [("id", report.endpoint_id)]
    rows += [("petname", report.petname)] if report.petname else []
    rows += [("nickname", _nickname(report))] if report.nickname else []
    rows += _profile_rows(report.profile)
    rows += [("services", ", ".join(report.services))] if report.services else []
    places = (*report.addresses, *map(output.relay, report.relays))
    rows += [("addresses", ", ".join(places))] if places else []
    if report.age is not None and report.expires is not None:
        rows.append(
            (
                "record",
                f"{output.duration(report.age)} old, from {report.source}, good until {output.day(report.expires)}",
            )
        )
    elif report.own:
        rows.append(("record", f"of {report.source}"))
    output.pairs(rows)
    if report.zone:
        output.table(("label", "type", "value"), [(one.label, one.type, _value(one)) for one in report.zone])
    if not report.source:
        output.aside("No record of it is known; is it up, and is there a beacon or network that both use?")


def _nickname(report: WhoisReport) -> str:
    changed = f" (it was {shown(report.known_as)} when it became a contact)" if report.known_as else ""
    return f"{shown(report.nickname)}{changed}"


def _value(record: ZoneRecordReport) -> str:
    """The value in one line; texts in quotes, and nothing that looks like something else."""
    if record.type != "TXT":
        return " ".join(record.value)
    return " ".join(f'"{shown(text, is_name=False)}"' for text in record.value)


def _profile_rows(profile: ProfileReport) -> list[tuple[str, str]]:
    rows = [
        ("display name", shown(profile.name)),
        ("description", shown(profile.description, is_name=False)),
        ("avatar", profile.avatar),
        *(("link", link) for link in profile.links),
    ]
    return [(title, text) for title, text in rows if text]


def _tell(session: Session, report: ZoneChangeReport, *, as_json: bool) -> None:
    if as_json:
        output.echo_json(report)
        return
    for sign, lines in (("-", report.removed), ("+", report.added)):
        for line in lines:
            output.say(f"{sign} {line}")
    if not report.added and not report.removed:
        output.say("Nothing changes.")
    for skipped in report.skipped:
        output.aside(f"passed over: {skipped}")
    for warning in report.warnings:
        output.warn(warning)
    _tell_space(report.zone)
    if report.undo:
        output.say(f"undo: {' && '.join(_command(session, words) for words in report.undo)}")


def _command(session: Session, words: Sequence[str]) -> str:
    return f"{session.command} {shlex.join(words)}"


def _tell_space(report: ZoneReport) -> None:
    used = (
        f"{report.used_bytes} of {report.used_bytes + report.left_bytes} bytes used, {report.left_bytes} left"
    )
    if report.why_not:
        output.aside(f"{used}; nothing is published: {report.why_not}.")
    else:
        output.aside(f"{used}; the whole record has {report.record_bytes} of 996.")
    if report.left_out:
        output.warn(f"the record has no room for {', '.join(report.left_out)}")
