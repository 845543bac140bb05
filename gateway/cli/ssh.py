"""`overlay ssh`: ssh(1) to a name, with the way there and the right host key filled in; `overlay ssh-config` for all other users of it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

import click

from gateway.cli import output
from gateway.cli.app import Command, Session, pass_session
from gateway.errors import UsageError
from gateway.programs.destinations import overlay_host


@click.command(
    "ssh",
    cls=Command,
    short_help="Log in by ssh.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("name", metavar="[USER@]NAME")
@click.argument("arguments", metavar="[SSH ARGUMENTS]", nargs=-1, type=click.UNPROCESSED)
@pass_session
def ssh_command(session: Session, *, name: str, arguments: tuple[str, ...]) -> None:
    """Run ssh to NAME, by its service ssh, or another one, as in sshd2.alice; what follows is ssh's own.

    The host key is remembered for the endpoint, and not for the name it has here.
    """
    from gateway.control.names import ResolveRequest

    ssh = shutil.which("ssh")
    if ssh is None:
        raise UsageError("ssh: there is no program called ssh here; install OpenSSH")
    user, at, host_text = name.rpartition("@")
    if user.startswith("-"):  # ssh would take it for an option, and some of its options run commands
        raise UsageError(f"ssh: {user} is no name of a user; options of ssh follow the name")
    host = overlay_host(host_text)
    owner = session.client().resolve(ResolveRequest(name=str(host))).endpoint_id
    words = [
        ssh,
        "-o", f"ProxyCommand={_proxy_command(session)}",
        "-o", "ProxyUseFdpass=yes",
        "-o", f"HostKeyAlias={host.service + '.' if host.service else ''}{owner}.overlay",
        f"{user}{at}{host}",
        *arguments,
    ]  # fmt: skip
    sys.stdout.flush()
    os.execv(ssh, words)  # noqa: S606 - ssh is what was asked for, with arguments as they are


@click.command("ssh-config", cls=Command, short_help="Lines for ~/.ssh/config.")
@pass_session
def ssh_config_command(session: Session) -> None:
    """Print lines for ~/.ssh/config, by which ssh, scp, sftp, rsync and git reach names under .overlay."""
    output.say("Host *.overlay")
    output.say(f"    ProxyCommand {_proxy_command(session)}")
    output.say("    ProxyUseFdpass yes")
    if sys.stdout.isatty():
        output.aside(f"Add them: {session.command} ssh-config >> ~/.ssh/config; then: ssh alice.overlay")


def _proxy_command(session: Session) -> str:
    """What ssh runs to get to %h, by a shell."""
    program = str(Path(sys.argv[0]).absolute()) if os.sep in sys.argv[0] else "overlay"
    home = [] if session.directory is None else ["--home", str(session.home.path)]
    quoted = " ".join(shlex.quote(word).replace("%", "%%") for word in (program, *home))
    return f"{quoted} nc --fdpass %h %p"  # ssh puts the exec before it
