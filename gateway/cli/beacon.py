"""`overlay beacon`: a server for many gateways, in the foreground."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gateway.cli import output
from gateway.cli.app import Group, Session, pass_session
from gateway.cli.issuing import voucher_command
from gateway.errors import UsageError

if TYPE_CHECKING:
    from gateway.beacon.server import BeaconServer
    from gateway.beacon.settings import BeaconConfig
    from gateway.home import Home

_FLAGS: Final = {
    "port": "beacon.port",
    "bind": "beacon.bind",
    "url": "beacon.urls",
    "log_level": "beacon.log_level",
}
"""The flag of each key that has one."""


@click.group(
    "beacon", cls=Group, invoke_without_command=True, short_help="Run a beacon: relay and meeting point."
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Its settings; else beacon.toml in its home, which need not exist.",
)
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port; 0 for any free one.")
@click.option("--bind", multiple=True, metavar="IP", help="Listen there (repeatable).")
@click.option("--url", multiple=True, metavar="URL", help="What gateways know it as (repeatable).")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--check", is_flag=True, help="Tell everything that is wrong with the settings, and end.")
@click.pass_context
@pass_session
def beacon_command(
    session: Session, context: click.Context, /, config_file: Path | None, *, check: bool, **flags: object
) -> None:
    """Run a beacon in the foreground, until Ctrl+C: gateways meet there, and it relays what finds no other path.

    It can refuse to help; it cannot read, forge or redirect. Every key of its settings is documented in
    configs/beacon.toml. Its home is `beacon` inside the home directory, and its key is its own.
    """
    if context.invoked_subcommand is not None:
        return
    if config_file is not None and not config_file.exists():
        raise UsageError(f"beacon: {config_file} does not exist; --config names a file of settings")
    home = home_of(session)
    config = _load(config_file or home.path / "beacon.toml", flags)
    if check:
        output.say("ok")
        return
    import asyncio

    from gateway.beacon.running import run
    from gateway.cli.running import fastest_loop

    with asyncio.Runner(loop_factory=fastest_loop()) as runner:
        runner.run(run(home, config, on_ready=first_screen))


beacon_command.add_command(voucher_command)


def home_of(session: Session) -> Home:
    """Where the beacon keeps its key and state: a gateway may run on the same home directory."""
    from gateway.home import Home

    return Home(session.home.path / "beacon")


def _load(path: Path, flags: dict[str, object]) -> BeaconConfig:
    from gateway.beacon.settings import SCHEMA
    from gateway.config import InvalidConfiguration
    from gateway.config.loading import load_as

    given = {_FLAGS[flag]: value for flag, value in flags.items() if value not in (None, ())}
    try:
        return load_as(SCHEMA, path, environ=os.environ, overrides=given)
    except InvalidConfiguration as error:
        for problem in error.problems[:-1]:
            click.echo(f"overlay: {problem}", err=True)
        raise InvalidConfiguration(error.problems[-1:]) from None


def first_screen(server: BeaconServer) -> None:
    """Its URL, and what the gateways' owners need."""
    url = server.url
    output.head(f"The beacon is up at {url}; Ctrl+C stops it.")
    output.say("For each gateway, in gateway.toml, or as `overlay up --beacon URL`:")
    click.echo(f'\n[beacons]\nurls = ["{url}"]')
