"""Long work shows that it goes on: on a terminal, on stderr, gone afterwards; nothing of it in a pipe."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from gateway.cli import progress

USES = {
    "steps": "\nwith progress.steps() as step: step('the beacons'); time.sleep(0.3)",
    "lasting": "\nwith progress.lasting('silence', 0.3): time.sleep(0.3)",
    "counting": "\nwith progress.counting('contacts', 4) as done: done(2); time.sleep(0.3)",
}


def program(use: str) -> list[str]:
    return [sys.executable, "-c", f"import time; from gateway.cli import progress; {USES[use]}"]


def on_a_terminal(use: str, **variables: str) -> tuple[str, bytes]:
    """What it writes to the terminal that is its stderr, and to its stdout."""
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            program(use),
            stdout=subprocess.PIPE,
            stderr=theirs,
            check=True,
            env={**os.environ, "TERM": "xterm", **variables},
            timeout=30,
        )
        os.set_blocking(ours, False)
        try:
            text = os.read(ours, 1 << 16)
        except BlockingIOError:
            text = b""
    finally:
        os.close(ours)
        os.close(theirs)
    return text.decode(), done.stdout


@pytest.mark.parametrize(
    ("use", "told"), [("steps", "the beacons"), ("lasting", "silence"), ("counting", "2/4")]
)
def test_on_a_terminal_it_is_shown_on_stderr(use: str, told: str) -> None:
    text, out = on_a_terminal(use)
    assert told in text
    assert out == b""


@pytest.mark.parametrize("use", USES)
def test_a_terminal_that_can_do_nothing_gets_nothing(use: str) -> None:
    assert on_a_terminal(use, TERM="dumb")[0] == ""


@pytest.mark.parametrize("use", USES)
def test_a_pipe_gets_nothing(use: str) -> None:
    done = subprocess.run(program(use), capture_output=True, check=True, timeout=30)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_the_library_is_loaded_only_where_somebody_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    with progress.steps() as step:
        step("x")
    with progress.lasting("x", 1.0):
        pass
    with progress.counting("x", 1) as done:
        done(1)
