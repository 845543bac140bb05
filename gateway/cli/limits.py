"""`overlay limits`: what contacts, groups, services and strangers may move, what of it is used; set and unset."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.cli import output
from gateway.cli.app import Group, Session, pass_session
from gateway.config.quantities import UNLIMITED, octets_text, read_octets, read_rate
from gateway.control.usage import SetLimitsRequest
from gateway.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.control.usage import ChangedLimitsReport, LimitsReport, ResourceReport, TermsReport

_WORDS: Final = ("rate", "quota", "connections", "weight")
_NOTHING: Final = "default"
_SCOPES: Final = {"default": "each contact", "strangers": "all strangers"}


@click.group("limits", cls=Group, short_help="What others may move, and what is used of it.", default="ls")
def limits_command() -> None:
    """What contacts, groups, services and strangers may move; without a command, list it with what is used.

    Limits of gateway.toml ([limits.WHOM]) hold, too; those that a command sets are stronger, hold at once and are kept.
    """


@limits_command.command("ls")
@output.json_option
@pass_session
def list_limits(session: Session, *, as_json: bool) -> None:
    """List every limit in force, and what the whole gateway uses."""
    report = session.client().limits()
    if as_json:
        output.echo_json(report)
        return
    if report.terms:
        titles = ("whom", "rate", "quota", f"used in {report.month}", "connections", "weight", "set by")
        output.table(titles, [_row(terms) for terms in report.terms])
    else:
        output.aside(f"Nothing is limited; try `{session.command} limits set NAME --rate 1MB/s`.")
    _show_resources(report)


def _whom_options(command: Callable[..., None]) -> Callable[..., None]:
    """WHO, or one of the flags that stand for somebody else."""
    for option in (
        click.argument("contact", required=False),
        click.option("--service", metavar="NAME", help="Everybody's use of this service of ours, together."),
        click.option("--group", metavar="NAME", help="Each contact in this group."),
        click.option("--strangers", is_flag=True, help="All who are no contacts, together."),
        click.option("--default", "everybody", is_flag=True, help="Each contact, if nothing else is said."),
    ):
        command = option(command)
    return command


@limits_command.command("set")
@_whom_options
@click.option("--rate", metavar="RATE", help="In each direction: 1MB/s, 8Mbit/s, unlimited, default.")
@click.option("--quota", metavar="AMOUNT", help="Of a month, both directions: 10GB, unlimited, default.")
@click.option("--connections", metavar="COUNT", help="Open at once: a number, unlimited, default.")
@click.option("--weight", metavar="N", help="Part of what is shared, 1 to 1000; default is 1.")
@output.json_option
@pass_session
def set_limits(session: Session, /, *, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - click's
    """Limit CONTACT, or whom an option says, from now on. `default` takes one limit back, `unlimited` lifts that of a group."""
    values: dict[str, int] = {}
    unset: list[str] = []
    for word in _WORDS:
        text = given[word]
        if text == _NOTHING:
            unset.append(word)
        elif text is not None:
            values[word] = _read(word, text)
    if not values and not unset:
        raise UsageError("limits: say at least one of --rate, --quota, --connections and --weight")
    kind, name = _whom(given)
    _change(session, SetLimitsRequest(kind=kind, name=name, unset=tuple(unset), **values), as_json=as_json)  # type: ignore[arg-type]


@limits_command.command("unset")
@_whom_options
@output.json_option
@pass_session
def unset_limits(session: Session, /, *, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - click's
    """Take back what commands set for CONTACT, or whom an option says; what gateway.toml says stays."""
    kind, name = _whom(given)
    _change(session, SetLimitsRequest(kind=kind, name=name, unset=_WORDS), as_json=as_json)  # type: ignore[arg-type]


def _whom(given: dict[str, Any]) -> tuple[str, str | None]:
    """Who is meant: the kind, and its name."""
    named = [(kind, given[kind]) for kind in ("contact", "service", "group") if given[kind]]
    named += [
        (kind, None) for kind, flag in (("strangers", "strangers"), ("default", "everybody")) if given[flag]
    ]
    if len(named) != 1:
        raise UsageError(
            "limits: name a contact, or one of --service, --group, --strangers and --default; "
            "what holds for a contact and for a service holds both, so set them one after the other"
        )
    return named[0]


def _read(word: str, text: str) -> int:
    try:
        if word == "rate":
            return read_rate(text)
        if word == "quota":
            return read_octets(text)
    except ValueError as error:
        raise UsageError(f"limits: --{word}: {error}") from None
    if word == "connections" and text == "unlimited":
        return UNLIMITED
    most = 65535 if word == "connections" else 1000
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= most):
        raise UsageError(f"limits: --{word}: {text!r} is no number from 1 to {most}")
    return int(text)


def _change(session: Session, request: SetLimitsRequest, *, as_json: bool) -> None:
    report = session.client().set_limits(request)
    if as_json:
        output.echo_json(report)
        return
    whom = _whom_text(report.now.scope)
    words = [
        f"{word} {_value(word, value)}" for word in _WORDS if (value := getattr(report.now, word)) is not None
    ]
    output.head(f"{whom}: {', '.join(words) or 'no limits'}.")
    output.pairs([("see", f"{session.command} limits"), ("undo", _undo(session, request, report))])
    for warning in report.warnings:
        output.warn(warning)


def _undo(session: Session, request: SetLimitsRequest, report: ChangedLimitsReport) -> str:
    """The command that makes it what it was."""
    name = shlex.quote(request.name or "")
    whom = name if request.kind == "contact" else f"--{request.kind} {name}".removesuffix(" ''")
    before = {word: getattr(report.before, word) for word in _WORDS}
    if not any(before.values()):
        return f"{session.command} limits unset {whom}"
    now = {word: getattr(report.commanded, word) for word in _WORDS}
    options = "".join(
        f" --{word} {_value(word, value).replace(' ', '') if value else _NOTHING}"
        for word, value in before.items()
        if value != now[word]
    )
    return f"{session.command} limits set {whom}{options}" if options else "nothing has changed"


def _row(terms: TermsReport) -> tuple[str, ...]:
    values = {word: "" if (value := getattr(terms, word)) is None else _value(word, value) for word in _WORDS}
    open_now = "" if terms.open is None else str(terms.open)
    connections = f"{open_now or '?'} of {values['connections']}" if values["connections"] else open_now
    used = "" if terms.used is None else output.amount(terms.used)
    if terms.used is not None and terms.quota and terms.quota < UNLIMITED:
        used += f" ({100 * terms.used / terms.quota:.0f} %)"
    return (
        _whom_text(terms.scope),
        values["rate"],
        values["quota"],
        used,
        connections,
        values["weight"],
        terms.set_by,
    )


def _value(word: str, value: int) -> str:
    if word == "rate":
        return octets_text(value) if value >= UNLIMITED else f"{octets_text(value)}/s"
    if word == "quota" or value >= UNLIMITED:
        return octets_text(value)
    return str(value)


def _whom_text(scope: str) -> str:
    """`contacts.bob` is bob, `services.web` the service web."""
    kind, _, name = scope.partition(".")
    if kind == "contacts":
        return name if len(name) < 52 else f"{name[:8]}…"
    return f"{kind.removesuffix('s')} {name}" if name else _SCOPES[scope]


def _show_resources(report: LimitsReport) -> None:
    rows = [(each.name, _resource(each)) for each in report.resources]
    if rows:
        output.say()
        output.head("The whole gateway")
        output.pairs(rows)


def _resource(each: ResourceReport) -> str:
    in_bytes = each.name != "descriptors"

    def text(value: int | None) -> str:
        return "?" if value is None else output.amount(value) if in_bytes else str(value)

    words = f"{text(each.left)} free" if each.name == "disk" else f"{text(each.used)} of {text(each.most)}"
    short = (
        "what changes stays in memory until there is more"
        if each.name == "disk"
        else "new connections are refused"
    )
    return f"{words}: short, {short}" if each.short else words
