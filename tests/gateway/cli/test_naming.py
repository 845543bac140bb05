"""A name that is not free is asked about on a terminal, and an error anywhere else."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.cli.naming import warn_all, with_free_name
from gateway.errors import ChooseName, UsageError

if TYPE_CHECKING:
    from tests.gateway.cli.conftest import Overlay

PROGRAM = """
from gateway.cli.naming import with_free_name
from gateway.errors import ChooseName
def act(name):
    if name in ("alice", "bob"):
        raise ChooseName(f"{name} is taken\\x1b[2J", "alice-2")
    return name
print("called", with_free_name(act, "alice"))
"""


def refuse(name: str) -> str:
    raise ChooseName(f"{name} is taken", "alice-2")


def test_without_a_terminal_it_is_an_error_with_its_suggestion() -> None:
    with pytest.raises(ChooseName, match="alice is taken") as caught:
        with_free_name(refuse, "alice")
    assert caught.value.suggestion == "alice-2"
    assert isinstance(caught.value, UsageError)
    assert with_free_name(str.upper, "alice") == "ALICE"


@pytest.mark.parametrize(("typed", "called"), [("\n", "alice-2"), ("bob\ncarol\n", "carol")])
def test_on_a_terminal_another_name_is_asked_for_until_one_is_free(typed: str, called: str) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        os.write(ours, typed.encode())
        seen = b""
        while f"called {called}".encode() not in seen:
            assert select.select([ours], [], [], 20)[0], seen
            seen += os.read(ours, 4096)
        assert process.wait(20) == 0
        os.close(ours)
    assert b"alice is taken\\x1b" in seen, "written out"
    assert b"[alice-2]" in seen


def test_warnings_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    warn_all(("one", "two\x1b"))
    assert capsys.readouterr().err == "warning: one\nwarning: two\\x1b\n"


async def test_a_conflict_crosses_the_control_socket_with_its_suggestion(overlay: Overlay) -> None:
    done = await overlay("contacts", "add", "alice", "x", "--json")
    assert done.code == 2
    assert '"code": "choose-name"' in done.err
