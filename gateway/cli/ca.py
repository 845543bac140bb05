"""`overlay ca`: the certificate authority for local HTTPS, good for .overlay and .localhost only."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gateway.cli import output
from gateway.cli.app import Command, Group, Session, pass_session
from gateway.errors import GatewayError, NotRunning, StateError, UsageError
from gateway.trust import elsewhere

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.secure.authority import Authority
    from gateway.trust.installing import Ledger, StoreReport
    from gateway.trust.stores import Store, Wanted

_KINDS = ("system", "chromium", "firefox")

_OTHER_SYSTEMS: Final[dict[str, elsewhere.System]] = {"darwin": "macos", "win32": "windows"}
"""By `sys.platform`: those whose stores we do not change."""

_stores_option = click.option(
    "--store",
    "kinds",
    type=click.Choice(_KINDS),
    multiple=True,
    help="Only there (repeatable); all of this person's and the system's by default.",
)


@click.group("ca", cls=Group, short_help="https:// for .overlay in browsers: a local certificate authority.")
def ca_command() -> None:
    """https:// for .overlay and .localhost, by a certificate authority of this gateway that is good for nothing else."""


@ca_command.command("install", cls=Command, short_help="Make it, and have browsers trust it.")
@_stores_option
@click.option(
    "--show",
    type=click.Choice(elsewhere.SYSTEMS),
    help="Change no store; print the commands for this system instead.",
)
@output.json_option
@pass_session
def install_command(
    session: Session, *, kinds: Sequence[str], show: elsewhere.System | None, as_json: bool
) -> None:
    """Make the authority if there is none yet, and put it where browsers and the system look.

    All of it or nothing: what fails half-way is undone. Doing it again changes nothing. Browsers that run take it up
    when they start again. What only root may do is printed instead, with sudo.
    """
    from gateway.trust.installing import install

    show = show or _OTHER_SYSTEMS.get(sys.platform)
    authority, is_new = _make(session)
    wanted, ledger = _wanted(session, authority), _ledger(session)
    reports: list[StoreReport] = []
    if show is None:
        try:
            reports = install(_stores(kinds), wanted, ledger)
        except GatewayError:
            if is_new:
                _forget(session)
            raise
    by_hand = elsewhere.commands(show, wanted.file) if show is not None else ()
    undo = elsewhere.undo_commands(show, authority.sha1) if show is not None else ()
    running = _tell_gateway(session)
    if as_json:
        report = _report(session, authority, reports, running)
        output.echo_json(report | {"made": is_new, "commands": by_hand, "undo": undo})
        return
    output.say(
        f"{'Made' if is_new else 'There is'} {authority.label}, good for .overlay and .localhost only."
    )
    _show_stores(reports)
    for command in by_hand:
        output.say(f"  {command}")
    if undo:
        output.say("and to undo that:")
    for command in undo:
        output.say(f"  {command}")
    output.say()
    output.say(
        "https:// works now for every service that is plain HTTP; programs with lists of their own take it by"
    )
    output.say(f"  curl --cacert {wanted.file} https://web.NAME.overlay/")
    if not running:
        output.say(f"once the gateway runs: {session.command} up")
    output.say(f"Undo it with: {session.command} ca remove")


@ca_command.command("status", cls=Command, short_help="Where it is trusted, and until when.")
@_stores_option
@output.json_option
@pass_session
def status_command(session: Session, *, kinds: Sequence[str], as_json: bool) -> int:
    """Whether there is an authority, and where it is trusted. Exit code 1 if there is none."""
    from gateway.secure.authority import Authority
    from gateway.trust.installing import status

    authority = Authority.load(session.home.authority_directory)
    if authority is None:
        if as_json:
            output.echo_json({"label": "", "stores": []})
        else:
            output.say(f"There is no authority; make one with: {session.command} ca install")
        return 1
    reports = status(_stores(kinds), _wanted(session, authority))
    if as_json:
        output.echo_json(_report(session, authority, reports, _is_running(session)))
        return 0
    output.pairs(
        [
            ("authority", authority.label),
            ("sha-256", authority.fingerprint),
            ("until", output.day(authority.expires)),
            ("certificate", str(_wanted(session, authority).file)),
        ]
    )
    _show_stores(reports)
    if authority.is_old(_now()):
        output.warn(f"it ends soon; make a new one with: {session.command} ca install")
    return 0


