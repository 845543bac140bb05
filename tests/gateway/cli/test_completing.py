"""A shell completes what the running gateway knows, and nothing where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.cli import completing
from gateway.cli.app import COMMANDS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway.cli.conftest import Overlay

PROGRAM = [sys.executable, "-c", "from gateway.cli import main; main()"]


def completed(home: Path, *words: str) -> list[str]:
    """What is offered for the last word."""
    line = ["overlay", "--home", str(home), *words]
    done = subprocess.run(
        PROGRAM,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={
            **os.environ,
            "_OVERLAY_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(line),
            "COMP_CWORD": str(len(line) - 1),
        },
    )
    assert done.stderr == ""
    return [entry.partition(",")[2] for entry in done.stdout.split()]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("ping", "al"), ["alice"]),
        (("contacts", "rm", "al"), ["alice"]),
        (("contacts", "path", "alice", "direct"), ["direct-only"]),
        (("unexpose", "we"), ["web"]),
        (("expose", "postgr"), ["postgres", "postgresql"]),
        (("expose", "web", "1", "--allow", "con"), ["contacts", "contacts-of:alice"]),
        (("invite", "--service", "w"), ["web"]),
        (("whois", "al"), ["alice"]),
        (("doctor", "be"), ["beacons"]),
        (("ping", "zzz"), []),
    ],
)
async def test_what_the_gateway_knows_is_completed(
    overlay: Overlay, words: tuple[str, ...], offered: list[str]
) -> None:
    import asyncio

    await overlay("expose", "web", "8000")
    assert await asyncio.to_thread(completed, overlay.home.path, *words) == offered


def test_without_a_gateway_there_is_nothing_to_complete_and_no_error(tmp_path: Path) -> None:
    assert completed(tmp_path, "ping", "") == []


def test_commands_and_options_are_completed_everywhere(tmp_path: Path) -> None:
    assert set(completed(tmp_path, "")) == set(COMMANDS)
    assert "--json" in completed(tmp_path, "status", "--")


def test_there_is_a_bound_and_nothing_a_shell_would_take_for_two_words() -> None:
    many = [f"name{number}" for number in range(2000)]
    assert len(completing.matching(many, "name")) == completing._MOST
    assert [item.value for item in completing.matching(["a b", "a\x1b", "ac"], "A")] == ["ac"]
