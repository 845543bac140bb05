"""`make demo` does what it says, from start to end, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.gateways import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent


def processes_of(directory: Path) -> list[str]:
    """Command lines of processes that work below the directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # it has ended meanwhile
            if str(directory) in command:
                found.append(command)
    return found


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A temporary directory as short as a person's, so that control sockets fit below it."""
    with tempfile.TemporaryDirectory(prefix="ovl") as directory:
        yield Path(directory)


@pytest.mark.parametrize("with_curl", [True, False], ids=["curl", "no-curl"])
def test_the_demo_opens_the_service_in_every_way(short_path, with_curl):
    environment = clean_environment() | {"TMPDIR": str(short_path)}
    if not with_curl:
        environment["PATH"] = str(short_path)
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "demo.py")],
        capture_output=True, text=True, timeout=55, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Hello from alice's web server!") == 3
    assert "pong from alice" in done.stdout
    assert "404" in done.stdout
    assert processes_of(short_path) == []
    assert list(short_path.iterdir()) == []
