"""Output is aligned for people and safe for terminals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway.cli import output

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_table_in_a_pipe_has_one_line_per_row(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("a", "b"), [("x" * 300, "[bold]1[/bold]"), ("y", "\x1b[2J")])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["a", "b"], ["x" * 300, "[bold]1[/bold]"], ["y", "\\x1b[2J"]]


@pytest.mark.parametrize("printer", [output.say, output.head, output.aside, output.warn])
def test_control_characters_are_written_out(
    printer: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    printer("a\x1b]0;b\x07\nc")
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert (out + err).count("\n") == 1


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 KB"), (2 * 10**9, "2.0 GB"), (10**15, "1000.0 TB")],
)
def test_amounts(size: int, text: str) -> None:
    assert output.amount(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (61.9, "1 min 1 s"), (3600, "1 h"), (90061, "1 d 1 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert output.duration(seconds) == text


def test_a_beacon_is_told_as_a_way_without_its_id() -> None:
    assert output.relay(f"https://eu1.example#{'y' * 52}") == "relay eu1.example"
    assert output.relay("https://192.0.2.1:7443") == "relay 192.0.2.1:7443"
    assert output.relay("http://127.0.0.1:80") == "relay http://127.0.0.1:80"


def test_json_holds_nothing_that_commands_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"a": "\x1b[2J \x9b2J \u202e \u200b \U000e0041 é"}
    output.echo_json(value)
    out = capsys.readouterr().out
    assert all(character.isprintable() or character == "\n" for character in out)
    assert "é" in out
    assert json.loads(out) == value


def test_a_time_that_no_calendar_holds_is_told_in_seconds() -> None:
    assert output.day(1e12) == "second 1000000000000"
    assert output.day(1e300).startswith("second 1")
    assert output.day(0).startswith(("1970-01-01", "1969-12-31"))