@ca_command.command("remove", cls=Command, short_help="Take it away everywhere.")
@output.json_option
@pass_session
def remove_command(session: Session, *, as_json: bool) -> int:
    """Take the authority away wherever it is trusted, and delete its key. Exit code 1 if something is left to do by hand."""
    from gateway.secure.authority import Authority
    from gateway.trust.installing import remove

    try:
        authority = Authority.load(session.home.authority_directory)
    except StateError as error:  # its files are damaged, and go all the same
        output.warn(str(error))
        authority = None
    ledger = _ledger(session)
    other = _OTHER_SYSTEMS.get(sys.platform)
    by_hand: tuple[str, ...] = ()
    if other is not None and authority is not None:
        by_hand = elsewhere.undo_commands(other, authority.sha1)
    if authority is None and not ledger.read():
        _forget(session)
        if as_json:
            output.echo_json({"removed": False, "stores": []})
        else:
            output.say("There is no authority to remove.")
        return 0
    reports = remove(_stores(()), authority.label if authority is not None else None, ledger)
    # The key goes at once: what it signs is trusted wherever something is left.
    _forget(session, keep_ledger=bool(ledger.read()))
    _tell_gateway(session)
    left = [report for report in reports if report.state != "absent"]
    if as_json:
        output.echo_json({"removed": authority is not None, "stores": reports, "commands": by_hand})
        return 1 if left or by_hand else 0
    output.say(f"Removed{f' {authority.label}' if authority is not None else ''}: its key is deleted.")
    _show_stores([report for report in reports if report.changed or report.state != "absent"])
    for command in by_hand:
        output.say(f"  {command}")
    return 1 if left or by_hand else 0


def _make(session: Session) -> tuple[Authority, bool]:
    """The authority, and whether it was made now; one that ends soon is replaced."""
    from gateway.secure.authority import Authority
    from gateway.trust.installing import remove

    home = session.home
    home.create()
    found = Authority.load(home.authority_directory)
    if found is not None and not found.is_old(_now()):
        return found, False
    if found is not None:
        remove(_stores(()), found.label, _ledger(session))
    made = Authority.make(_now(), socket.gethostname())
    try:
        made.save(home.authority_directory)
    except OSError as error:
        raise StateError(
            f"ca: {error.filename or home.authority_directory} cannot be written: {error.strerror}"
        ) from None
    return made, True


def _forget(session: Session, *, keep_ledger: bool = False) -> None:
    from gateway.secure.authority import certificate_file, key_file

    directory = session.home.authority_directory
    if keep_ledger:
        key_file(directory).unlink(missing_ok=True)
        certificate_file(directory).unlink(missing_ok=True)
    elif directory.exists():
        shutil.rmtree(directory)


def _wanted(session: Session, authority: Authority) -> Wanted:
    import ssl

    from gateway.secure.authority import certificate_file
    from gateway.trust.stores import Wanted

    der = ssl.PEM_cert_to_DER_cert(authority.pem.decode("ascii"))
    return Wanted(authority.label, der, certificate_file(session.home.authority_directory))


def _ledger(session: Session) -> Ledger:
    from gateway.trust.installing import Ledger

    return Ledger(session.home.authority_directory / "places.json")


def _stores(kinds: Sequence[str]) -> list[Store]:
    """Those of this person, and the system's, of these kinds; all of them if none is named."""
    from gateway.trust.nss import nss_stores
    from gateway.trust.system import system_store

    system = system_store()
    stores: list[Store] = [system] if system is not None else []
    stores += nss_stores(Path.home(), os.environ)
    if not kinds:
        return stores
    chosen = [store for store in stores if store.kind in kinds]
    missing = [kind for kind in kinds if all(store.kind != kind for store in chosen)]
    if missing:
        raise UsageError(
            f"ca: there is no store of {' and '.join(missing)} here; start that browser once, so that it has one"
        )
    return chosen


def _tell_gateway(session: Session) -> bool:
    """Have the running gateway take it up; whether one runs."""
    try:
        session.client().reload()
    except NotRunning:
        return False
    except (
        GatewayError
    ) as error:  # its configuration was made wrong meanwhile; that is told, and no failure of this
        output.warn(f"the running gateway did not take it up: {error}")
    return True


def _is_running(session: Session) -> bool:
    return session.home.running_pid() is not None


def _now() -> float:
    from datetime import UTC, datetime

    return datetime.now(UTC).timestamp()


def _report(
    session: Session, authority: Authority, reports: Sequence[StoreReport], running: bool
) -> dict[str, object]:
    return {
        "label": authority.label,
        "fingerprint": authority.fingerprint,
        "expires": authority.expires,
        "certificate": str(_wanted(session, authority).file),
        "running": running,
        "stores": reports,
    }


def _show_stores(reports: Sequence[StoreReport]) -> None:
    if reports:
        output.table(("store", "place", "", ""), [(r.kind, r.place, r.state, r.note) for r in reports])
    for report in reports:
        for command in report.commands:
            output.say(f"  {command}")
