"""`overlay contacts`: names of our own for other endpoints."""

from __future__ import annotations

from typing import Final, TextIO, get_args

import click
import msgspec

from gateway.cli import importing, naming, output
from gateway.cli.app import Group, Session, pass_session
from gateway.cli.parameters import completed_by
from gateway.config.settings import PathPolicyName
from gateway.control.contacts import (
    AddContactRequest,
    ContactReport,
    GroupReport,
    GroupRequest,
    PathPolicyRequest,
    RenameContactRequest,
)
from gateway.errors import UsageError
from resolver.lookalikes import shown


@click.group("contacts", cls=Group, short_help="Your own names for other endpoints.", default="ls")
def contacts_command() -> None:
    """Names of your own for other endpoints; without a command, list them."""


@contacts_command.command("add")
@click.argument("name")
@click.argument("id_or_ticket")
@click.option("--address", multiple=True, metavar="IP:PORT", help="Where it may be reached (repeatable).")
@output.json_option
@pass_session
def add_contact(
    session: Session, *, name: str, id_or_ticket: str, address: tuple[str, ...], as_json: bool
) -> None:
    """Call the endpoint with this id or ticket NAME."""
    client = session.client()

    def add(name: str) -> ContactReport:
        return client.add_contact(
            AddContactRequest(petname=name, id_or_ticket=id_or_ticket.strip(), addresses=address)
        )

    report = naming.with_free_name(add, name)
    naming.warn_all(report.warnings)
    undo = f"{session.command} contacts rm {report.petname}"
    _tell(report, f"{report.petname} is {report.endpoint_id}; undo: {undo}", as_json=as_json)


@contacts_command.command("ls")
@output.json_option
@pass_session
def list_contacts(session: Session, *, as_json: bool) -> None:
    """List the contacts."""
    reports = session.client().contacts()
    if as_json:
        output.echo_json(reports)
    elif reports:
        with_groups = any(report.groups for report in reports)
        with_grants = any(report.granted for report in reports)
        with_paths = any(report.path_policy for report in reports)
        with_nicknames = any(map(_calls_itself, reports))
        rows = [
            (
                r.petname,
                r.endpoint_id,
                _state(r),
                *((r.path_policy,) if with_paths else ()),
                *((", ".join(r.groups),) if with_groups else ()),
                *((", ".join(r.granted),) if with_grants else ()),
                *((_calls_itself(r),) if with_nicknames else ()),
                ", ".join(r.services),
                ", ".join((*r.addresses, *map(output.relay, r.relays))),
            )
            for r in reports
        ]
        titles = (
            "name",
            "id",
            "tunnel",
            *(("paths",) if with_paths else ()),
            *(("groups",) if with_groups else ()),
            *(("may use",) if with_grants else ()),
            *(("calls itself",) if with_nicknames else ()),
            "services",
            "addresses",
        )
        output.table(titles, rows)
    else:
        output.aside(f"No contacts yet; `{session.command} join TICKET` adds one.")


@contacts_command.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=completed_by("contacts"))
@output.json_option
@pass_session
def remove_contact(session: Session, *, names: tuple[str, ...], as_json: bool) -> None:
    """Forget each contact NAME, and with it what it may use."""
    client = session.client()
    for name in names:
        report = client.remove_contact(name)
        undo = f"{session.command} contacts add {report.petname} {report.endpoint_id}"
        undo += "".join(f" --address {address}" for address in report.addresses)
        for group in report.groups:
            undo += f" && {session.command} contacts group add {group} {report.petname}"
        _tell(report, f"{report.petname} is forgotten; undo: {undo}", as_json=as_json)


@contacts_command.command("rename")
@click.argument("name", shell_complete=completed_by("contacts"))
@click.argument("new_name")
@output.json_option
@pass_session
def rename_contact(session: Session, *, name: str, new_name: str, as_json: bool) -> None:
    """Call the contact NAME by NEW_NAME."""
    client = session.client()
    report = naming.with_free_name(
        lambda new: client.rename_contact(name, RenameContactRequest(petname=new)), new_name
    )
    naming.warn_all(report.warnings)
    undo = f"{session.command} contacts rename {report.petname} {name}"
    _tell(report, f"{name} is now {report.petname}; undo: {undo}", as_json=as_json)


_DEFAULT: Final = "default"
_POLICIES: Final = (*get_args(PathPolicyName), _DEFAULT)


@contacts_command.command("path")
@click.argument("name", shell_complete=completed_by("contacts"))
@click.argument("policy", type=click.Choice(_POLICIES))
@output.json_option
@pass_session
def choose_path(session: Session, *, name: str, policy: str, as_json: bool) -> None:
    """Choose which paths may be used to NAME.

    \b
    auto         the best that works
    direct-only  never by way of others
    relay-only   only by way of others, so that NAME does not learn our addresses
    no-lan       everything but private addresses, which NAME is not told
    default      what [tunnels] path_policy says, now and when it changes
    """
    client = session.client()
    before = next((known.path_policy for known in client.contacts() if known.petname == name.lower()), "")
    request = msgspec.convert({"policy": "" if policy == _DEFAULT else policy}, PathPolicyRequest)
    report = client.set_path_policy(name, request)
    undo = f"{session.command} contacts path {report.petname} {before or _DEFAULT}"
    _tell(report, f"Paths to {report.petname}: {policy}; undo: {undo}", as_json=as_json)


