"""`overlay service install`, `remove`, `status`: the gateway without a terminal, from login or from the start of the machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import output
from gateway.cli.app import Command, Group, Session, pass_session
from gateway.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.service_files import Kind, Plan, Service

_NAME = click.option(
    "--name", default="overlay", show_default=True, metavar="NAME", help="What the service is called."
)
_SYSTEM = click.option(
    "--system", "is_system", is_flag=True, help="For the machine, as a user of its own; needs root."
)
_DRY = click.option("--dry-run", is_flag=True, help="Show the file and the commands, change nothing.")
_FOR = click.option(
    "--for", "kind", type=click.Choice(["systemd", "launchd", "windows"]),
    help="Show it for another system; with --dry-run.",
)  # fmt: skip


@click.group("service", cls=Group, short_help="Run the gateway as a service.")
def service_command() -> None:
    """Run the gateway as a service of systemd; files for launchd and Windows are shown."""


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (output.json_option, _FOR, _DRY, _SYSTEM, _NAME):
        command = option(command)
    return command


@service_command.command("install", cls=Command, short_help="Write the unit, start it now and from now on.")
@_options
@pass_session
def install_command(
    session: Session, *, name: str, is_system: bool, dry_run: bool, kind: Kind | None, as_json: bool
) -> None:
    """Write the unit, start the gateway, and start it again at each login (or, with --system, at each boot)."""
    from gateway import service_manager

    service, plan, is_here = _plan(session, name, kind, is_system=is_system)
    if dry_run or not is_here:
        _show(plan, plan.install, as_json=as_json, is_here=is_here)
        return
    service_manager.check(service)
    if is_system:
        service_manager.check_reachable(service)
    else:
        _no_other_gateway(session, service, plan)
    is_new = service_manager.install(plan)
    found = service_manager.look(service, plan)
    undo = _undo(session, service)
    if as_json:
        output.echo_json({"file": str(plan.file), "changed": is_new, "undo": undo, "active": found.active})
        return
    output.say(f"{service.name} runs{'' if is_new else ' already'}, by {plan.file}.")
    if is_system:
        output.pairs([("ask it", f"sudo overlay --home /var/lib/{service.name} status")])
    elif found.lingers is False:
        output.say(f"It ends when you log out, unless you say once: loginctl enable-linger {service.user}")
    output.pairs([("log", f"{session.command} logs -f"), ("undo", undo)])


@service_command.command("remove", cls=Command, short_help="Stop it and take the unit away.")
@_options
@pass_session
def remove_command(
    session: Session, *, name: str, is_system: bool, dry_run: bool, kind: Kind | None, as_json: bool
) -> None:
    """Stop the service and take its unit away; identity, contacts and configuration stay."""
    from gateway import service_manager

    service, plan, is_here = _plan(session, name, kind, is_system=is_system)
    if dry_run or not is_here:
        _show(
            plan,
            (*plan.remove, ("rm", str(plan.file)), *plan.removed),
            as_json=as_json,
            is_here=is_here,
            text=False,
        )
        return
    if service_manager.look(service, plan).installed:  # what is not there is gone already, wherever this runs
        service_manager.check(service)
    is_gone = service_manager.remove(plan)
    again = _undo(session, service, "install")
    if as_json:
        output.echo_json({"file": str(plan.file), "changed": is_gone, "undo": again})
    elif is_gone:
        output.say(f"{service.name} is stopped, and {plan.file} removed; identity and contacts are kept.")
        output.pairs([("undo", again)])
    else:
        output.say(f"There is no service {service.name}.")


@service_command.command("status", cls=Command, short_help="Whether it is installed, and runs.")
@_SYSTEM
@_NAME
@output.json_option
@pass_session
def status_command(session: Session, *, name: str, is_system: bool, as_json: bool) -> None:
    """Whether the service is installed, and runs."""
    import dataclasses

    from gateway import service_manager

    service, plan, is_here = _plan(session, name, None, is_system=is_system)
    if not is_here:
        raise UsageError("service: only systemd is asked; see `launchctl list`, or the task scheduler")
    found = service_manager.look(service, plan)
    if as_json:
        output.echo_json({"file": str(plan.file), **dataclasses.asdict(found)})
        return
    if not found.installed:
        output.say(f"There is no service {name}; `{_undo(session, service, 'install')}` makes one.")
        return
    rows = [
        ("file", f"{plan.file}" if found.current else f"{plan.file}  (another than would be written now)")
    ]
    rows.append(("starts by itself", found.enabled or "unknown: systemd does not run here"))
    rows.append(("state", found.active + (f" (process {found.pid})" if found.pid else "")))
    rows += [("says", found.says)] if found.says else []
    rows += [("after logout", "goes on" if found.lingers else "ends")] if found.lingers is not None else []
    output.pairs(rows)


def _plan(session: Session, name: str, kind: Kind | None, *, is_system: bool) -> tuple[Service, Plan, bool]:
    """What would be done, and whether it is for this system, which only systemd is."""
    from gateway import service_manager
    from gateway.config.checks import check_petname

    try:
        check_petname(name)
    except ValueError as error:
        raise UsageError(f"service: --name {error}") from None
    named = session.directory if session.directory is not None else os.environ.get("OVERLAY_HOME", "")
    home = os.path.abspath(named) if named else ""
    service = service_manager.service_here(name, home, is_system=is_system)
    chosen = kind or service_manager.kind_here()
    plan = service_manager.plan_for(service, chosen, os.environ)
    return service, plan, chosen == "systemd" == service_manager.kind_here()


def _show(
    plan: Plan, commands: tuple[tuple[str, ...], ...], *, as_json: bool, is_here: bool, text: bool = True
) -> None:
    from gateway.service_files import shell

    content = plan.text.decode("utf-16" if plan.text[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8")
    lines = [shell(command) for command in commands]
    if as_json:
        shown: dict[str, Any] = {"file": str(plan.file), "commands": lines, "changed": False}
        output.echo_json(shown | ({"text": content} if text else {}))
        return
    if text:
        output.head(f"# {plan.file}")
        for line in content.splitlines():
            output.say(line.expandtabs(4))
        output.say()
    output.head("# then" if text else "# this would be run")
    for line in lines:
        output.say(line)
    if not is_here:
        output.aside("nothing was changed: this is for you to put in place")


def _undo(session: Session, service: Service, what: str = "remove") -> str:
    name = "" if service.name == "overlay" else f" --name {service.name}"
    return f"{session.command} service {what}{name}{' --system' if service.is_system else ''}"


def _no_other_gateway(session: Session, service: Service, plan: Plan) -> None:
    """UsageError if a gateway that is not the service runs on the home: the service would not start."""
    from gateway import service_manager

    pid = session.home.running_pid()
    if pid is not None and pid != service_manager.look(service, plan).pid:
        raise UsageError(
            f"service: a gateway runs on {session.home.path} already (process {pid}); end it first: {session.command} down"
        )
