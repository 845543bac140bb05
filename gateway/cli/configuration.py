"""`overlay config`: whether gateway.toml is right, and what is in force with variables counted in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from gateway.cli import output
from gateway.cli.app import Group, Session, pass_session
from gateway.config import InvalidConfiguration, load

if TYPE_CHECKING:
    from gateway.config import Config


@click.group("config", cls=Group, short_help="Check or show the configuration.")
def config_command() -> None:
    """Check or show the configuration. Every key is documented in configs/gateway.toml."""


@config_command.command("check")
@output.json_option
@pass_session
def check(session: Session, *, as_json: bool) -> None:
    """Tell everything that is wrong with gateway.toml and the variables; exit code 3 if anything is."""
    path = session.home.config_file
    try:
        _load(session)
    except InvalidConfiguration as error:
        if not as_json:
            for problem in error.problems[:-1]:
                click.echo(f"overlay: {problem}", err=True)
            raise InvalidConfiguration(error.problems[-1:]) from None
        raise
    if as_json:
        output.echo_json({"file": str(path), "exists": path.exists(), "ok": True})
    else:
        output.say(f"{path}: ok" if path.exists() else f"{path}: not there, so every key has its default")


@config_command.command("show")
@output.json_option
@pass_session
def show(session: Session, *, as_json: bool) -> None:
    """Print every key in force, with secrets masked."""
    from gateway.config.showing import as_toml, as_values

    config = _load(session)
    if as_json:
        output.echo_json(as_values(config))
    else:
        click.echo(as_toml(config), nl=False)


def _load(session: Session) -> Config:
    return load(session.home.config_file, environ=os.environ, overrides={})
