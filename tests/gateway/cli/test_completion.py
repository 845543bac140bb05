"""Shells learn our commands."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.gateway.cli.conftest import Alone


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_printed(alone: Alone, shell: str) -> None:
    done = alone("completion", shell)
    assert done.code == 0
    assert "_OVERLAY_COMPLETE" in done.out


def test_a_half_typed_command_is_completed() -> None:
    result = subprocess.run(
        [sys.executable, "-c", "from gateway.cli import main; main()"],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "_OVERLAY_COMPLETE": "bash_complete",
            "COMP_WORDS": "overlay unex",
            "COMP_CWORD": "1",
        },
    )
    assert result.stdout == "plain,unexpose\n"