@contacts_command.group("group", cls=Group, short_help="Groups of contacts, for --allow group:NAME.")
def group_command() -> None:
    """Groups of contacts: `overlay expose … --allow group:NAME` opens a service to all in one."""


@group_command.command("add")
@click.argument("group", shell_complete=completed_by("groups"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=completed_by("contacts"))
@output.json_option
@pass_session
def add_to_group(session: Session, *, group: str, names: tuple[str, ...], as_json: bool) -> None:
    """Put each contact NAME into GROUP, which is there as soon as somebody is in it."""
    report = session.client().change_group(GroupRequest(group=group, petnames=names))
    _tell_change(session, report, "rm", as_json=as_json)


@group_command.command("rm")
@click.argument("group", shell_complete=completed_by("groups"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=completed_by("contacts"))
@output.json_option
@pass_session
def take_from_group(session: Session, *, group: str, names: tuple[str, ...], as_json: bool) -> None:
    """Take each contact NAME out of GROUP, and end what it may not use any more."""
    report = session.client().change_group(GroupRequest(group=group, petnames=names, remove=True))
    _tell_change(session, report, "add", as_json=as_json)


@group_command.command("ls")
@click.argument("group", required=False, shell_complete=completed_by("groups"))
@output.json_option
@pass_session
def list_groups(session: Session, *, group: str | None, as_json: bool) -> None:
    """List the groups, or GROUP alone, with who is in them and what they may use."""
    reports = session.client().groups()
    if group is not None:
        reports = tuple(report for report in reports if report.group == group.lower())
        if not reports:
            raise UsageError(
                f"contacts group: nobody is in {group}; put somebody in: {session.command} contacts group add {group} NAME"
            )
    if as_json:
        output.echo_json(reports)
    elif reports:
        rows = [(r.group, ", ".join(r.members) or "nobody", ", ".join(r.services)) for r in reports]
        output.table(("group", "contacts", "may use"), rows)
    else:
        output.aside(f"No groups yet; `{session.command} contacts group add GROUP NAME` makes one.")


def _tell_change(session: Session, report: GroupReport, undo: str, *, as_json: bool) -> None:
    if as_json:
        output.echo_json(report)
        return
    output.say(f"In {report.group}: {', '.join(report.members) or 'nobody'}.")
    if report.changed:
        output.say(f"undo: {session.command} contacts group {undo} {report.group} {' '.join(report.changed)}")
    else:
        output.aside("Nothing has changed by that.")


@contacts_command.command("export")
@output.json_option
@pass_session
def export_contacts(session: Session, *, as_json: bool) -> None:
    """Print the contacts as `import` takes them, here or at another gateway: petnames, ids, groups, addresses typed by hand."""
    from resolver.contact_files import JsonContacts, ListedContact, contact_lines

    listed = tuple(
        msgspec.convert(
            {
                "petname": r.petname,
                "id": r.endpoint_id,
                "addresses": r.typed,
                "path": r.path_policy,
                "groups": r.groups,
            },
            ListedContact,
        )
        for r in session.client().contacts()
    )
    if as_json:
        output.echo_json(JsonContacts(listed))
        return
    for line in contact_lines(listed):
        output.say(line)


@contacts_command.command("import")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--replace", is_flag=True, help="Let FILE win where it contradicts the address book.")
@click.option("--dry-run", is_flag=True, help="Tell what would happen, and change nothing.")
@output.json_option
@pass_session
def import_contacts(session: Session, *, file: TextIO, replace: bool, dry_run: bool, as_json: bool) -> int:
    """Take the contacts of FILE (or -), which `export` printed, with or without --json.

    A petname that is another endpoint's here, or an endpoint that has another petname, is left as it is and told, unless --replace is
    given; the exit code is 1 then.
    """
    taken = importing.run(session.client(), file, replace=replace, preview=dry_run)
    if as_json:
        output.echo_json(taken)
    else:
        importing.tell(session, taken, preview=dry_run)
    return 1 if any(one.outcome == "conflict" for one in taken) else 0


@contacts_command.command("hosts")
@output.json_option
@pass_session
def list_hosts(session: Session, *, as_json: bool) -> None:
    """Print the contacts' names and loopback addresses in the form of /etc/hosts.

    Such a file replaces the DNS server where that cannot be asked; it is true as long as the addresses are.
    """
    status = session.client().status()
    if as_json:
        output.echo_json([{"ip": ip, "names": names} for ip, names in importing.hosts_of(status).items()])
        return
    for line in importing.hosts_lines(status):
        output.say(line)


def _calls_itself(report: ContactReport) -> str:
    """Its nickname, where that is another name than its petname or has changed."""
    if report.nickname_before:
        return f"{shown(report.nickname)}, before {shown(report.nickname_before)}"
    return shown(report.nickname) if report.nickname != report.petname else ""


def _tell(report: ContactReport, text: str, *, as_json: bool) -> None:
    if as_json:
        output.echo_json(report)
    else:
        output.say(text)


def _state(report: ContactReport) -> str:
    return {True: "up", False: "down", None: ""}[report.connected]
