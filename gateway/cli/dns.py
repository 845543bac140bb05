"""`overlay dns install|status|remove`: names under `.overlay` for every program on this machine."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gateway.cli import output
from gateway.cli.app import Group, Session, pass_session
from gateway.errors import GatewayError, NotRunning, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.home import Home
    from gateway.system_dns.plan import Plan
    from gateway.system_dns.report import PlanReport, SystemDnsReport
    from tunnels.addresses import Address

_MANAGERS: Final = ("systemd-resolved", "network-manager", "dnsmasq", "unbound", "macos", "windows")
"""As `gateway.system_dns.managers.NAMES`, which would have to be imported for `--help`."""


@click.group("dns", cls=Group, short_help="Names under .overlay for every program here.")
def dns_command() -> None:
    """Have the system's resolver ask this gateway for names under .overlay, and for no others.

    It writes files of its own where the resolver reads them by itself, and never resolv.conf. Exit codes besides the
    usual ones: 6 if only root may do it; the command to be run is printed then.
    """


@dns_command.command("install")
@click.option("--manager", type=click.Choice(_MANAGERS), help="Whom to tell; else whom programs here ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing.")
@output.json_option
@pass_session
def install_command(session: Session, *, manager: str | None, dry_run: bool, as_json: bool) -> None:
    """Tell the system's resolver of .overlay. What is done is shown first, and undone if names are not found by it then."""
    from gateway.system_dns import asking, installing, journal
    from gateway.system_dns.errors import NeedsRoot
    from gateway.system_dns.facts import gather
    from gateway.system_dns.machine import RealMachine
    from gateway.system_dns.managers import choose, find_all, named
    from gateway.system_dns.plan import Target
    from gateway.system_dns.report import InstallReport

    home = _home(session)
    server = _server(home)
    machine = RealMachine()
    facts = gather(machine)
    chosen = named(manager) if manager else choose(facts, find_all(facts, machine))
    plan = chosen.plan(facts, machine, Target(server, str(home.path)))
    report = _report(plan, session, home)
    does_nothing = dry_run or bool(plan.shown_only)
    if not as_json:
        _show(chosen.title, plan, report)
        noted = journal.load(machine)
        if noted is not None and (noted.manager, noted.server) != (report.manager, report.server):
            output.say(
                f"note  this takes the place of {noted.server}, of which {noted.manager} was told ({noted.home})"
            )
    if plan.shown_only and not dry_run and as_json:
        raise UsageError(f"dns install: {plan.shown_only}; --dry-run shows what that is")
    if does_nothing:
        if as_json:
            output.echo_json(InstallReport(state="planned", plan=report))
        return
    if not facts.is_root:
        words = ["dns", "install", *(["--manager", manager] if manager else [])]
        raise NeedsRoot(f"only root may do this; run: {_as_root(home, *words)}")
    if asking.gateway_at(server) is None:
        raise NotRunning(
            f"no gateway answers at {server}, so that nothing could be verified; start it first, not as root: overlay up"
        )
    found_outside = asking.outside_is_found()
    with _alone():
        done = installing.install(
            machine,
            plan,
            lambda: asking.verify(server, facts.nameservers, found_outside=found_outside),
        )
    if as_json:
        output.echo_json(InstallReport(state=done, plan=report))
        return
    what = "It was so already" if done == "unchanged" else "Done"
    output.say(f"{what}, and verified: programs here find names under .overlay.")


@dns_command.command("status")
@output.json_option
@pass_session
def status_command(session: Session, *, as_json: bool) -> int:
    """Whether programs here find names under .overlay, by whom, and what is in the way. Exit code 1 if they do not."""
    from gateway.system_dns.machine import RealMachine
    from gateway.system_dns.status import status

    home = _home(session)
    server = None
    with contextlib.suppress(
        GatewayError
    ):  # it is not known where our server is: the rest can be told all the same
        server = _server(home)
    report = status(RealMachine(), command=_overlay(home), server=server)
    if as_json:
        output.echo_json(report)
    else:
        _tell(report)
    return 0 if report.verified else 1


@dns_command.command("remove")
@output.json_option
@pass_session
def remove_command(session: Session, *, as_json: bool) -> None:
    """Take back what `install` did, also one that was interrupted. When nothing is installed, nothing is done."""
    from gateway.system_dns import installing, journal
    from gateway.system_dns.errors import NeedsRoot
    from gateway.system_dns.machine import RealMachine
    from gateway.system_dns.managers import MANAGERS
    from gateway.system_dns.plan import is_ours
    from gateway.system_dns.report import RemoveReport

    machine = RealMachine()
    known = [place for manager in MANAGERS for place in manager.places()]
    nothing = journal.load(machine) is None and not any(
        is_ours(machine.read(place) or b"") for place in known
    )
    if not nothing and os.geteuid() != 0:
        raise NeedsRoot(f"only root may do this; run: {_as_root(_home(session), 'dns', 'remove')}")
    report = RemoveReport(files=())
    if not nothing:
        with _alone():
            files, left = installing.remove(machine, known)
        report = RemoveReport(files=files, left=left)
    if as_json:
        output.echo_json(report)
        return
    for path in report.files:
        output.say(f"Removed {path}.")
    for each in report.left:
        output.warn(each)
    output.say("Nothing of ours is left." if report.files else "Nothing was installed.")


