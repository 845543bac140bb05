"""`overlay id`: who this endpoint is, and moving that to another machine. Works without a running gateway."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli import output
from gateway.cli.app import Command, Session, pass_session
from gateway.errors import StateError, UsageError
from tunnels.errors import KeyFileError
from tunnels.keyfile import key_from_text, key_to_text, load_key, replace_key, save_key
from tunnels.limits import KEY_FILE_BYTES

if TYPE_CHECKING:
    from gateway.home import Home
    from tunnels.identity import SecretKey


@click.command("id", cls=Command, short_help="Print this endpoint's id, or move it.")
@click.option("--export", "export_to", metavar="FILE|-", help="Write the SECRET key to a new file (0600).")
@click.option("--import", "import_from", metavar="FILE|-", help="Take the secret key from a file.")
@click.option(
    "--force", is_flag=True, help="With --import: replace an identity; the old one is kept beside it."
)
@click.option("--yes", is_flag=True, help="With --export -: show the secret even on a terminal.")
@output.json_option
@pass_session
def id_command(
    session: Session, *, export_to: str | None, import_from: str | None, force: bool, yes: bool, as_json: bool
) -> None:
    """Print this endpoint's id, which is its name: <id>.overlay."""
    if export_to is not None and import_from is not None:
        raise UsageError("id: --export and --import exclude each other")
    if import_from is not None:
        _import(session.home, import_from, force=force)
    secret = load_key(session.home.identity_file)
    if secret is None:
        raise StateError(
            f"id: {session.home.path} has no identity yet; `{session.command} up` makes one, "
            f"and `{session.command} id --import FILE` takes an old one"
        )
    if export_to is not None:
        _export(secret, export_to, yes=yes)
    if export_to != "-":
        name = f"{secret.endpoint_id}.overlay"
        if as_json:
            output.echo_json({"endpoint_id": str(secret.endpoint_id), "name": name})
        else:
            output.say(str(secret.endpoint_id))


def _export(secret: SecretKey, destination: str, *, yes: bool) -> None:
    if destination == "-":
        if sys.stdout.isatty() and not yes:
            raise UsageError("id: this would show your secret on the screen; export to a file, or add --yes")
        click.echo(key_to_text(secret), nl=False)
        return
    save_key(Path(destination), secret)
    output.aside(
        f"{destination} now holds your secret key: whoever has it is you. Delete it once it is moved."
    )


def _import(home: Home, source: str, *, force: bool) -> None:
    secret = _read(source)
    home.create()
    with home.lock():
        try:
            present = load_key(home.identity_file)
        except KeyFileError:
            if not force:
                raise
            present = None
        if present is not None and present.endpoint_id == secret.endpoint_id:
            return
        if not force and present is not None:
            raise StateError(
                f"id: {home.identity_file} holds another identity, {present.endpoint_id.short}…; "
                "add --force to replace it (it is kept beside the new one)"
            )
        backup = replace_key(home.identity_file, secret)
        if backup is not None:
            output.aside(f"The identity that was there is now in {backup}.")


def _read(source: str) -> SecretKey:
    try:
        if source == "-":
            data = sys.stdin.buffer.read(KEY_FILE_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                data = file.read(KEY_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"id: cannot read {source}: {error.strerror}") from None
    try:
        return key_from_text(data.decode("ascii", errors="replace"))
    except ValueError as error:
        raise UsageError(
            f"id: {source} holds no secret key: {error}; give a file made by `overlay id --export`"
        ) from None
