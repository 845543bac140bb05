"""Shells learn our commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
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


@pytest.mark.parametrize(
    ("shell", "program"),
    [
        pytest.param(
            "bash",
            'source <(overlay completion bash); COMP_WORDS=(overlay unex); COMP_CWORD=1; _overlay_completion overlay; echo "${COMPREPLY[@]}"',
            marks=pytest.mark.needs("bash"),
        ),
        pytest.param(
            "zsh",
            "autoload -U compinit; compinit -u -d $HOME/dump; source <(overlay completion zsh); "
            '_describe() { print -- "${(@P)@[-2]}" }; words=(overlay unex); CURRENT=2; _overlay_completion',
            marks=pytest.mark.needs("zsh"),
        ),
        pytest.param(
            "fish",
            "overlay completion fish | source; complete -C 'overlay unex'",
            marks=pytest.mark.needs("fish"),
        ),
    ],
)
def test_a_real_shell_completes(shell: str, program: str, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [shell, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**os.environ, "PATH": path, "HOME": str(tmp_path)},
    )
    assert "unexpose" in done.stdout, done.stderr
