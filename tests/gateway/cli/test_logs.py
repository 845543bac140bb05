"""`overlay logs` works though the gateway is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.gateway.cli.conftest import Alone


def test_the_last_lines_are_printed(alone: Alone) -> None:
    alone.home.log_file.write_text("".join(f"{number}\n" for number in range(100)))
    assert alone("logs", "-n", "2").out == "98\n99\n"
    assert len(alone("logs").out.splitlines()) == 50


def test_control_characters_of_a_log_do_not_reach_the_terminal(alone: Alone) -> None:
    alone.home.log_file.write_bytes(b"\x1b[2J\n")
    assert alone("logs").out == "\\x1b[2J\n"


def test_no_log_yet_is_told(alone: Alone) -> None:
    done = alone("logs")
    assert done.code == 4
    assert "up` begins it" in done.err
