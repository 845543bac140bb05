"""`overlay doctor`: what is wrong here, and what helps."""

from __future__ import annotations

import getpass
import os
import platform
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gateway.cli import output, progress
from gateway.cli.app import Command, Session, pass_session
from gateway.doctor.findings import SEVERITIES, SUBJECTS, worst
from gateway.doctor.limits import DOCTOR_BUNDLE_BYTES, DOCTOR_LOG_LINES
from gateway.errors import GatewayError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.doctor.facts import Facts
    from gateway.doctor.findings import Finding
    from gateway.doctor.fixing import Fixed

_COLOURS: Final = {"ok": "green", "note": "", "warning": "yellow", "problem": "red"}


@click.command("doctor", cls=Command, short_help="What is wrong here, and what helps.")
@click.argument("subjects", metavar="[SUBJECT]...", nargs=-1, type=click.Choice(SUBJECTS))
@click.option("--fix", is_flag=True, help="Do what can be undone, and tell how.")
@click.option(
    "--bundle",
    metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Write a report without names, ids, addresses and secrets, to be shown to others (- is stdout).",
)
@output.json_option
@pass_session
def doctor_command(
    session: Session, *, subjects: tuple[str, ...], fix: bool, bundle: str | None, as_json: bool
) -> int:
    """Look at everything this gateway needs, whether it runs or not, and tell what is wrong, why that matters and what helps.

    \b
    SUBJECT is one or more of
      home      permissions, room, configuration    machine  buffers, descriptors, versions, VPNs
      proxy     SOCKS and HTTP                      clock    against the beacons'
      dns       by every road                       beacons  reachable, and who they say
      loopback  addresses that stand for names      network  UDP, IPv6, the router
      pac       the file for browsers               lan      the local network
      ports     who has them                        dht      the Mainline DHT

    Exit code: 0 if nothing is wrong, 1 if there is a problem. Warnings and notes are no problems. --fix makes permissions narrow,
    removes a socket that a dead gateway left, and with the subject dns installs system DNS.
    """
    from gateway.doctor.checks.every import findings_of
    from gateway.doctor.gathering import gather

    if bundle is not None and bundle != "-" and Path(bundle).exists():
        raise UsageError(f"doctor: {bundle} is there already; give --bundle another name")
    if bundle == "-" and as_json:
        raise UsageError("doctor: --bundle - and --json both go to stdout; give --bundle a file")
    with progress.steps() as step:
        facts = gather(session.home, subjects, step=step)
    findings = findings_of(facts, subjects)
    fixed = _fix(findings, with_system_dns="dns" in subjects and not as_json) if fix else ()
    if fixed:  # what is told is how it is now
        findings = findings_of(gather(session.home, subjects), subjects)
    if bundle is not None:
        _write(session, facts, findings, bundle)
    if as_json:
        output.echo_json(
            {"worst": worst(findings), "findings": [_plain(one) for one in findings], "fixed": fixed}
        )
    elif bundle != "-":
        _tell(session, findings, fixed, bundle)
    return 1 if worst(findings) == "problem" else 0


def _plain(finding: Finding) -> object:
    return {key: getattr(finding, key) for key in ("id", "subject", "severity", "what", "why", "remedy")} | {
        "fixable": finding.fix is not None
    }


def _tell(session: Session, findings: Sequence[Finding], fixed: Sequence[Fixed], bundle: str | None) -> None:
    subject = ""
    for finding in findings:
        mark = click.style(output.mark(finding.severity), fg=_COLOURS[finding.severity] or None)
        head = finding.subject if finding.subject != subject else ""
        subject = finding.subject
        click.echo(f"{mark} {head.ljust(9)} {output.visible(finding.what)}")
        if finding.severity in ("warning", "problem") and finding.why:
            output.say(f"{'':12}{finding.why}")
        if finding.severity != "ok" and finding.remedy:
            output.say(f"{'':12}→ {finding.remedy}")
    counts = [
        f"{count} {severity}{'s' if count > 1 else ''}"
        for severity in reversed(SEVERITIES[1:])
        if (count := sum(finding.severity == severity for finding in findings))
    ]
    output.say()
    output.head(f"{', '.join(counts) or 'All is well'}.")
    for one in fixed:
        output.say(f"Done: {one.what}{f'; undo: {one.undo}' if one.undo else ''}.")
    able = [finding for finding in findings if finding.fix is not None and finding.fix.kind != "system-dns"]
    if able and not fixed:
        output.say(f"`{session.command} doctor --fix` does {len(able)} of this.")
    if bundle is not None:
        output.say(
            f"{bundle}: the report, without names, ids, addresses and secrets. Read it before you pass it on."
        )


def _fix(findings: Sequence[Finding], *, with_system_dns: bool) -> tuple[Fixed, ...]:
    """Do what can be done; one that fails is told, and the others go on. System DNS is changed only where that was asked for."""
    from gateway.cli.dns import install_command
    from gateway.doctor.fixing import Fixed, apply

    done = []
    for finding in findings:
        if finding.fix is None or (finding.fix.kind == "system-dns" and not with_system_dns):
            continue
        try:
            if finding.fix.kind == "system-dns":
                click.get_current_context().invoke(
                    install_command, manager=None, dry_run=False, as_json=False
                )
                done.append(Fixed("this machine's resolver knows of .overlay", finding.fix.undo))
            else:
                done.append(apply(finding.fix))
        except GatewayError as error:
            output.warn(str(error))
    return tuple(done)


def _write(session: Session, facts: Facts, findings: Sequence[Finding], file: str) -> None:
    import contextlib

    from gateway.doctor.bundle import bundle
    from gateway.logs import LogTail
    from tunnels.private_files import write_private

    names: list[str] = []
    if facts.status is not None:
        with contextlib.suppress(GatewayError):
            names += [topic.name for topic in session.client().topics()]
    with contextlib.closing(LogTail(session.home.log_file)) as tail:
        log = tail.last(DOCTOR_LOG_LINES)
    data = bundle(
        facts,
        findings,
        log,
        hostname=socket.gethostname(),
        user=_user(),
        user_home=os.path.expanduser("~"),
        names=names,
        system=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
    )
    if len(data) > DOCTOR_BUNDLE_BYTES:  # many contacts: what is wrong does not depend on them
        short = facts.status and replace_status(facts)
        data = bundle(
            short or facts, findings, log[-100:], hostname=socket.gethostname(), user=_user(), names=names
        )
    if file == "-":
        sys.stdout.write(data.decode())
        return
    try:
        write_private(Path(file), data)
    except OSError as error:
        raise GatewayError(f"doctor: cannot write {file}: {error.strerror or error}") from None


def replace_status(facts: Facts) -> Facts:
    """The facts with a status that lists no contacts."""
    import msgspec

    assert facts.status is not None  # noqa: S101 - tells mypy
    return replace(facts, status=msgspec.structs.replace(facts.status, contacts=(), loopback=()))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without an entry, in a container
        return ""
