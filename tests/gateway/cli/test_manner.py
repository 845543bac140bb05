"""One manner for all commands: reports as JSON where asked, no colour in a pipe, exit codes that the help tells."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import click
import pytest

from gateway.cli.app import EPILOG, overlay
from gateway.errors import GatewayError
from tunnels.keyfile import load_or_create_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.gateway.cli.conftest import Overlay

NO_REPORT = {
    "up": "goes on until it is stopped",
    "beacon run": "goes on until it is stopped",
    "completion": "prints a script",
    "logs": "prints lines as they were written: [gateway] log_format",
    "man": "prints a manual",
    "nc": "carries a connection",
    "ssh": "becomes ssh",
    "ssh-config": "prints lines for ssh's own configuration",
}
"""Commands that print nothing that a program would read."""

INVOCATIONS = {
    "status": (),
    "status --published": (),
    "reload": (),
    "id": (),
    "expose": ("web", "8000"),
    "unexpose": ("web",),
    "services": (),
    "contacts": (),
    "contacts ls": (),
    "contacts add": ("carol", "8pinxxgqs41n4aididenw5apqp1urfmzdztr8jt4abrkdn435ewo"),
    "contacts rename": ("alice", "alina"),
    "contacts path": ("alice", "auto"),
    "contacts rm": ("alice",),
    "contacts export": (),
    "contacts hosts": (),
    "contacts group": ("ls",),
    "invite": ("--service", "web"),
    "invites": (),
    "invites ls": (),
    "ticket": (),
    "topic": (),
    "topic join": ("chess",),
    "topic ls": (),
    "zone": (),
    "zone show": (),
    "whois": ("alice",),
    "vouchers": (),
    "vouchers ls": (),
    "ping": ("alice",),
    "netcheck": (),
    "resolve": ("alice",),
    "config check": (),
    "config show": (),
    "doctor": ("home", "machine"),
}
"""Commands with which nothing goes wrong, and what they are given."""


def commands(
    command: click.Command = overlay, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(overlay)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, (*path, name))
    else:
        yield " ".join(path), command


def test_every_command_that_reports_something_has_json():
    without = [
        path
        for path, command in commands()
        if not any("--json" in getattr(parameter, "opts", ()) for parameter in command.params)
    ]
    assert set(without) <= NO_REPORT.keys(), "give it --json, or say in NO_REPORT why not"


@pytest.mark.parametrize("path", INVOCATIONS)
async def test_with_json_stdout_is_json_and_nothing_else(overlay: Overlay, path: str) -> None:
    await asyncio.to_thread(load_or_create_key, overlay.home.identity_file)
    await overlay("expose", "web", "8000")
    done = await overlay(*path.split(), *INVOCATIONS[path], "--json")
    assert (done.code, done.err) == (0, ""), done
    json.loads(done.out)


@pytest.mark.parametrize("path", INVOCATIONS)
async def test_in_a_pipe_there_is_no_colour(overlay: Overlay, path: str) -> None:
    await overlay("expose", "web", "8000")
    done = await overlay(*path.split(), *INVOCATIONS[path])
    assert done.out + done.err
    assert "\x1b" not in done.out + done.err


def test_the_help_tells_every_exit_code_that_an_error_has():
    def kinds(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
        yield kind
        for inner in kind.__subclasses__():
            yield from kinds(inner)

    import gateway.dialing
    import gateway.invites.errors
    import gateway.vouchers

    assert gateway.dialing and gateway.invites.errors and gateway.vouchers  # noqa: PT018 - their errors are known now
    codes = {kind.exit_code for kind in kinds(GatewayError)}
    assert len(codes) > 10
    told = EPILOG.partition("Options and variables")[0]
    for code in codes:
        assert f"\n  {code} " in told or f" {code} " in told, code


def test_groups_mean_their_list_where_no_command_is_named_and_never_swallow_a_mistake(
    tmp_path: Path, capsys
) -> None:
    from gateway.cli.app import run

    for group in ("contacts", "invites", "topic", "zone", "vouchers"):
        for words in ([group], [group, "--json"], [group, "--home", str(tmp_path), "--json"]):
            assert run(["--home", str(tmp_path), *words]) == 5, "it asks the gateway, and none runs"
        assert run([group, "lss"]) == 2
        assert run([group, "--nope"]) == 2
        capsys.readouterr()
        assert run([group, "--help"]) == 0
        assert f"Usage: overlay {group} [OPTIONS] COMMAND" in capsys.readouterr().out
