"""`overlay topic`: meet the endpoints that run the same app."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli import output
from gateway.cli.app import Group, Session, pass_session
from gateway.cli.parameters import completed_by
from gateway.control.topics import JoinTopicRequest
from gateway.errors import UsageError
from gateway.topics.limits import MANIFEST_FILE_BYTES

if TYPE_CHECKING:
    from gateway.control.topics import TopicReport
    from gateway.topics.manifest import Manifest


@click.group("topic", cls=Group, short_help="Meet endpoints that run the same app.", default="ls")
def topic_command() -> None:
    """Meet the endpoints that are in the same topics; without a command, list the topics.

    A topic is a name that the users of an app share. Beacons, the local network and the DHT are told a number that stands for it;
    who else is in it is found out by a handshake. Nothing is granted by it: who may use a service, `overlay expose` says.
    """


@topic_command.command("join")
@click.argument("name")
@click.option(
    "--manifest",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="What peers are told of the app: TOML or JSON with name, version, description, service, home_page.",
)
@output.json_option
@pass_session
def join_topic(session: Session, *, name: str, manifest: str | None, as_json: bool) -> None:
    """Be in the topic NAME, now and after each start."""
    read = _read(manifest) if manifest is not None else None
    report = session.client().join_topic(JoinTopicRequest(name=name, manifest=read))
    if as_json:
        output.echo_json(report)
        return
    words = "was joined before; peers are told the new manifest" if report.joined_before else "is joined"
    output.head(f"{report.name}: {words}.")
    rows = [("told as", report.id)]
    rows += [("app", _app(report.manifest))] if report.manifest is not None else []
    rows += [
        ("peers", f"{session.command} topic peers {report.name}"),
        ("the others run", f"overlay topic join {report.name}"),
        ("undo", f"{session.command} topic leave {report.name}"),
    ]
    output.pairs(rows)
    _warn(report)


@topic_command.command("leave")
@click.argument("name", shell_complete=completed_by("topics"))
@output.json_option
@pass_session
def leave_topic(session: Session, *, name: str, as_json: bool) -> None:
    """Be in the topic NAME no more; its peers forget us within a few minutes."""
    report = session.client().leave_topic(name)
    if as_json:
        output.echo_json(report)
    else:
        again = "" if report.manifest is None else " --manifest FILE"
        output.say(f"{report.name} is left; undo: {session.command} topic join {report.name}{again}")


@topic_command.command("ls")
@output.json_option
@pass_session
def list_topics(session: Session, *, as_json: bool) -> None:
    """List the topics this gateway is in."""
    reports = session.client().topics()
    if as_json:
        output.echo_json(reports)
    elif reports:
        rows = [(r.name, str(r.peers), "" if r.manifest is None else _app(r.manifest)) for r in reports]
        output.table(("topic", "peers", "app"), rows)
    else:
        output.aside(f"No topics yet; try `{session.command} topic join NAME`.")
    if not as_json:
        for report in reports:
            _warn(report)


@topic_command.command("peers")
@click.argument("name", shell_complete=completed_by("topics"))
@output.json_option
@pass_session
def topic_peers(session: Session, *, name: str, as_json: bool) -> None:
    """List who proved to be in the topic NAME, and what they say of their app."""
    reports = session.client().topic_peers(name)
    if as_json:
        output.echo_json(reports)
    elif reports:
        rows = [
            (
                r.petname or r.endpoint_id,
                "" if r.manifest is None else _app(r.manifest),
                r.host if r.manifest is not None and r.manifest.service else "",
                r.source,
                f"{output.duration(r.verified_seconds)} ago",
            )
            for r in reports
        ]
        output.table(("peer", "app", "service", "found by", "proved it"), rows)
        output.aside(f"Give one a name of your own: {session.command} contacts add NAME ID")
    else:
        output.aside("Nobody yet. They are looked for all the time; the first ones take some seconds.")


def _read(file: str) -> Manifest:
    from gateway.topics.manifest import read_manifest

    try:
        with Path(file).open("rb") as opened:
            data = opened.read(MANIFEST_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror or error}") from None
    return read_manifest(data, file)


def _app(manifest: Manifest) -> str:
    words = f"{manifest.name} {manifest.version}".strip()
    more = ", ".join(text for text in (manifest.description, manifest.home_page) if text)
    return f"{words}: {more}" if more else words


def _warn(report: TopicReport) -> None:
    for warning in report.warnings:
        output.warn(warning)