# --- Whose gateway, and where it listens ----------------------------------------------------------------------


def _home(session: Session) -> Home:
    """The home that is meant: with sudo that of who called sudo, because gateways do not run as root."""
    from gateway.home import Home

    user = os.environ.get("SUDO_UID", "")
    if (
        session.directory is None
        and "OVERLAY_HOME" not in os.environ
        and user.isdigit()
        and os.geteuid() == 0
    ):
        import pwd

        try:
            place = Path(pwd.getpwuid(int(user)).pw_dir)
        except KeyError:
            raise UsageError(f"home: there is no user {user}; name the gateway's home by --home") from None
        darwin = Path("Library", "Application Support")
        state = darwin if sys.platform == "darwin" else Path(".local", "state")
        return Home(place / state / "overlay")
    return session.home


def _server(home: Home) -> Address:
    """Where the DNS server of this home listens: as its gateway says, else as its configuration does."""
    from gateway.config.loading import load
    from gateway.control.client import ControlClient
    from tunnels.addresses import Address

    try:
        listens = ControlClient(home).status().listener("dns")
    except NotRunning:
        settings = load(home.config_file, environ=os.environ, overrides={}).dns
        if not settings.enabled:
            raise UsageError("dns: the DNS server is off; set [dns] enabled = true in gateway.toml") from None
        if not settings.port:
            raise UsageError(
                "dns: the DNS server takes another port at each start; set [dns] port in gateway.toml, such as 5399"
            ) from None
        return Address(ip_address(settings.host), settings.port)
    if not listens:
        raise UsageError(
            "dns: the gateway runs without its DNS server; set [dns] enabled = true and start it again"
        )
    return Address.parse(listens)


def _overlay(home: Home) -> str:
    """How a person calls us for this home, wherever they are."""
    return f"overlay --home {shlex.quote(str(home.path))}"


def _as_root(home: Home, *words: str) -> str:
    """The command for root, whose path does not have us."""
    program = shutil.which(sys.argv[0]) or sys.argv[0]
    return shlex.join(["sudo", os.path.abspath(program), "--home", str(home.path), *words])


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """No other install or removal meanwhile."""
    import fcntl

    from gateway.system_dns.errors import SystemDnsError
    from gateway.system_dns.journal import LOCK

    try:
        descriptor = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SystemDnsError(f"{LOCK} cannot be opened: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemDnsError("another `overlay dns` is at work; try again when it is done") from None
        yield
    finally:
        os.close(descriptor)


# --- Showing --------------------------------------------------------------------------------------------------


def _report(plan: Plan, session: Session, home: Home) -> PlanReport:
    from gateway.system_dns.report import PlannedFileReport, PlanReport

    undo = (
        tuple(" ".join(command) for command in plan.undo) if plan.undo else (_as_root(home, "dns", "remove"),)
    )
    return PlanReport(
        manager=plan.manager,
        server=str(plan.target.server),
        files=tuple(PlannedFileReport(path=file.path, text=file.text, why=file.why) for file in plan.files),
        commands=tuple(" ".join(command) for command in (*plan.checks, *plan.reloads)),
        notes=plan.notes,
        undo=undo,
    )


def _show(title: str, plan: Plan, report: PlanReport) -> None:
    output.head(f"{title}: names under .overlay will be asked of {report.server}.")
    for file in report.files:
        output.say(f"write {file.path}    ({file.why})")
        for line in file.text.splitlines():
            output.say(f"    {line}")
    for command in report.commands:
        output.say(f"run   {command}")
    for note in report.notes:
        output.say(f"note  {note}")
    for command in report.undo:
        output.say(f"undo  {command}")
    if plan.shown_only:
        output.say(f"This is not done from here: {plan.shown_only}.")


def _tell(report: SystemDnsReport) -> None:
    words = {
        "none": "nothing is installed",
        "installed": f"{report.manager} asks {report.server}",
        "incomplete": "an install or a removal was interrupted",
        "changed": f"{report.manager} was told, but a file of ours is gone or changed",
    }
    rows = [
        ("system", words[report.state]),
        (
            "names",
            "found" if report.verified else f"not found: {report.problem}" if report.problem else "not tried",
        ),
        ("resolv.conf", f"names {', '.join(report.nameservers) or 'nobody'} (we never change it)"),
    ]
    rows += [
        (each.manager, each.why + (f"; {each.obstacle}" if each.obstacle else ""))
        for each in report.resolvers
    ]
    rows += [("file", path) for path in report.files]
    rows += [
        (
            f"port {each.address.rpartition(':')[2]}",
            f"{each.program or 'somebody'} at {each.address} ({each.protocol})",
        )
        for each in report.listeners
    ]
    output.pairs(rows)
    for remedy in report.remedies:
        output.say(f"→ {remedy}")
