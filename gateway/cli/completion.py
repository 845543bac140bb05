"""`overlay completion`: the script that teaches a shell our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from gateway.cli.app import Command, overlay
from gateway.errors import GatewayError


@click.command("completion", cls=Command, short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the completion script for a shell, such as: eval "$(overlay completion bash)"."""
    kind = get_completion_class(shell)
    if kind is None:
        raise GatewayError(f"completion: {shell} is not supported here; use bash, zsh or fish")
    click.echo(kind(overlay, {}, "overlay", "_OVERLAY_COMPLETE").source())
