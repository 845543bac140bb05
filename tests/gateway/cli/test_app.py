"""One command with one manner: one line for each error, documented exit codes, quick to start."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from gateway import __version__
from gateway.cli.app import COMMANDS, EPILOG, overlay, run, tell_internal_error

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = [sys.executable, "-c", "from gateway.cli import main; main()"]


def real(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a process of its own."""
    return subprocess.run(
        [*PROGRAM, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environ},
        timeout=30,
    )


def test_every_command_has_help_and_takes_a_home() -> None:
    runner = CliRunner()
    for name in COMMANDS:
        result = runner.invoke(overlay, [name, "--home", "/x", "--help"])
        assert result.exit_code == 0, name
        assert result.output.startswith("Usage: "), name


def test_the_help_tells_the_exit_codes_and_fits_a_terminal() -> None:
    result = CliRunner().invoke(overlay, ["--help"])
    for code in ("0", "1", "2", "3", "4", "5", "130"):
        assert f"\n    {code} " in result.output
    assert max(map(len, result.output.splitlines())) <= 80
    assert "..." not in result.output.replace("[ARGS]...", "")


@pytest.mark.parametrize(
    "words", [["whois"], ["zone", "set", "x", "TXT"], ["topic", "join"], ["status", "--json"]]
)
def test_bytes_that_are_no_text_are_the_persons_mistake(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, os.fsdecode(b"caf\xe9")]) == 2
    told = capsys.readouterr().err
    assert "'caf\\udce9' is no text in UTF-8" in told.replace("\\\\", "\\")
    assert len(told.splitlines()) == 1


def test_each_exit_code_is_told_once() -> None:
    codes = re.findall(r"^  (\d+)[… ]", EPILOG, re.MULTILINE)
    assert codes == ["0", "1", "2", "3", "4", "5", "6", "10", "130"]


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(overlay, ["--version"]).output.startswith(f"overlay {__version__} ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["statsu"], "overlay: 'statsu' is no command; did you mean `status`?"),
        (["zzz"], "overlay: 'zzz' is no command; see `overlay --help`"),
        (["bogus"], "overlay: 'bogus' is no command; see `overlay --help`"),
        (
            ["usage", "--month"],
            "overlay: usage: Option '--month' requires an argument; see `overlay usage --help`",
        ),
        (["--nope"], "overlay: No such option '--nope'"),
        (["expose", "web"], "overlay: expose: Missing argument 'TARGET'; see `overlay expose --help`"),
        (
            ["expose", "web", "1", "--port", "0"],
            "overlay: expose: Invalid value for '--port': 0 is not in the range",
        ),
        (["up", "--proxy-port", "70000"], "overlay: up: Invalid value for '--proxy-port'"),
        (["contacts", "lss"], "overlay: contacts: No such command 'lss'"),
        (
            ["ticket", "--expires", "soon"],
            "overlay: ticket: Invalid value for '--expires': 'soon' is no duration; write",
        ),
        (
            ["ticket", "--expires", "9000d"],
            "overlay: ticket: Invalid value for '--expires': '9000d' is out of range",
        ),
        (["--home", "", "status"], "overlay: home: an empty path is no directory"),
    ],
)
def test_nonsense_is_one_line_and_exit_code_2(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    err = capsys.readouterr().err
    assert err.startswith(told)
    assert err.count("\n") == 1


def test_no_gateway_is_exit_code_5_for_every_command_that_needs_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = ["status", "down", "reload", "services", "contacts", "contacts ls", "ticket", "expose web 1"]
    commands += [
        "unexpose web",
        "contacts add a b",
        "contacts rm a",
        "contacts rename a b",
        "join x",
        "ping a",
        "resolve a",
    ]
    for command in commands:
        assert run(["--home", str(tmp_path), *command.split()]) == 5, command
        err = capsys.readouterr().err
        assert err == (
            f"overlay: gateway: none runs on {tmp_path}; start it with `overlay --home {tmp_path} up`, "
            "or name another directory with --home\n"
        )


def test_with_json_an_error_is_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(tmp_path), "status", "--json"]) == 5
    assert json.loads(capsys.readouterr().err)["code"] == "not-running"
    assert run(["status", "--json", "--nope"]) == 2
    assert json.loads(capsys.readouterr().err)["code"] == "usage"


def test_a_home_may_be_named_before_or_after_the_command_or_by_variable(tmp_path: Path) -> None:
    for words, environ in (
        (["--home", str(tmp_path), "config", "check"], {}),
        (["config", "check", "--home", str(tmp_path)], {}),
        (["config", "--home", str(tmp_path), "check"], {}),
        (["config", "check"], {"OVERLAY_HOME": str(tmp_path)}),
    ):
        assert str(tmp_path) in real(*words, **environ).stdout


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "gateway.log"
    log.parent.mkdir()
    log.write_text(("x" * 100 + "\n") * 9000)
    with subprocess.Popen(
        [*PROGRAM, "--home", str(tmp_path), "logs", "-n", "9000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_an_interrupt_is_quiet_and_exit_code_130(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*PROGRAM, "--home", str(tmp_path), "logs", "-f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        log = tmp_path / "logs" / "gateway.log"
        log.parent.mkdir()
        log.write_text("it runs\n")
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"it runs\n"
        process.send_signal(2)
        assert process.stderr.read().strip() == b""
    assert process.returncode == 130


def test_a_mistake_of_ours_is_one_line_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        _ = 1 / 0
    except ZeroDivisionError as error:
        tell_internal_error(type(error), error, error.__traceback__)
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "internal error: ZeroDivisionError: division by zero at " in err
    assert "test_app.py:" in err


def test_an_interrupt_at_the_very_start_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    tell_internal_error(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert capsys.readouterr().err == ""


def test_a_command_starts_quickly() -> None:
    real("--version")
    begin = time.perf_counter()
    for _ in range(3):
        assert real("--version").returncode == 0
    # About 0.06 s each where this was written; the bound only catches an import that costs a multiple.
    assert time.perf_counter() - begin < 3.0


@pytest.mark.parametrize("words", [("id",), ("status",), ("ping", "x")])
def test_a_command_does_not_import_what_only_the_daemon_needs(words: tuple[str, ...], tmp_path: Path) -> None:
    code = (
        "import sys; from gateway.cli.app import run; run(sys.argv[1:])\n"
        "print([m for m in ('aiohttp', 'asyncio', 'qh3', 'aioquic', 'rich', 'cryptography') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, "--home", str(tmp_path), *words],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "[]\n"


def test_colours_are_for_terminals_and_can_be_switched_off(tmp_path: Path) -> None:
    import pty

    def on_a_terminal(**environ: str) -> bytes:
        ours, theirs = pty.openpty()
        subprocess.run(
            [*PROGRAM, "--home", str(tmp_path), "services"],
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm", **environ},
            check=False,
        )
        os.close(theirs)
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            return terminal.read(65536)

    assert b"\x1b" not in on_a_terminal(NO_COLOR="1")
    assert b"\x1b" not in real("--home", str(tmp_path), "services").stderr.encode()


def test_without_a_command_the_help_is_shown_as_it_is_written(capsys) -> None:
    assert run([]) == 2
    assert "\nOptions:\n" in capsys.readouterr().err
